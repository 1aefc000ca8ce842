"""What every measure of distance from normal sound has in common: fitted, asked, stored and read back."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edge_asd.errors import DataError


@dataclass(frozen=True)
class Measure(ABC):
    """A description of normal features [n, f], and how far from it other features are. Higher = more anomalous.

    A measure is a frozen dataclass made by `fit` or `from_arrays`. Fitting needs at least one row and copes with as
    few; it changes nothing later, so that a bundle scores the same on every device.

    ARRAYS: the fields that are arrays: name -> (dtype, axes). Axes are letters, "n" one row an enrolled window and "f"
        one number a feature; equal letters are equally long, and only a capital's may be 0.
    GROWS: the axis that is longer the more windows are enrolled.
    PARAMETERS: what may be set in a scorer's specification: name -> (default, lowest, highest). A whole-number
        default takes whole numbers only. Fields of the same names are filled from it.
    PROPORTIONAL: whether sound that has moved twice as far is twice as distant; false for ratios and logarithms.
    LEARNS: whether it knows the rows it was fitted on. One that does not is never fitted anew: it gives every row the
        same distance whichever others there are.
    """

    ARRAYS: ClassVar[Mapping[str, tuple[str, str]]] = {}
    GROWS: ClassVar[str] = "n"
    PARAMETERS: ClassVar[Mapping[str, tuple[float, float, float]]] = {}
    PROPORTIONAL: ClassVar[bool] = True
    LEARNS: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def fit(cls, *args: Any, **kwargs: Any) -> Measure:
        """`fit(features, target=None, *, metric, seed, **parameters)`.

        features: float32 [n, f], n >= 1. target: bool [n], rows of the target domain (None: all are of the source).
        metric: of the features' view, see `edge_asd.scorers.space`. seed: for what is drawn.
        """

    @abstractmethod
    def distance(self, features: np.ndarray) -> np.ndarray:
        """Distance of features [k, f] from normal sound, float32 [k], never below 0 but for rounding."""

    def nearest(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Distances float32 [k] and, from measures that compare with single windows, the nearest one's row [k]."""
        return self.distance(features), None

    @property
    def width(self) -> int:
        """Numbers in one row of features, f."""
        return self._axes["f"]

    @classmethod
    def growing(cls) -> tuple[str, ...]:
        """Names of the arrays that grow with the enrolment; none where it is described as a whole."""
        return tuple(name for name, (_, axes) in cls.ARRAYS.items() if cls.GROWS in axes)

    @property
    def n_windows(self) -> int | None:
        """Enrolled windows it keeps and `nearest` points to, or None."""
        return self._axes.get("n")

    def arrays(self) -> dict[str, np.ndarray]:
        """What a bundle stores, the inverse of `from_arrays`."""
        return {name: getattr(self, name) for name in self.ARRAYS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], *, metric: str, **parameters: float) -> Measure:
        """The fitted measure back from its arrays; raises DataError where they are not its own."""
        if set(arrays) != set(cls.ARRAYS):
            raise DataError(f"{cls.__name__}: arrays {sorted(arrays)}, expected {sorted(cls.ARRAYS)}")
        known = {**arrays, **parameters, "metric": metric}
        return cls(**{field.name: known[field.name] for field in dataclasses.fields(cls)})

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        for name, (dtype, axes) in self.ARRAYS.items():
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != len(axes):
                raise DataError(f"{type(self).__name__}.{name}: {array.dtype} {list(array.shape)}, expected {dtype}")
            if not np.isfinite(array).all():
                raise DataError(f"{type(self).__name__}.{name}: holds what is not a finite number")
            for axis, size in zip(axes, array.shape, strict=True):
                if (size == 0 and axis.islower()) or sizes.setdefault(axis, size) != size:
                    raise DataError(
                        f"{type(self).__name__}.{name}: {list(array.shape)} does not fit {sizes[axis]} ({axis})"
                        if axis in sizes
                        else f"{type(self).__name__}.{name}: empty"
                    )

    @property
    def _axes(self) -> dict[str, int]:
        return {
            axis: size
            for name, (_, axes) in self.ARRAYS.items()
            for axis, size in zip(axes, getattr(self, name).shape, strict=True)
        }


def target_rows(target: np.ndarray | None, n: int) -> np.ndarray:
    """Which of n rows are of the target domain, bool [n]."""
    return np.zeros(n, bool) if target is None else np.asarray(target, bool)

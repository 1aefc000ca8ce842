"""Numbers that are distances already: what a model's own scorer gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edge_asd.errors import DataError
from edge_asd.scorers.measure import Measure

NEAR_ZERO = 4.0
"""Numbers that begin closer to 0 than this many times their own range are measured from 0: a reconstruction error, or
-log softmax, has a natural 0, and its gamma distribution is the published one."""

FURTHEST = 1e30


@dataclass(frozen=True)
class Column(Measure):
    """One of a row's numbers, from a zero that makes normal ones positive: a log-likelihood of -3,000 +- 10 is no
    distance yet. Moved, never bent: order and means stay as the system was published.

    i: which of the f numbers. zero: float32 [f], what is distance 0, of each.

    Nothing is learnt of the rows but where 0 is: it is set once, by all of them, and stays (`LEARNS`).
    """

    ARRAYS: ClassVar[Mapping[str, tuple[str, str]]] = {"zero": ("float32", "f")}
    PARAMETERS: ClassVar[Mapping[str, tuple[float, float, float]]] = {"i": (0, 0, 255)}
    LEARNS: ClassVar[bool] = False
    PROPORTIONAL: ClassVar[bool] = False

    metric: str
    i: int
    zero: np.ndarray

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        target: np.ndarray | None = None,
        *,
        metric: str = "given",
        seed: int = 0,
        i: int = 0,
    ) -> Column:
        """From features [n, f]; both domains alike. Raises DataError where there is no i-th number, or one is not
        finite."""
        if not np.isfinite(features).all():
            raise DataError("the model's own score of this sound is not a finite number", remedy="check the model")
        if i >= features.shape[1]:
            raise DataError(f"scores:column,i={i}: the model gives {features.shape[1]} scores, counted from 0")
        lowest, highest = features.min(axis=0).astype(np.float64), features.max(axis=0).astype(np.float64)
        span = np.maximum(highest - lowest, 1e-3 * np.maximum(np.abs(lowest), np.abs(highest)))
        from_zero = (lowest >= 0.0) & (lowest <= NEAR_ZERO * np.maximum(span, 1e-12))
        return cls(metric, int(i), np.where(from_zero, 0.0, lowest - span).astype(np.float32))

    def distance(self, features: np.ndarray) -> np.ndarray:
        """float32 [k]. What a density cannot express (infinity, no number) is as far as anything."""
        moved = np.asarray(features[:, self.i] - self.zero[self.i], np.float32)
        return np.nan_to_num(moved.clip(max=FURTHEST), nan=FURTHEST, neginf=0.0)

"""Neighbour distances measured by how close the neighbours lie among themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from edge_asd.scorers.measure import Measure
from edge_asd.scorers.space import InSpace, Search, Space

MIN_DENSITY_SHARE = 0.1
"""Of the median: rows nearly on top of each other (a loop, one click twice) would make everything else infinitely far.
"""
_ROWS: Mapping[str, tuple[str, str]] = {
    "rows": ("float16", "nf"),
    "middle": ("float32", "f"),
    "scale": ("float32", "f"),
}


@dataclass(frozen=True)
class _Rows(InSpace, Measure):
    """Enrolled windows as coordinates of the view's space.

    rows: float16 [n, f]. middle, scale: float32 [f], the space's.
    """

    PROPORTIONAL: ClassVar[bool] = False

    metric: str
    rows: np.ndarray
    middle: np.ndarray
    scale: np.ndarray

    @cached_property
    def _search(self) -> Search:
        return Search(self.rows)

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Higher = further from normal, float32 [k]."""
        return self.nearest(features)[0]


def _kept(metric: str, features: np.ndarray) -> tuple[np.ndarray, Space]:
    space = Space.fit(metric, features)
    return space.coordinates(features).astype(np.float16), space


@dataclass(frozen=True)
class LocalDensity(_Rows):
    """min over enrolled windows r of d(x, r) / mean distance of r to its own k nearest.

    A sparse region (a rare condition, the few target clips) is entitled to larger distances than a dense one, without
    any domain labels. Wilkinghoff et al., "Local density-based anomaly score normalization for domain
    generalization" (arXiv 2509.10951).

    spacing: float32 [n], those mean distances.
    """

    ARRAYS: ClassVar[Mapping[str, tuple[str, str]]] = {**_ROWS, "spacing": ("float32", "n")}
    PARAMETERS: ClassVar[Mapping[str, tuple[float, float, float]]] = {"k": (4, 1, 1000)}

    spacing: np.ndarray

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        target: np.ndarray | None = None,
        *,
        metric: str = "cosine",
        seed: int = 0,
        k: int = 4,
    ) -> LocalDensity:
        """Keep features [n, f]; both domains alike."""
        rows, space = _kept(metric, features)
        if len(rows) == 1:
            spacing = np.ones(1, np.float32)
        else:
            spacing = space.distance(Search(rows).own_neighbours(k)[0]).mean(axis=1)
        floor = max(1e-6, MIN_DENSITY_SHARE * float(np.median(spacing)))
        return cls(metric, rows, space.middle, space.scale, np.maximum(spacing, np.float32(floor)))

    def nearest(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `distance`, and the row the minimum is at."""
        distances = self._space.distance(self._search.squares(self._space.coordinates(features))) / self.spacing
        index = distances.argmin(axis=1)
        return distances[np.arange(len(index)), index], index


@dataclass(frozen=True)
class LocalOutlierFactor(_Rows):
    """How much sparser it is around x than around its k neighbours: 1 among its like, more outside.

    Breunig et al., "LOF: identifying density-based local outliers" (2000), asked about new points as in
    scikit-learn's novelty mode; Euclidean in the view's space (for unit vectors that orders as the cosine does).

    reach: float32 [n], distance of each row to its k-th neighbour. density: float32 [n], local reachability density.
    """

    ARRAYS: ClassVar[Mapping[str, tuple[str, str]]] = {
        **_ROWS,
        "reach": ("float32", "n"),
        "density": ("float32", "n"),
    }
    PARAMETERS: ClassVar[Mapping[str, tuple[float, float, float]]] = {"k": (20, 1, 1000)}

    reach: np.ndarray
    density: np.ndarray
    k: int = 20

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        target: np.ndarray | None = None,
        *,
        metric: str = "cosine",
        seed: int = 0,
        k: int = 20,
    ) -> LocalOutlierFactor:
        """Keep features [n, f]; both domains alike."""
        rows, space = _kept(metric, features)
        if len(rows) == 1:  # no density to speak of: the plain distance
            return cls(metric, rows, space.middle, space.scale, np.zeros(1, np.float32), np.ones(1, np.float32), k)
        squares, index = Search(rows).own_neighbours(k)
        distances = np.sqrt(squares)
        reach = distances[:, -1].astype(np.float32)
        mean = np.maximum(distances, reach[index]).mean(axis=1)
        floor = max(1e-6, MIN_DENSITY_SHARE * float(np.median(mean)))
        density = (1.0 / np.maximum(mean, floor)).astype(np.float32)
        return cls(metric, rows, space.middle, space.scale, reach, density, k)

    def nearest(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `distance`, and the row of the nearest neighbour."""
        squares, index = self._search.k_nearest(self._space.coordinates(features), self._k_known)
        distances = np.sqrt(np.maximum(squares, 0.0))
        mean = np.maximum(distances, self.reach[index]).mean(axis=1)
        return (self.density[index].mean(axis=1) * mean).astype(np.float32), index[:, 0]

    @property
    def _k_known(self) -> int:
        return min(self.k, max(1, len(self.rows) - 1))

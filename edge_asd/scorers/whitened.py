"""Distances in units of the enrolment's own covariance: to the nearest window, or to the mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from edge_asd.scorers.measure import Measure, target_rows
from edge_asd.scorers.shrinkage import ledoit_wolf, whitening
from edge_asd.scorers.space import InSpace, Search, Space

_MATRIX: Mapping[str, tuple[str, str]] = {
    "middle": ("float32", "f"),
    "scale": ("float32", "f"),
    "mean": ("float32", "f"),
    "matrix": ("float32", "fg"),
}


@dataclass(frozen=True)
class _Whitened(InSpace, Measure):
    """Coordinates of the view's space, less the enrolment's mean, times a whitening matrix; |row|^2 is 1 on average."""

    metric: str
    middle: np.ndarray
    scale: np.ndarray
    mean: np.ndarray
    matrix: np.ndarray

    def _white(self, features: np.ndarray) -> np.ndarray:
        return (self._space.coordinates(features) - self.mean) @ self.matrix


def _fitted(metric: str, features: np.ndarray, target: np.ndarray) -> tuple[Space, np.ndarray, np.ndarray, np.ndarray]:
    """Space, mean of all, matrix, and coordinates [n, f] less that mean. Domains vary each around its own mean."""
    space = Space.fit(metric, features)
    rows = space.coordinates(features)
    mean = rows.mean(axis=0)
    residuals = rows - mean
    if 0 < target.sum() < len(target):
        for own in (target, ~target):
            residuals[own] -= residuals[own].mean(axis=0)
    matrix = whitening(ledoit_wolf(residuals)) / np.float32(np.sqrt(rows.shape[1]))
    return space, mean, matrix, rows - mean


@dataclass(frozen=True)
class WhitenedKnn(_Whitened):
    """Euclidean distance to the nearest enrolled window after whitening with a shrunk covariance.

    Directions in which normal sound varies anyway count for less. Whitening of embeddings gained on DCASE 2025 as
    reported by its participants; the shrinkage is Ledoit and Wolf's, for there are fewer windows than squares of
    features.

    rows: float16 [n, g], whitened.
    """

    ARRAYS: ClassVar[Mapping[str, tuple[str, str]]] = {"rows": ("float16", "ng"), **_MATRIX}

    rows: np.ndarray

    @classmethod
    def fit(
        cls, features: np.ndarray, target: np.ndarray | None = None, *, metric: str = "cosine", seed: int = 0
    ) -> WhitenedKnn:
        """From features [n, f] and their domains."""
        space, mean, matrix, centred = _fitted(metric, features, target_rows(target, len(features)))
        return cls(metric, space.middle, space.scale, mean, matrix, (centred @ matrix).astype(np.float16))

    @cached_property
    def _search(self) -> Search:
        return Search(self.rows)

    def distance(self, features: np.ndarray) -> np.ndarray:
        """To the nearest, float32 [k]."""
        return self.nearest(features)[0]

    def nearest(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `distance`, and the row of the nearest."""
        squares, index = self._search.nearest(self._white(features))
        return np.sqrt(np.maximum(squares, 0.0)).astype(np.float32), index


@dataclass(frozen=True)
class Mahalanobis(_Whitened):
    """Distance to the mean of the nearer domain in units of the common covariance, root mean square over features.

    Mahalanobis, "On the generalised distance in statistics" (1936); the choice between the domains as in the selective
    Mahalanobis mode of the DCASE 2023 baseline, with one covariance for both: a handful of target windows has none.

    centres: float32 [d, g], each domain's mean, whitened.
    """

    ARRAYS: ClassVar[Mapping[str, tuple[str, str]]] = {"centres": ("float32", "dg"), **_MATRIX}

    centres: np.ndarray

    @classmethod
    def fit(
        cls, features: np.ndarray, target: np.ndarray | None = None, *, metric: str = "spread", seed: int = 0
    ) -> Mahalanobis:
        """From features [n, f] and their domains."""
        of_target = target_rows(target, len(features))
        space, mean, matrix, centred = _fitted(metric, features, of_target)
        domains = [centred[own] for own in (~of_target, of_target) if own.any()]
        centres = np.array([own.mean(axis=0) for own in domains]) @ matrix
        return cls(metric, space.middle, space.scale, mean, matrix, centres)

    @cached_property
    def _search(self) -> Search:
        return Search(self.centres)

    def distance(self, features: np.ndarray) -> np.ndarray:
        """To the nearer mean, float32 [k]."""
        return np.sqrt(np.maximum(self._search.nearest(self._white(features))[0], 0.0)).astype(np.float32)

"""Coordinates in which near means alike, and exact search for neighbours in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edge_asd.bank import unit_vectors
from edge_asd.bank.search import k_smallest

SPREAD_FLOOR_DB = 0.5
"""Added to each feature's spread, so that a band that never moved in minutes of sound does not decide alone."""
METRICS = ("cosine", "spread")
"""cosine: the angle between vectors, 1 - cos. spread: differences in units of each feature's own spread over the
enrolment, root mean square over the features."""


@dataclass(frozen=True)
class Space:
    """Where Euclidean distance between coordinates belongs to a metric.

    metric: "cosine" (coordinates are unit vectors) or "spread" (coordinates are spreads from the middle).
    middle, scale: float32 [f] each, of the "spread" metric; 0 and 1 otherwise.
    """

    metric: str
    middle: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, metric: str, features: np.ndarray) -> Space:
        """From normal features [n, f]."""
        width = features.shape[1]
        if metric == "cosine":
            return cls(metric, np.zeros(width, np.float32), np.ones(width, np.float32))
        features = np.asarray(features, np.float32)
        spread = features.std(axis=0) + np.float32(SPREAD_FLOOR_DB)
        # Centred, or float32 would lose a distance among large squares.
        return cls(metric, features.mean(axis=0), (1.0 / (spread * np.sqrt(width))).astype(np.float32))

    def coordinates(self, features: np.ndarray) -> np.ndarray:
        """Features [k, f] -> float32 [k, f]."""
        if self.metric == "cosine":
            return unit_vectors(features)
        return ((features - self.middle) * self.scale).astype(np.float32)

    def distance(self, squares: np.ndarray) -> np.ndarray:
        """Squared Euclidean distances between coordinates -> distances of the metric, float32."""
        positive = np.maximum(squares, 0.0)
        return np.asarray(0.5 * positive if self.metric == "cosine" else np.sqrt(positive), np.float32)


class Search:
    """Exact neighbours among rows [n, f] by Euclidean distance: one matrix product for all of them."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = np.asarray(rows, np.float32)
        self._squares = np.square(self.rows).sum(axis=1)

    def squares(self, queries: np.ndarray) -> np.ndarray:
        """Squared distances of queries [k, f] to every row, float32 [k, n]."""
        return self._squares - 2.0 * (queries @ self.rows.T) + np.square(queries).sum(axis=1, keepdims=True)

    def nearest(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Squared distance to the nearest row [k], and which [k]."""
        partial = self._squares - 2.0 * (queries @ self.rows.T)
        index = partial.argmin(axis=1)
        return partial[np.arange(len(index)), index] + np.square(queries).sum(axis=1), index

    def k_nearest(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances to the k nearest rows (or all), the nearest first, and which: [q, k]."""
        return k_smallest(self.squares(queries), k)

    def own_neighbours(self, k: int, block: int = 1024) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest *other* rows of every row: squared distances and indices [n, min(k, n - 1)].

        block: rows searched at once; bounds the memory.
        """
        n = len(self.rows)
        k = min(k, n - 1)
        squares, index = np.empty((n, k), np.float32), np.empty((n, k), np.intp)
        for start in range(0, n, block):
            asked = np.arange(start, min(start + block, n))
            found = self.squares(self.rows[asked])
            found[np.arange(len(asked)), asked] = np.inf
            if k:
                squares[asked], index[asked] = k_smallest(found, k)
        return np.maximum(squares, 0.0), index


class InSpace:
    """For measures that keep the view's space among their fields: it, put together once."""

    metric: str
    middle: np.ndarray
    scale: np.ndarray

    @cached_property
    def _space(self) -> Space:
        return Space(self.metric, self.middle, self.scale)

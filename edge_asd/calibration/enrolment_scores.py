"""The enrolment scored against itself: what normal clips and normal streams look like."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edge_asd.calibration.aggregation import Aggregation
from edge_asd.errors import DataError


@dataclass(frozen=True)
class EnrolmentScores:
    """The enrolment scored against itself; the bundle keeps it, so that thresholds can be fitted anew.

    distances: float32 [n, scorers], each window's distances from the windows of other folds.
    pieces: int32 [n], the piece of sound (about 10 s, or one clip) each window belongs to, in order.
    runs: int32 [n], the unbroken stretch of sound each window belongs to, in order; one may hold many pieces.
    aggregation: how windows become one, here as in whatever is scored against the bundle.
    """

    distances: np.ndarray
    pieces: np.ndarray
    runs: np.ndarray
    aggregation: Aggregation = field(default_factory=Aggregation)

    def __post_init__(self) -> None:
        n = len(self.distances)
        shapes = {self.pieces.shape, self.runs.shape}
        if n == 0 or self.distances.ndim != 2 or shapes != {(n,)} or not np.isfinite(self.distances).all():
            raise DataError("enrolment scores: not finite distances, one piece and one run for each window")

    @property
    def longest_run(self) -> int:
        """Windows in the longest run: averages of more cannot be taken from the enrolment."""
        return max(len(own) for own in self._split(self.runs))

    def per_clip(self) -> np.ndarray:
        """Distances of each piece, its windows aggregated, [n_pieces, scorers]: what normal clips look like."""
        return np.array([self.aggregation.over(own) for own in self._split(self.pieces)])

    def first_windows(self) -> np.ndarray:
        """The first window of each piece, int [n_pieces], as `per_clip` counts them."""
        return np.concatenate(([0], np.flatnonzero(np.diff(self.pieces)) + 1))

    def smoothed(self, n_windows: int) -> list[np.ndarray]:
        """Distances of `n_windows` consecutive windows, aggregated: what a normal stream looks like.

        One array [m, scorers] a run; stretches do not reach from one run into the next, a shorter run is taken whole.
        """
        aggregated = []
        for own in self._split(self.runs):
            size = min(n_windows, len(own))
            stretches = np.lib.stride_tricks.sliding_window_view(own, size, axis=0)
            aggregated.append(self.aggregation.over(stretches, axis=-1))
        return aggregated

    def _split(self, labels: np.ndarray) -> list[np.ndarray]:
        return np.split(self.distances, np.flatnonzero(np.diff(labels)) + 1)

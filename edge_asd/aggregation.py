"""How the windows of a clip, or the last ones of a stream, become one.

A stationary machine (fan, pump) that fails sounds wrong all the time: the mean over the windows is the surest. A
transient one (valve, slide rail) is silent between its strokes, and a fault is heard only when it moves: there the
mean waters the fault down with silence, and the windows that stand out most must count. Which kind a machine is
shows in its normal sound alone: does it, within seconds, go back and forth between two levels?
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_asd.errors import DataError

MIN_STEP_DB = 6.0
"""Two levels closer than this are one machine's unrest, not strokes and pauses."""
MIN_EXPLAINED = 0.8
"""Share of the level's variance that two levels must explain (the halves of an even spread explain 0.75)."""
MIN_PIECES_SHARE = 0.5
"""Share of the pieces that must hold both levels: a machine at another speed tomorrow is not a transient one."""
MIN_TOP_SHARE = 0.2


@dataclass(frozen=True)
class Aggregation:
    """The mean of the largest distances.

    top_share: of the windows, 1 = all of them (the mean), otherwise the share whose distances are the largest, at
        least one window; each scorer has its own.
    """

    top_share: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.top_share <= 1.0:
            raise DataError(f"aggregation: top share {self.top_share!r} is not within 0 < share <= 1")

    def over(self, distances: np.ndarray, axis: int = 0) -> np.ndarray:
        """Distances of n windows along `axis`, n >= 1, become one."""
        if self.top_share == 1.0:
            return distances.mean(axis=axis)
        n = distances.shape[axis]
        k = math.ceil(self.top_share * n - 1e-9)
        return np.take(np.sort(distances, axis=axis), range(n - k, n), axis=axis).mean(axis=axis)

    @classmethod
    def choose(cls, activity_db: Sequence[np.ndarray]) -> Aggregation:
        """From the enrolment alone: the level of each window, by piece of sound (`window_activity_db`).

        The windows' levels are cut in two where that explains most of their variance (Otsu, "A threshold selection
        method from gray-level histograms", 1979). If the halves' means are MIN_STEP_DB apart, explain MIN_EXPLAINED of
        the variance, and MIN_PIECES_SHARE of the pieces hold windows of both, the machine is transient and the top
        share is the share of its loud windows; otherwise it is stationary.
        """
        levels = np.sort(np.concatenate(activity_db).astype(np.float64))
        n = len(levels)
        if n < 2 or np.ptp(levels) < MIN_STEP_DB:
            return cls()
        low_counts = np.arange(1, n)
        low_means = np.cumsum(levels)[:-1] / low_counts
        high_means = (levels.sum() - np.cumsum(levels)[:-1]) / (n - low_counts)
        between = low_counts * (n - low_counts) * np.square(high_means - low_means) / n**2
        cut = int(between.argmax())
        border = 0.5 * (levels[cut] + levels[cut + 1])
        mixed = np.mean([own.min() < border < own.max() for own in activity_db])
        if (
            high_means[cut] - low_means[cut] < MIN_STEP_DB
            or between[cut] < MIN_EXPLAINED * levels.var()
            or mixed < MIN_PIECES_SHARE
        ):
            return cls()
        return cls(max(MIN_TOP_SHARE, round(1.0 - (cut + 1) / n, 2)))


def window_activity_db(windows: np.ndarray) -> np.ndarray:
    """How loud the louder moments of each window are: log-mel windows [k, frames, n_mels] -> [k] in dB.

    The 90th percentile over time of the mean over the bands: a stroke counts when it fills a tenth of the window.
    """
    return np.quantile(windows.mean(axis=2), 0.9, axis=1)

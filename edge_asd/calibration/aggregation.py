"""How the windows of a clip, or the last ones of a stream, become one.

A stationary machine (fan, pump) that fails sounds wrong all the time: the mean over the windows is the surest. A
transient one (valve, slide rail) speaks in blows and strokes, and a fault is heard only in some of them: there the mean
waters it down, and the windows that stand out must count. Which kind a machine is shows in its normal sound alone, in
how far its loudest moments rise above its usual level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_asd.errors import DataError

LOUD_QUANTILE = 0.98
"""A valve that clicks once in three seconds fills this share of its frames with the pauses between."""
TRANSIENT_DB = 6.0
"""Loud moments this far above the median make a machine transient. Fans, pumps, motors and lathes have 1 to 4 dB, a
quadcopter in loud intermittent noise 5, valves 9."""
TRANSIENT_TOP_SHARE = 0.3


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
    def choose(cls, impulsiveness_db: Sequence[float]) -> Aggregation:
        """From the enrolment alone: `impulsiveness_db` of each of its pieces of sound, at least one.

        The median piece decides, so that a slammed door does not.
        """
        transient = float(np.median(impulsiveness_db)) >= TRANSIENT_DB
        return cls(TRANSIENT_TOP_SHARE if transient else 1.0)


def impulsiveness_db(frames: np.ndarray) -> float:
    """How far the loudest moments of log-mel frames [n, n_mels] rise above the usual level (mean over the bands)."""
    levels = frames.mean(axis=1)
    return float(np.quantile(levels, LOUD_QUANTILE) - np.median(levels))

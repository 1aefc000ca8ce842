"""What flows out of every source of sound: mono float32 blocks that know their place in the stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

SILENCE_DBFS = -120.0
"""Level reported for digital silence: the bottom of the scale, never 0 (which is full scale)."""


@dataclass(frozen=True)
class AudioBlock:
    """Consecutive samples of one channel.

    samples: float32 [n], full scale is +-1.
    position: index in the stream of `samples[0]`, at the stream's rate; lost samples are counted,
        so position * 1/rate is always time since the stream began.
    captured_at: when `samples[0]` was heard, seconds since the Unix epoch (UTC).
    gap_samples: samples lost just before this block; whoever assembles windows must start afresh.
    """

    samples: np.ndarray
    position: int
    captured_at: float
    gap_samples: int = 0


class AudioSource(Protocol):
    """A source of sound, already mono and at `rate_hz`. Iterating ends when the sound does."""

    name: str
    rate_hz: int

    def blocks(self) -> Iterator[AudioBlock]:
        """Yield blocks in order; a live source waits for sound, a file ends."""

    def close(self) -> None:
        """Release the device or file; safe to call twice."""


def level_dbfs(samples: np.ndarray) -> float:
    """RMS level in dB relative to a full-scale square wave; digital silence is -120, an empty block too.

    samples: float [n].
    """
    if samples.size == 0:
        return SILENCE_DBFS
    mean_square = float(np.dot(samples, samples)) / samples.size
    if mean_square <= 0.0:
        return SILENCE_DBFS
    return max(SILENCE_DBFS, 10.0 * float(np.log10(mean_square)))

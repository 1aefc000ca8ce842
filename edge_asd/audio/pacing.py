"""Numbering, timing and pacing of sound that exists already, so that it behaves like a live stream."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from edge_asd.audio.block import AudioBlock

BLOCK_S = 0.25
"""Length of a live block: short enough for a moving meter, long enough that calls cost little."""
FAST_BLOCK_S = 1.0
"""Length of a block when nobody watches: fewer calls, the same numbers."""


class Pacer:
    """Gives mono pieces as blocks with position and capture time, at the speed of the sound or at once.

    rate_hz: of the pieces.
    paced: a block is given when its last sample would have been heard; otherwise at once.
    clock: UTC seconds since the epoch; sample 0 is heard when iteration begins, paced or not.
    stop: set it to end the stream early.
    sleep: waits some seconds; defaults to waiting for `stop`, so that stopping is prompt.
    """

    def __init__(
        self,
        rate_hz: int,
        *,
        paced: bool,
        clock: Callable[[], float] = time.time,
        stop: threading.Event | None = None,
        sleep: Callable[[float], Any] | None = None,
    ) -> None:
        self._rate_hz = rate_hz
        self._paced = paced
        self._clock = clock
        self._stop = stop or threading.Event()
        self._sleep = sleep or self._stop.wait

    def blocks(
        self, pieces: Iterable[np.ndarray], was_late: Callable[[], bool] = lambda: False
    ) -> Iterator[AudioBlock]:
        """float32 [n] pieces, empty ones too -> blocks; ends with the pieces or at `stop`.

        was_late: whether the last piece had to be waited for, which makes its producer the clock: its last sample is
            heard now. Without pacing that can only move times forward, because sound may have come all at once.
        """
        began_at, position = self._clock(), 0
        for samples in pieces:
            length_s = (position + samples.size) / self._rate_hz
            if was_late():
                heard_from = self._clock() - length_s
                began_at = heard_from if self._paced else max(began_at, heard_from)
            elif samples.size and self._paced:
                wait_s = began_at + length_s - self._clock()
                if wait_s > 0:
                    self._sleep(wait_s)
            if self._stop.is_set():
                return
            if samples.size:
                yield AudioBlock(samples, position, began_at + position / self._rate_hz)
                position += samples.size

"""An array played as if it were a live stream: the demo's microphone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from edge_asd.audio.block import AudioBlock
from edge_asd.audio.pacing import BLOCK_S, Pacer


class GeneratedSource:
    """Plays `samples`, float32 mono [n] at `rate_hz`, in blocks of 0.25 s.

    paced: at the speed of the sound; otherwise as fast as blocks are taken.
    clock: UTC seconds since the epoch; sample 0 is heard when iteration begins.
    stop: set it to end the stream early.
    sleep: waits some seconds; defaults to waiting for `stop`.
    """

    def __init__(
        self,
        samples: np.ndarray,
        rate_hz: int,
        *,
        name: str = "simulator",
        paced: bool = True,
        clock: Callable[[], float] = time.time,
        stop: threading.Event | None = None,
        sleep: Callable[[float], Any] | None = None,
    ) -> None:
        self.name = name
        self.rate_hz = rate_hz
        self._samples = np.asarray(samples, np.float32)
        self._pacer = Pacer(rate_hz, paced=paced, clock=clock, stop=stop, sleep=sleep)

    def blocks(self) -> Iterator[AudioBlock]:
        """Blocks to the end of the array, the last one as short as it comes."""
        size = max(1, round(BLOCK_S * self.rate_hz))
        yield from self._pacer.blocks(self._samples[i : i + size] for i in range(0, self._samples.size, size))

    def close(self) -> None:
        """Nothing to release."""

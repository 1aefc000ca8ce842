"""A preallocated ring between the audio driver's thread and the program: the driver only copies."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Chunk:
    """Consecutive captured samples.

    samples: float32 [n].
    position: of samples[0] since capture began, at the device's rate; lost samples are counted.
    captured_at: when samples[0] was heard, UTC seconds since the epoch.
    lost_before: samples lost just before samples[0].
    """

    samples: np.ndarray
    position: int
    captured_at: float
    lost_before: int = 0


class Ring:
    """One writer that never waits, one reader that does.

    The lock guards only counters, never a copy: the writer fills room that the reader has given back, and the reader
    copies what the writer has finished. When there is no room the newest samples are dropped and counted, so what is
    read stays in order and every loss has its place.

    capacity: samples it holds. rate_hz: of the samples, to tell when each was heard.
    """

    def __init__(self, capacity: int, rate_hz: int) -> None:
        self._store = np.zeros(capacity, np.float32)
        self._rate_hz = rate_hz
        self._written = 0
        self._read = 0
        self._gaps: deque[tuple[int, int]] = deque()
        self._dropped = 0
        self._lost_read = 0
        self._lost_written = 0
        self._stamp = (0, 0.0)
        self._wanted = 1
        self._ready = threading.Condition(threading.Lock())
        self._closed = False

    @property
    def lost_samples(self) -> int:
        """Samples lost so far, whether the driver lost them or the ring was full."""
        return self._lost_written + self._dropped

    def write(self, samples: np.ndarray, captured_at: float, lost_before: int = 0) -> None:
        """Copy samples [n] in. `lost_before`: samples the driver lost just before them. Called by one thread only."""
        with self._ready:
            room = self._store.size - (self._written - self._read)
        kept = min(room, samples.size)
        lost = self._dropped + lost_before
        self._put(samples[:kept])
        with self._ready:
            if lost and kept:
                self._gaps.append((self._written, lost))
                self._lost_written += lost
                lost = 0
            if kept:
                self._stamp = (self._written + self._lost_written, captured_at)
            self._written += kept
            self._dropped = lost + samples.size - kept
            if self._enough():
                self._ready.notify()

    def read(self, size: int, timeout_s: float) -> Chunk | None:
        """Wait for `size` samples and take them; fewer at a gap, at the end, or when the time is over; None when empty.

        A chunk never spans a gap.
        """
        with self._ready:
            self._wanted = size
            self._ready.wait_for(self._enough, timeout_s)
            lost = 0
            if self._gaps and self._gaps[0][0] == self._read and self._written > self._read:
                lost = self._gaps.popleft()[1]
                self._lost_read += lost
            until = self._gaps[0][0] if self._gaps else self._written
            count = min(size, until - self._read)
            if not count:
                return None
            position = self._read + self._lost_read
            stamped, stamp_s = self._stamp
        samples = self._take(count)
        with self._ready:
            self._read += count
        return Chunk(samples, position, stamp_s + (position - stamped) / self._rate_hz, lost)

    def close(self) -> None:
        """No more will be written; the reader drains what is there and no longer waits."""
        with self._ready:
            self._closed = True
            self._ready.notify()

    @property
    def finished(self) -> bool:
        """Closed and drained."""
        with self._ready:
            return self._closed and self._read == self._written

    def _enough(self) -> bool:
        if self._closed or self._written - self._read >= self._wanted:
            return True
        return bool(self._gaps) and self._gaps[0][0] > self._read

    def _put(self, samples: np.ndarray) -> None:
        at = self._written % self._store.size
        first = min(samples.size, self._store.size - at)
        self._store[at : at + first] = samples[:first]
        self._store[: samples.size - first] = samples[first:]

    def _take(self, count: int) -> np.ndarray:
        at = self._read % self._store.size
        first = min(count, self._store.size - at)
        return np.concatenate((self._store[at : at + first], self._store[: count - first]))

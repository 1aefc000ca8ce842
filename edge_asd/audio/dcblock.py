"""The high-pass that removes a microphone's offset: exact, fast without a compiled filter, and blind to the cut."""

from __future__ import annotations

import math

import numpy as np

CORNER_HZ = 5.0
"""-3 dB corner: far below any machine's tone, and settled a tenth of a second after a jump."""
SEGMENT_SAMPLES = 32
SEGMENTS_PER_PRODUCT = 16
SEGMENTS_PER_SUM = 125
"""Segments over which the running sum's powers stay small: 0.25 s at 16 kHz, e**8."""


class DcBlock:
    """y[n] = x[n] - m[n], m[n] = a m[n-1] + (1 - a) x[n], with m starting at x[0] so that an offset makes no step.

    numpy has no recursive filter, so a segment's output is written as a matrix product of its samples plus a decaying
    share of m at its start, and only the m between segments are recursive: a running sum of what each adds, scaled by
    a power of the decay. Products have one fixed shape and running sums add strictly in order on the stream's own
    grid, so that results are bit for bit the same in any cut. Up to 31 samples are held back until `flush`.

    rate_hz: sample rate; the corner is 5 Hz.
    """

    def __init__(self, rate_hz: int) -> None:
        decay = math.exp(-2.0 * math.pi * CORNER_HZ / rate_hz)
        index = np.arange(SEGMENT_SAMPLES)
        lag = index - index[:, None]
        answer = np.where(lag >= 0, (decay - 1.0) * decay ** np.maximum(lag, 0), 0.0) + np.eye(SEGMENT_SAMPLES)
        added = (1.0 - decay) * decay ** index[::-1]
        self._weights = np.column_stack((answer, added)).astype(np.float32)
        self._share = (-(decay ** (index + 1))).astype(np.float32)
        self._down = decay ** (SEGMENT_SAMPLES * np.arange(1, SEGMENTS_PER_SUM + 1))
        self._up = 1.0 / self._down
        self.reset()

    def reset(self) -> None:
        """Forget all: the next sample begins a stream."""
        self._pending = np.empty(0, np.float32)
        self._mean: float | None = None
        self._sum = 0.0
        self._at = 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        """float32 [n] -> float32 [m], the whole segments of all that was pushed."""
        if self._mean is None and samples.size:
            self._mean = self._sum = float(samples[0])
        waiting = np.concatenate((self._pending, samples)) if self._pending.size else samples
        whole = waiting.size - waiting.size % SEGMENT_SAMPLES
        self._pending = waiting[whole:].copy()
        if not whole:
            return np.empty(0, np.float32)
        return self._blocked(waiting[:whole].reshape(-1, SEGMENT_SAMPLES))

    def flush(self) -> np.ndarray:
        """End the stream: give the samples held back, float32 [< 32], and reset."""
        held = self._pending.size
        tail = self.push(np.zeros(-held % SEGMENT_SAMPLES, np.float32))[:held]
        self.reset()
        return tail

    def _blocked(self, segments: np.ndarray) -> np.ndarray:
        """[k, 32] -> [k * 32], moving the state on."""
        n_segments = len(segments)
        products = -(-n_segments // SEGMENTS_PER_PRODUCT)
        padded = np.zeros((products, SEGMENTS_PER_PRODUCT, SEGMENT_SAMPLES), np.float32)
        padded.reshape(-1, SEGMENT_SAMPLES)[:n_segments] = segments
        result = np.matmul(padded, self._weights).reshape(-1, SEGMENT_SAMPLES + 1)[:n_segments]
        blocked = self._means_before(result[:, -1])[:, None] * self._share
        blocked += result[:, :-1]
        return blocked.reshape(-1)

    def _means_before(self, added: np.ndarray) -> np.ndarray:
        """What each segment adds to m, [k] -> m at the start of each, float32 [k]."""
        means = np.empty(added.size + 1)
        means[0] = self._mean or 0.0
        done = 0
        while done < added.size:
            take = min(SEGMENTS_PER_SUM - self._at, added.size - done)
            grid = slice(self._at, self._at + take)
            running = self._up[grid] * added[done : done + take]
            running[0] += self._sum
            np.add.accumulate(running, out=running)
            means[done + 1 : done + take + 1] = running * self._down[grid]
            done += take
            self._at = (self._at + take) % SEGMENTS_PER_SUM
            self._sum = float(running[-1]) if self._at else float(means[done])
        self._mean = float(means[-1])
        return means[:-1].astype(np.float32)

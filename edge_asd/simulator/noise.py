"""Coloured noise and slow random curves: the parts of a sound that have a spectrum but no pitch."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Curve:
    """A level over frequency, straight between its knots on a logarithmic frequency axis and flat outside them.

    hz: knots, rising, above 0. db: level at each knot.
    """

    hz: tuple[float, ...]
    db: tuple[float, ...]

    def at(self, hz: np.ndarray) -> np.ndarray:
        """Level in dB at each frequency; same shape as `hz`. Frequencies under 1 Hz count as 1 Hz."""
        return np.interp(np.log2(np.maximum(hz, 1.0)), np.log2(self.hz), self.db)

    def moved(self, factor: float) -> Curve:
        """The same shape with every knot's frequency multiplied by `factor`."""
        return Curve(tuple(f * factor for f in self.hz), self.db)

    def plus(self, other: Curve) -> Curve:
        """The sum of both in dB, exact at the knots of either."""
        hz = np.unique(np.concatenate((self.hz, other.hz)))
        return Curve(tuple(hz.tolist()), tuple((self.at(hz) + other.at(hz)).tolist()))


@functools.lru_cache(maxsize=256)
def fast_length(n: int) -> int:
    """The smallest even 2^a 3^b 5^c that is at least `n`: lengths an FFT likes."""
    best = 1 << max(1, math.ceil(math.log2(max(n, 2))))
    five = 1
    while five < best:
        three = five
        while three < best:
            twos = max(1, math.ceil(math.log2(max(n, 2) / three))) if three < n else 1
            candidate = three << twos
            if n <= candidate < best:
                best = candidate
            three *= 3
        five *= 5
    return best


def shaped_noise(n: int, rate_hz: int, curve: Curve, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise with spectrum `curve`, float32 [n], unit expected power over the band below `rate_hz` / 2.

    It is drawn in the frequency domain, which halves the transforms.
    """
    size = fast_length(n)
    n_bins = size // 2 + 1
    # The curve is smooth: 1024 points of it are enough, and a linear interpolation costs less than a million logs.
    coarse_hz = np.geomspace(1.0, rate_hz / 2, 1024)
    bins_hz = np.arange(n_bins, dtype=np.float32) * (rate_hz / size)
    gains = np.interp(bins_hz, coarse_hz, 10.0 ** (curve.at(coarse_hz) / 20.0)).astype(np.float32)
    gains[0] = 0.0
    gains *= size / (2.0 * math.sqrt(float(np.dot(gains, gains)) or 1.0))
    spectrum = rng.standard_normal(2 * n_bins, dtype=np.float32).view(np.complex64)
    spectrum *= gains
    return np.fft.irfft(spectrum, size)[:n].astype(np.float32, copy=False)


def slow_walk(n: int, rate_hz: float, cutoff_hz: float, rng: np.random.Generator) -> np.ndarray:
    """A random curve of about unit variance that moves no faster than `cutoff_hz`, float32 [n]."""
    step = max(1.0, rate_hz / (2.0 * cutoff_hz))
    offset = rng.uniform()
    knots = rng.standard_normal(int(n / step + offset) + 3)
    # Straight lines between independent knots have two thirds of the knots' variance on average.
    knots *= math.sqrt(1.5)
    return np.interp(np.arange(n) / step + offset, np.arange(knots.size), knots).astype(np.float32)


def flutter(n: int, rate_hz: int, depth: float, cutoff_hz: float, rng: np.random.Generator) -> np.ndarray:
    """A log-normal gain of about unit power: the swelling of turbulence or of a loose contact, float32 [n].

    depth: standard deviation of the gain's natural logarithm (0.1 is barely heard, 1 comes and goes).
    """
    walk = slow_walk(n, rate_hz, cutoff_hz, rng)
    walk *= np.float32(depth)
    np.minimum(walk, 3.0, out=walk)
    walk -= np.float32(depth * depth)
    return np.exp(walk, out=walk)

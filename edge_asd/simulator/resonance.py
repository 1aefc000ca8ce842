"""Impacts, and the structures that ring: banks of damped modes and causal filters, applied by FFT."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_asd.simulator.noise import Curve, fast_length


@dataclass(frozen=True)
class Mode:
    """A damped resonance, the impulse response gain * exp(-t / decay_s) * sin(2 pi hz t)."""

    hz: float
    decay_s: float
    gain: float


def ringing(modes: tuple[Mode, ...], rate_hz: int) -> np.ndarray:
    """Impulse response of a bank of modes, float32 [m] of unit energy; modes above the band are left out."""
    heard = [mode for mode in modes if mode.hz < 0.47 * rate_hz]
    if not heard:
        return np.ones(1, np.float32)
    # 5 time constants are 43 dB down; a longer tail only costs time.
    n = max(8, int(rate_hz * min(0.5, 5.0 * max(mode.decay_s for mode in heard))))
    t = np.arange(n) / rate_hz
    response = np.zeros(n)
    for mode in heard:
        response += mode.gain * np.exp(-t / mode.decay_s) * np.sin(2.0 * np.pi * mode.hz * t)
    return (response / np.sqrt(np.dot(response, response))).astype(np.float32)


def minimum_phase(curve: Curve, rate_hz: int, taps: int = 512) -> np.ndarray:
    """The causal filter with magnitude `curve` whose energy comes first, float32 [taps].

    Folding the real cepstrum onto positive time gives it (Oppenheim and Schafer, Discrete-Time Signal Processing).
    A filter with zero phase would let a fault be heard before it sets in.
    """
    size = 8 * taps
    log_magnitude = curve.at(np.fft.rfftfreq(size, 1.0 / rate_hz)) * (np.log(10.0) / 20.0)
    cepstrum = np.fft.irfft(log_magnitude, size)
    cepstrum[1 : size // 2] *= 2.0
    cepstrum[size // 2 + 1 :] = 0.0
    response = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)), size)[:taps]
    response *= np.minimum(1.0, np.linspace(4.0, 0.0, taps))
    return response.astype(np.float32)


def convolve(signal: np.ndarray, response: np.ndarray) -> np.ndarray:
    """`signal` through a causal filter, float32 [n]: as long as the signal, the tail beyond its end is dropped."""
    n = signal.size
    if response.size == 1 or n == 0:
        return signal * response[0]
    size = fast_length(min(n + response.size - 1, max(4096, 4 * response.size)))
    # Overlap-add: blocks that fit the cache are transformed in half the time of the whole.
    block = size - response.size + 1
    rows = -(-n // block)
    padded = np.zeros((rows, size), np.float32)
    padded[: n // block, :block] = signal[: n // block * block].reshape(-1, block)
    if n % block:
        padded[-1, : n % block] = signal[n // block * block :]
    spectrum = np.fft.rfft(padded)
    spectrum *= np.fft.rfft(response, size)
    filtered = np.fft.irfft(spectrum, size)
    out = filtered[:, :block].reshape(-1).astype(np.float32, copy=False)
    for row in range(1, rows):
        head = out[row * block : row * block + response.size - 1]
        head += filtered[row - 1, block : block + head.size]
    return out[:n]


def crossings(turns: np.ndarray, ratio: float, slip: float, rng: np.random.Generator) -> np.ndarray:
    """Where something that strikes `ratio` times a turn strikes, float64 [k] in samples.

    turns: float64 [n], never falling. slip: standard deviation of one interval relative to the interval; rolling
    elements slip by 0.01-0.02, so their impacts wander off any exact period (Antoni and Randall, 2002), 1 is random.
    """
    angle = turns * ratio
    n_expected = int(angle[-1] - angle[0]) + 2
    intervals = np.maximum(0.02, 1.0 + slip * rng.standard_normal(n_expected))
    strikes = angle[0] + rng.uniform() * intervals[0] + np.cumsum(intervals) - intervals[0]
    return np.interp(strikes[strikes < angle[-1]], angle, np.arange(turns.size))


def pulses(n: int, places: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Unit pulses of the given heights between samples, float32 [n]. places, heights: float [k]."""
    out = np.zeros(n + 1, np.float32)
    inside = (places >= 0) & (places < n)
    places, heights = places[inside], heights[inside]
    index = places.astype(np.int64)
    fraction = places - index
    np.add.at(out, index, heights * (1.0 - fraction))
    np.add.at(out, index + 1, heights * fraction)
    return out[:n]

"""What happens to generated sound between the scene and the file: a neighbour, noise, an equaliser, a recorder.

The student hears the result; the teacher hears it too or the sound before it, as the recipe's data.teacher_hears says.
"""

from __future__ import annotations

import numpy as np

TILT_PIVOT_HZ, TILT_LOWEST_HZ = 1000.0, 50.0
NOISE_SLOPES_DB_PER_OCTAVE = (-9.0, 3.0)
BAND_LIMITS_HZ = (3000.0, 7500.0)
BAND_LIMIT_PROBABILITY = 0.1
RECORDED_DBFS = (-65.0, -12.0)
FULL_SCALE = 32768.0


def rms(samples: np.ndarray) -> float:
    """Root mean square, never quite zero."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)) + 1e-20))


def at_level(samples: np.ndarray, level_dbfs: float) -> np.ndarray:
    """The same sound at an RMS of `level_dbfs` re full scale 1."""
    return (samples * (10.0 ** (level_dbfs / 20.0) / rms(samples))).astype(np.float32)


def mixed(samples: np.ndarray, other: np.ndarray, snr_db: float) -> np.ndarray:
    """`samples` with `other` added, `snr_db` below it in power."""
    return samples + other * np.float32(rms(samples) / rms(other) * 10.0 ** (-snr_db / 20.0))


def coloured_noise(n: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of a random spectral slope, float32 [n]."""
    white = rng.standard_normal(n).astype(np.float32)
    return _tilted(white, rate_hz, rng.uniform(*NOISE_SLOPES_DB_PER_OCTAVE), None)


def equalised(samples: np.ndarray, rate_hz: int, tilt_db_per_octave: float, rng: np.random.Generator) -> np.ndarray:
    """A random slope up to `tilt_db_per_octave` either way and now and then an upper band edge, as of a codec."""
    limit_hz = rng.uniform(*BAND_LIMITS_HZ) if rng.random() < BAND_LIMIT_PROBABILITY else None
    return _tilted(samples, rate_hz, rng.uniform(-tilt_db_per_octave, tilt_db_per_octave), limit_hz)


def _tilted(samples: np.ndarray, rate_hz: int, db_per_octave: float, limit_hz: float | None) -> np.ndarray:
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(samples.size, 1.0 / rate_hz)
    gain_db = db_per_octave * np.log2(np.maximum(hz, TILT_LOWEST_HZ) / TILT_PIVOT_HZ)
    gain = 10.0 ** (gain_db / 20.0)
    if limit_hz is not None:
        gain[hz > limit_hz] = 0.0
    return np.fft.irfft(spectrum * gain, samples.size).astype(np.float32)


def recorded(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Taken down in 16 bits at a random level: real files have such a floor, and some clip a little."""
    steps = np.round(at_level(samples, rng.uniform(*RECORDED_DBFS)) * FULL_SCALE)
    return (np.clip(steps, -FULL_SCALE, FULL_SCALE - 1) / FULL_SCALE).astype(np.float32)

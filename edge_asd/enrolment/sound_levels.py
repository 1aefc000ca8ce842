"""How loud normal sound is and how much mains hum is in it: what a microphone's health is later judged by."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from edge_asd.audio.block import level_dbfs
from edge_asd.errors import DataError

HUM_RATE_HZ = 1000
"""Hum lies far below: the sound is averaged down to about this rate before it is looked for, a tenth of the work."""
MAINS_HZ = (50, 60)
HARMONICS = 5
LOUDEST_HUM_DB, FAINTEST_HUM_DB = 60.0, -60.0
FLOOR_PERCENTILE, HUM_PERCENTILE = 5.0, 95.0


def hum_db(second: np.ndarray, rate_hz: int) -> float:
    """Power at 50 or 60 Hz and four harmonics against all else below 500 Hz, in dB; within +-60.

    second: float32 [rate_hz], one second, so that the lines of its spectrum are 1 Hz apart.
    """
    factor, window, lines = _prepared(second.size, rate_hz)
    slow = second[: window.size * factor].reshape(-1, factor) @ np.full(factor, 1.0 / factor, np.float32)
    spectrum = np.fft.rfft((slow - slow.mean()) * window)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    all_power = float(power.sum())
    if all_power <= 0.0:
        return FAINTEST_HUM_DB
    best = max(float(power[own].sum()) for own in lines)
    ratio = max(best, 1e-30) / max(all_power - best, 1e-30)
    return float(np.clip(10.0 * math.log10(ratio), FAINTEST_HUM_DB, LOUDEST_HUM_DB))


@lru_cache(maxsize=4)
def _prepared(size: int, rate_hz: int) -> tuple[int, np.ndarray, list[np.ndarray]]:
    """For sounds of one length: samples averaged to one, window, and the bins of each mains with their neighbours."""
    factor = max(1, rate_hz // HUM_RATE_HZ)
    window = np.hanning(size // factor).astype(np.float32)
    bins = window.size // 2 + 1
    lines = []
    for mains_hz in MAINS_HZ:
        centres = mains_hz * np.arange(1, HARMONICS + 1)
        centres = centres[centres + 1 < bins]
        lines.append(np.concatenate([centres + offset for offset in (-1, 0, 1)]))
    return factor, window, lines


def levels_of(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Level in dBFS and hum in dB of each whole second: float32 [n] at `rate_hz` -> float32 [seconds, 2]."""
    seconds = samples[: samples.size // rate_hz * rate_hz].reshape(-1, rate_hz)
    return np.array([(level_dbfs(s), hum_db(s, rate_hz)) for s in seconds], np.float32).reshape(-1, 2)


@dataclass(frozen=True)
class SoundBaseline:
    """The enrolment's levels, one second each.

    floor_dbfs: the quietest (5th percentile); median_dbfs, loudest_dbfs. hum_db: the most usual (95th percentile).
    """

    floor_dbfs: float
    median_dbfs: float
    loudest_dbfs: float
    hum_db: float

    @classmethod
    def fit(cls, levels: np.ndarray) -> SoundBaseline:
        """From rows of `levels_of`, float32 [n, 2], n >= 1."""
        level, hum = levels.T
        figures = (np.percentile(level, FLOOR_PERCENTILE), np.median(level), level.max())
        return cls(*(round(float(x), 1) for x in (*figures, np.percentile(hum, HUM_PERCENTILE))))

    def joined(self, other: SoundBaseline, share: float) -> SoundBaseline:
        """Of this enrolment and another one; share: of the other in all seconds, for the median. What either heard is
        known."""
        median = round((1.0 - share) * self.median_dbfs + share * other.median_dbfs, 1)
        low, loud = min(self.floor_dbfs, other.floor_dbfs), max(self.loudest_dbfs, other.loudest_dbfs)
        return SoundBaseline(low, median, loud, max(self.hum_db, other.hum_db))

    def to_dict(self) -> dict[str, float]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> SoundBaseline:
        """From parsed JSON. Raises DataError for anything but four finite numbers."""
        try:
            made = cls(**{name: float(value) for name, value in data.items()})
        except (AttributeError, TypeError, ValueError) as error:
            raise DataError(f"sound baseline: {error!r} in {data!r}") from error
        if not all(map(math.isfinite, asdict(made).values())):
            raise DataError(f"sound baseline: {data!r} is not finite")
        return made

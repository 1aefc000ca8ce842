"""Why a sound is anomalous, in words and numbers: the bands that rose or fell against the nearest normal windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_asd.contract import LogMelSpec
from edge_asd.frontend import mel_edges_hz
from edge_asd.spectra import SpectrumBank

MIN_CHANGE_DB = 3.0
NORMAL_DEVIATIONS = 3.0
"""A band has changed where it left its own normal spread by this many standard deviations."""
PEAK_RANGE_DB = 10.0
"""Of bands that moved together, those within this of the largest change are named: a window's side lobes and a slope's
foot would make a tone look broad and faint."""
MAX_BANDS = 3


@dataclass(frozen=True)
class BandChange:
    """Neighbouring bands that moved together: edges in Hz and the mean change in dB."""

    from_hz: float
    to_hz: float
    change_db: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"from_hz": round(self.from_hz), "to_hz": round(self.to_hz), "change_db": round(self.change_db, 1)}


@dataclass(frozen=True)
class Explanation:
    """What changed: a sentence, and the bands it speaks of, the largest change first."""

    text: str
    bands: tuple[BandChange, ...]


def explain(spectra_db: np.ndarray, nearest: np.ndarray, bank: SpectrumBank, spec: LogMelSpec) -> Explanation:
    """Compare the mean spectrum of some windows with that of the normal windows nearest to them.

    spectra_db: [n, n_mels], mean log-mel of each window, n >= 1. nearest: [n], indices into the bank.
    """
    heard = spectra_db.mean(axis=0)
    enrolled = bank.mean_db
    normal = enrolled[nearest].mean(axis=0)
    spread = enrolled.std(axis=0)
    change = heard - normal
    moved = np.abs(change) >= np.maximum(MIN_CHANGE_DB, NORMAL_DEVIATIONS * spread)
    edges = mel_edges_hz(spec)
    runs = _runs(np.where(moved, np.sign(change), 0.0))
    runs = [_peak(change, a, b) for a, b in runs]
    # The largest first: many bands that moved weigh like one that moved more.
    runs = sorted(runs, key=lambda run: -abs(change[run[0] : run[1]].mean()) * np.sqrt(run[1] - run[0]))[:MAX_BANDS]
    bands = [BandChange(float(edges[a]), float(edges[b + 1]), float(change[a:b].mean())) for a, b in runs]
    if bands:
        return Explanation("; ".join(_words(band) for band in bands), tuple(bands))
    largest = int(np.abs(change).argmax())
    centre_hz = float(edges[largest + 1])
    return Explanation(
        f"no band left its normal range; the pattern in time changed (largest difference {change[largest]:+.1f} dB "
        f"near {_hz(centre_hz)})",
        (),
    )


def _runs(signs: np.ndarray) -> list[tuple[int, int]]:
    """Half-open ranges of equal non-zero sign."""
    borders = np.flatnonzero(np.diff(signs)) + 1
    starts = np.concatenate(([0], borders))
    ends = np.concatenate((borders, [len(signs)]))
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True) if signs[a] != 0.0]


def _peak(change: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """The part of a run around its largest change that stays within PEAK_RANGE_DB of it."""
    size = np.abs(change[start:end])
    low = size < size.max() - PEAK_RANGE_DB
    peak = int(size.argmax())
    before, after = np.flatnonzero(low[:peak]), np.flatnonzero(low[peak:])
    first = start + (int(before[-1]) + 1 if before.size else 0)
    last = start + peak + int(after[0]) if after.size else end
    return first, last


def _words(band: BandChange) -> str:
    verb = "rose" if band.change_db > 0 else "fell"
    return f"{_hz(band.from_hz)} to {_hz(band.to_hz)} {verb} by {abs(band.change_db):.0f} dB"


def _hz(frequency_hz: float) -> str:
    return f"{frequency_hz / 1000:.1f} kHz" if frequency_hz >= 1000 else f"{frequency_hz:.0f} Hz"

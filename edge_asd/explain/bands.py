"""What moved in the mean spectrum: everything alike, wide stretches, or neighbouring bands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_asd.contract import LogMelSpec
from edge_asd.explain.findings import BandChange, Finding, db_words, hz_words
from edge_asd.frontend import mel_edges_hz

MIN_CHANGE_DB = 3.0
NORMAL_DEVIATIONS = 3.0
"""A band has changed where it left its own normal spread by this many standard deviations."""
PEAK_RANGE_DB = 10.0
"""Of bands that moved together, those within this of the largest change are named: a window's side lobes and a slope's
foot would make a tone look broad and faint."""
MAX_BANDS = 3
ALIKE_DB = 3.0
"""Bands that moved within this of their median moved alike..."""
ALIKE_SHARE = 0.6
"""... and where this share of them did, holding this share of the normal power, it was the level."""
WIDE_SHARE = 0.12
"""A stretch of at least this share of all bands, over an octave or to an end of the spectrum, is broad."""
UNEVEN_DB = 6.0
"""Where a broad change is this much larger than its mean, that place is named."""


@dataclass(frozen=True)
class Difference:
    """Windows held against the normal windows nearest to them, in every band [n_mels], dB.

    heard, normal: mean spectra. unsteadiness, normal_unsteadiness: standard deviations over time within a window.
    spread, unsteadiness_spread: how far mean and deviation differ among all enrolled windows.
    spec: the front end.
    """

    heard: np.ndarray
    normal: np.ndarray
    unsteadiness: np.ndarray
    normal_unsteadiness: np.ndarray
    spread: np.ndarray
    unsteadiness_spread: np.ndarray
    spec: LogMelSpec

    @property
    def change(self) -> np.ndarray:
        """Louder is above 0."""
        return self.heard - self.normal

    @property
    def edges_hz(self) -> np.ndarray:
        """Edges of the bands, [n_mels + 2]."""
        return mel_edges_hz(self.spec)

    def needed(self, least_db: float = MIN_CHANGE_DB) -> np.ndarray:
        """The change a band needs to have left its normal range."""
        return np.maximum(least_db, NORMAL_DEVIATIONS * self.spread)


def changed_bands(difference: Difference) -> tuple[BandChange, ...]:
    """The bands that left their normal range, the largest change first."""
    runs = _moved(difference, difference.change)[:MAX_BANDS]
    return tuple(_band(difference, difference.change, run) for run in runs)


def level_finding(difference: Difference) -> Finding | None:
    """Everything became louder or quieter by the same: the machine, the microphone or its gain, not one part."""
    change, edges = difference.change, difference.edges_hz
    shift = float(np.median(change))
    alike = np.abs(change - shift) <= ALIKE_DB
    if alike.mean() < ALIKE_SHARE or abs(shift) < float(np.median(difference.needed())):
        return None
    shift = float(change[alike].mean())
    power = 10.0 ** (difference.normal / 10.0)
    if power[alike].sum() < ALIKE_SHARE * power.sum():
        return None  # noise that filled the quiet bands, while what is loud stayed as it was
    word = "louder" if shift > 0 else "quieter"
    text = f"everything is {word}: level {db_words(shift)}"
    weight = abs(shift) * len(change) ** 0.5
    return Finding("level", text, weight, float(edges[0]), float(edges[-1]), change_db=shift)


def band_findings(difference: Difference, shift_db: float, told: np.ndarray) -> list[Finding]:
    """Stretches that rose or fell against what is already said.

    shift_db: change of the level. told: bool [n_mels], bands that a tone explains.
    """
    change = _levelled(difference.change - shift_db, told)
    moved = np.abs(change) >= difference.needed()
    return [_finding(difference, change, run) for run in runs_of(np.where(moved, np.sign(change), 0.0))]


def _levelled(change: np.ndarray, told: np.ndarray) -> np.ndarray:
    """The change without the peaks of the told bands: what both their neighbours did remains."""
    levelled = change.copy()
    for start, end in runs_of(told.astype(float)):
        left = change[start - 1] if start else change[min(end, len(change) - 1)]
        right = change[end] if end < len(change) else left
        alike = left * right > 0
        levelled[start:end] = np.sign(left) * min(abs(left), abs(right)) if alike else 0.0
    return levelled


def _finding(difference: Difference, change: np.ndarray, run: tuple[int, int]) -> Finding:
    # Where one band hands over to the next; the triangles reach further.
    middles = 0.5 * (difference.edges_hz[1:] + difference.edges_hz[:-1])
    at_bottom, at_top = run[0] <= 1, run[1] >= len(change) - 2
    wide = run[1] - run[0] >= WIDE_SHARE * len(change) and (
        at_bottom or at_top or middles[run[1]] >= 2.0 * middles[run[0]]
    )
    if not wide:
        run = _peak(change, *run)
    low_hz, high_hz = float(middles[run[0]]), float(middles[run[1]])
    inside = change[run[0] : run[1]]
    mean_db = float(inside.mean())
    weight = abs(mean_db) * inside.size**0.5
    if not wide:
        verb = "rose" if mean_db > 0 else "fell"
        ends = (hz_words(low_hz), hz_words(high_hz))
        place = " to ".join(ends) if ends[0] != ends[1] else f"around {ends[0]}"
        text = f"{place} {verb} by {abs(mean_db):.0f} dB"
        return Finding("band", text, weight, low_hz, high_hz, change_db=mean_db)
    where = f"from {hz_words(low_hz)} to {hz_words(high_hz)}"
    if at_top:
        where = "at all frequencies" if at_bottom else f"above {hz_words(low_hz)}"
    elif at_bottom:
        where = f"below {hz_words(high_hz)}"
    text = f"broadband {'rise' if mean_db > 0 else 'fall'} {where}, {db_words(mean_db)}"
    largest = int(np.abs(inside).argmax())
    if abs(inside[largest]) >= abs(mean_db) + UNEVEN_DB:
        at_hz = float(difference.edges_hz[run[0] + largest + 1])
        text += f" (most near {hz_words(at_hz)}, {db_words(float(inside[largest]))})"
    return Finding("broadband", text, weight, low_hz, high_hz, change_db=mean_db)


def _band(difference: Difference, change: np.ndarray, run: tuple[int, int]) -> BandChange:
    edges = difference.edges_hz
    return BandChange(float(edges[run[0]]), float(edges[run[1] + 1]), float(change[run[0] : run[1]].mean()))


def _moved(difference: Difference, change: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of bands that left their normal range; many bands that moved weigh like one that moved more."""
    moved = np.abs(change) >= difference.needed()
    runs = [_peak(change, a, b) for a, b in runs_of(np.where(moved, np.sign(change), 0.0))]
    return sorted(runs, key=lambda run: -abs(change[run[0] : run[1]].mean()) * np.sqrt(run[1] - run[0]))


def runs_of(signs: np.ndarray) -> list[tuple[int, int]]:
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

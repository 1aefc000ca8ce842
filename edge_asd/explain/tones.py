"""Tones that came, went or moved: narrow peaks of the mean spectrum that stand still in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_asd.explain.bands import Difference
from edge_asd.explain.findings import Finding, db_words, hz_words

REACH = 6
"""Bands to each side in which a peak must fall off, on both sides."""
LOBE = 3
"""Half of the bands that a window's transform spreads one tone over."""
MIN_PROMINENCE_DB = 5.0
FOOT_DB = 6.0
MAX_WIDTH = 6
"""A tone's bands within FOOT_DB of its peak; more is a resonance or noise."""
STEADY_DB = 3.0
"""A tone's level deviates less than this from frame to frame; narrow-band noise and ringing deviate more."""
MOVED_RATIO = 1.4
"""A tone that went and one that came are one that moved if they lie no further apart..."""
MOVED_DB = 12.0
"""... and are about as strong."""
MOVED_ALIKE = 0.03
"""Tones whose ratios differ by no more moved together."""
SERIES_AT_LEAST = 4
SERIES_SHARE = 0.75
SERIES_TOLERANCE = 0.1
"""How far a tone may lie from a multiple, in spacings."""
MAX_ORDER_STEP = 2
"""Most neighbours in a series are neighbours in order; a few peaks far apart fit many spacings by chance."""
SPACING_BANDS = 2.5
"""Tones closer than this flow together, and a finer spacing would fit any peaks."""


@dataclass(frozen=True)
class Peak:
    """One narrow peak that one spectrum has and the other lacks. band: its index; hz: by the centre of its power;
    level_db, change_db: of the peak, and against the other spectrum; steady: in time."""

    band: int
    hz: float
    level_db: float
    change_db: float
    steady: bool


def tone_findings(difference: Difference, shift_db: float) -> tuple[list[Finding], np.ndarray]:
    """New, missing and moved tones, and the bands they explain, bool [n_mels].

    shift_db: change of the whole level, which says nothing about a tone.
    """
    heard = difference.heard - shift_db
    came = _peaks(difference, heard, difference.normal, difference.unsteadiness)
    went = _peaks(difference, difference.normal, heard, difference.normal_unsteadiness)
    went = [peak for peak in went if peak.steady]
    told = np.zeros(len(heard), bool)
    for peak in came + went:
        told[max(0, peak.band - LOBE) : peak.band + LOBE + 1] = True
    moved, came, went = _moved(difference, came, went)
    series, came = _series(difference, came)
    findings = moved + series
    for peak in came:
        kind, noun = ("tone", "new tone") if peak.steady else ("unsteady_tone", "new unsteady tone")
        findings.append(_finding(difference, peak, kind, noun, peak.change_db))
    findings += [_finding(difference, peak, "tone_gone", "missing tone", -peak.change_db) for peak in went]
    return findings, told


def prominence(spectrum_db: np.ndarray) -> np.ndarray:
    """How far each band stands above the higher of its two sides' valleys within REACH bands, dB [n_mels]."""
    n = len(spectrum_db)
    padded = np.pad(spectrum_db, REACH, mode="edge")
    valleys = np.lib.stride_tricks.sliding_window_view(padded, REACH + 1).min(axis=1)
    left, right = valleys[:n], valleys[REACH : REACH + n]
    # At the ends of the spectrum there is but one side.
    left, right = np.where(np.arange(n) < LOBE, right, left), np.where(np.arange(n) >= n - LOBE, left, right)
    return spectrum_db - np.maximum(left, right)


def _peaks(difference: Difference, with_it: np.ndarray, without: np.ndarray, unsteadiness: np.ndarray) -> list[Peak]:
    """Peaks of one spectrum that the other lacks, the largest change first."""
    change = with_it - without
    out = np.minimum(prominence(with_it), prominence(change))
    padded = np.pad(with_it, 1, constant_values=-np.inf)
    top = (with_it >= padded[:-2]) & (with_it > padded[2:])
    # The maxima of a spectrum and of its change may lie a band apart.
    near_out = np.lib.stride_tricks.sliding_window_view(np.pad(out, 1, mode="edge"), 3).max(axis=1)
    peaks = []
    for band in np.flatnonzero(
        top & (near_out >= MIN_PROMINENCE_DB) & (change >= difference.needed(MIN_PROMINENCE_DB))
    ):
        low = np.flatnonzero(with_it < with_it[band] - FOOT_DB)
        width = min(low[low > band], default=len(change)) - max(low[low < band], default=-1) - 1
        if width <= MAX_WIDTH:
            steady = bool(unsteadiness[max(0, band - 1) : band + 2].min() <= STEADY_DB)
            hz = _centre_hz(difference, with_it, int(band))
            peaks.append(Peak(int(band), hz, float(with_it[band]), float(change[band]), steady))
    return sorted(peaks, key=lambda peak: -peak.change_db)


def _centre_hz(difference: Difference, spectrum_db: np.ndarray, band: int) -> float:
    """Where the power of a peak lies between the middles of its bands."""
    near = slice(max(0, band - 1), band + 2)
    power = 10.0 ** ((spectrum_db[near] - spectrum_db[band]) / 10.0)
    return float(np.average(difference.edges_hz[1:-1][near], weights=power))


def _finding(difference: Difference, peak: Peak, kind: str, noun: str, change_db: float) -> Finding:
    place = _place(difference, peak.band, peak.band)
    text = f"{noun} near {hz_words(peak.hz)}, {db_words(change_db)}"
    weight = abs(change_db) * LOBE**0.5
    return Finding(kind, text, weight, *place, frequency_hz=peak.hz, change_db=change_db)


def _place(difference: Difference, first: int, last: int) -> tuple[float, float]:
    """Edges in Hz around the peaks in bands first to last."""
    edges = difference.edges_hz
    return float(edges[max(0, first - LOBE + 1)]), float(edges[min(len(edges) - 1, last + LOBE + 1)])


def _moved(difference: Difference, came: list[Peak], went: list[Peak]) -> tuple[list[Finding], list[Peak], list[Peak]]:
    """A tone that went and one of like strength beside it are one that moved: the machine turns faster or slower.

    Gives a finding for all that moved alike, and the tones left over.
    """
    pairs: list[tuple[Peak, Peak]] = []
    for old in went:
        near = [
            new
            for new in came
            if 1.0 / MOVED_RATIO <= new.hz / old.hz <= MOVED_RATIO
            and abs(new.level_db - old.level_db) <= MOVED_DB
            and all(new is not other for _, other in pairs)
        ]
        if near:
            pairs.append((old, min(near, key=lambda peak: abs(np.log(peak.hz / old.hz)))))
    findings = []
    left = list(pairs)
    while left:
        ratio = left[0][1].hz / left[0][0].hz
        alike = [pair for pair in left if abs(pair[1].hz / pair[0].hz / ratio - 1.0) <= MOVED_ALIKE]
        left = [pair for pair in left if pair not in alike]
        findings.append(_moved_finding(difference, alike))
    moved = [peak for pair in pairs for peak in pair]
    return findings, [peak for peak in came if peak not in moved], [peak for peak in went if peak not in moved]


def _moved_finding(difference: Difference, pairs: list[tuple[Peak, Peak]]) -> Finding:
    """Pairs (old, new) with one ratio, the strongest first."""
    old, new = pairs[0]
    more = f" and {len(pairs) - 1} more alike" if len(pairs) > 1 else ""
    share = f"{100.0 * (new.hz / old.hz - 1.0):+.0f} %"
    text = f"tone moved from {hz_words(old.hz)} to {hz_words(new.hz)} ({share}){more}"
    if len(pairs) > 1:
        text += f": it runs {'faster' if new.hz > old.hz else 'slower'}"
    bands = [peak.band for pair in pairs for peak in pair]
    weight = sum(max(new.change_db, old.change_db) ** 2 * 2.0 * LOBE for old, new in pairs) ** 0.5
    place = _place(difference, min(bands), max(bands))
    return Finding("tone_moved", text, weight, *place, frequency_hz=new.hz, change_db=new.level_db - old.level_db)


def _series(difference: Difference, peaks: list[Peak]) -> tuple[list[Finding], list[Peak]]:
    """Tones at multiples of one spacing become one finding; the peaks left over come back."""
    if len(peaks) < SERIES_AT_LEAST:
        return [], peaks
    hz = np.array([peak.hz for peak in peaks])
    finest_hz = SPACING_BANDS * float(np.diff(difference.edges_hz).min())
    spacings = finest_hz * 1.002 ** np.arange(int(np.log(max(1.0, hz.max() / finest_hz)) / np.log(1.002)) + 1)
    orders = np.rint(hz / spacings[:, None])
    fits = (np.abs(hz / spacings[:, None] - orders) < SERIES_TOLERANCE) & (orders >= 1)
    count = fits.sum(axis=1)
    if count.max() < max(SERIES_AT_LEAST, SERIES_SHARE * len(peaks)):
        return [], peaks
    # Halves and thirds of a spacing fit as well: the widest that fits nearly all is meant.
    at = int(np.flatnonzero(count >= 0.9 * count.max())[-1])
    if np.median(np.diff(np.sort(orders[at][fits[at]]))) > MAX_ORDER_STEP:
        return [], peaks
    inside = [peak for peak, fit in zip(peaks, fits[at], strict=True) if fit]
    spacing_hz = float(np.sum(hz[fits[at]] * orders[at][fits[at]]) / np.sum(orders[at][fits[at]] ** 2))
    strongest = inside[0]
    bands = [peak.band for peak in inside]
    text = (
        f"new tones every {hz_words(spacing_hz)}, the strongest near {hz_words(strongest.hz)}, "
        f"{db_words(strongest.change_db)}"
    )
    weight = sum(peak.change_db**2 * LOBE for peak in inside) ** 0.5
    finding = Finding(
        "tones", text, float(weight), *_place(difference, min(bands), max(bands)),
        frequency_hz=spacing_hz, change_db=strongest.change_db,
    )  # fmt: skip
    return [finding], [peak for peak in peaks if peak not in inside]

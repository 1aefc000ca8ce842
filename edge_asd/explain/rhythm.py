"""What changed in time: impacts and pulsations with their rate, and sound that became less or more steady.

Log-mel frames come `rate_hz / hop_samples` times a second (31 with the default model), so nothing above half of that
can be told from its mirror image below; and a frame looks at `n_fft` samples, which smooths fast rhythms away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_asd.contract import LogMelSpec, ModelContract
from edge_asd.explain.bands import NORMAL_DEVIATIONS, Difference, runs_of
from edge_asd.explain.findings import Finding, db_words, hz_words, rate_words
from edge_asd.frontend import hann_periodic

GROUPS = 8
"""Wide bands whose loudness is followed: an impact sounds in many bands at once, their noise does not."""
PADDING = 4
"""Spectra of loudness are computed this many times finer, so that a line's top is found between the bins."""
STRETCH_S = 2.0
"""Rhythms are sought in stretches of sound no shorter than this, however short the windows that are scored."""
BATCH = 64
"""Stretches of a recording that are in memory at once."""
CYCLES_AT_LEAST = 4.0
"""In a stretch; slower rhythms are the machine's work, and would be guessed from one or two cycles."""
PROMINENCE, PROMINENCE_OF_ONE = 4.0, 12.0
"""Power of a line against both its sides and the median: of many stretches' mean, and of a single one, by chance."""
SIDES = np.arange(2 * PADDING, 3 * PADDING)
"""Where a line's window has let go of it, in bins to each side."""
MIN_DEPTH_DB = 1.0
"""Amplitude of a rhythm."""
NEW_POWER_RATIO = 4.0
"""A rhythm is new where it has this many times the power it had in normal sound."""
GROWN_SHARE = 0.5
"""Where normal rhythms are not known: share of a rhythm's power by which the bands' unsteadiness must have grown."""
SHARP_SHARE = 0.12
"""Blows are short: their second harmonic has at least this share of the power that a train of clicks would give it. A
soft swelling has less, and so has the mirror image of a rate above half of the frame rate."""
MIN_UNSTEADY_DB = 1.5
MIN_UNSTEADY_BANDS = 8
BY_PRODUCT = 0.5
"""Weight of steadiness: most of what rises also makes the sound steadier, or less steady."""


@dataclass(frozen=True)
class Rhythm:
    """A line in the spectrum of a loudness. depth_db: its amplitude; sharp: it has harmonics; group: its bands."""

    rate_hz: float
    depth_db: float
    sharp: bool
    group: np.ndarray


def rhythm_findings(
    difference: Difference, stretches_db: np.ndarray, normal_rhythms: np.ndarray | None = None
) -> list[Finding]:
    """New rhythms in stretches of log-mel frames [k, frames, n_mels], k >= 0, and changed steadiness.

    normal_rhythms: `loudness_spectra` of the enrolled sound; None: not known.
    """
    rhythm = _strongest(difference, stretches_db, normal_rhythms) if len(stretches_db) else None
    told = np.zeros(len(difference.heard), bool)
    findings = []
    if rhythm is not None:
        findings.append(_rhythm_finding(difference, rhythm))
        told[rhythm.group] = True
    return findings + _steadiness(difference, told)


def frame_rate_hz(spec: LogMelSpec) -> float:
    """Frames a second."""
    return spec.rate_hz / spec.hop_samples


def stretch_frames(contract: ModelContract) -> int:
    """Frames of a stretch in which rhythms are sought: a window's, or those of `STRETCH_S` where windows are short."""
    spec = contract.features
    hops = math.ceil((STRETCH_S * spec.rate_hz - spec.n_fft) / spec.hop_samples)
    return max(contract.window_frames, 1 + hops)


def stretches(frames: np.ndarray, contract: ModelContract, ends: np.ndarray) -> np.ndarray:
    """Stretches of a recording's frames [n, n_mels]: [k, stretch_frames, n_mels], none of a recording shorter than one.

    ends: one past the last frame of each; one for which that is too early stands for the recording's first stretch.
    """
    size = stretch_frames(contract)
    if len(frames) < size:
        return np.empty((0, size, frames.shape[1]), frames.dtype)
    every = np.lib.stride_tricks.sliding_window_view(frames, size, axis=0).transpose(0, 2, 1)
    return every[np.unique(np.maximum(ends, size)) - size]


def recording_spectra(frames: np.ndarray, contract: ModelContract) -> np.ndarray | None:
    """`loudness_spectra` of all of a recording's frames [n, n_mels], its stretches overlapping by half.

    None where it is shorter than one.
    """
    size = stretch_frames(contract)
    if len(frames) < size:
        return None
    ends = np.append(np.arange(size, len(frames), size // 2), len(frames))
    batches = [ends[first : first + BATCH] for first in range(0, len(ends), BATCH)]
    found = [loudness_spectra(stretches(frames, contract, batch)) for batch in batches]
    return np.average(found, axis=0, weights=[len(batch) for batch in batches]).astype(np.float32)


def loudness_spectra(stretches_db: np.ndarray) -> np.ndarray:
    """How loudness fluctuates: the mean over stretches [k, frames, n_mels] of its power spectrum in some wide bands.

    Returns float32 [GROUPS + 1, rates]: the groups from low to high, then all bands together; the rates go from 0 to
    half of the frame rate. An amplitude of A dB gives A^2.
    """
    n_frames, n_mels = stretches_db.shape[1:]
    power = 10.0 ** (stretches_db / 10.0)
    edges = np.cumsum([0, *(len(group) for group in _groups(n_mels)[:-1])])
    grouped = np.add.reduceat(power, edges[:-1], axis=2)
    loudness = 10.0 * np.log10(np.concatenate((grouped, grouped.sum(axis=2, keepdims=True)), axis=2))
    window = np.hanning(n_frames + 2)[1:-1, None]
    loudness -= (loudness * window).sum(axis=1, keepdims=True) / window.sum()
    spectrum = np.fft.rfft(loudness * window, PADDING * n_frames, axis=1) * (2.0 / window.sum())
    return np.square(np.abs(spectrum)).mean(axis=0).T.astype(np.float32)


def loudness_shape(n_frames: int) -> tuple[int, int]:
    """Shape of `loudness_spectra` of stretches of so many frames."""
    return GROUPS + 1, PADDING * n_frames // 2 + 1


def _groups(n_mels: int) -> list[np.ndarray]:
    return [*np.array_split(np.arange(n_mels), GROUPS), np.arange(n_mels)]


def _strongest(difference: Difference, stretches_db: np.ndarray, normal: np.ndarray | None) -> Rhythm | None:
    """The deepest rhythm that was not there before."""
    lowest = round(CYCLES_AT_LEAST * PADDING)
    if loudness_shape(stretches_db.shape[1])[1] < lowest + SIDES[-1]:
        return None  # a front end with too few frames a second for any rhythm
    heard = loudness_spectra(stretches_db)
    step_hz = frame_rate_hz(difference.spec) / (PADDING * stretches_db.shape[1])
    prominence = PROMINENCE + (PROMINENCE_OF_ONE - PROMINENCE) / len(stretches_db) ** 0.5
    own = np.zeros(heard.shape[1], bool) if normal is None else _own_lines(normal, lowest)
    found = []
    for row, group in enumerate(_groups(len(difference.heard))):
        power = heard[row]
        at = lowest + int(power[lowest:-1].argmax())
        if not power[at - 1] <= power[at] >= power[at + 1] or own[at] or power[at] < MIN_DEPTH_DB**2:
            continue  # nothing, or the flank of something slower
        if power[at] < prominence * _floor(power, at, lowest) or not _is_new(difference, group, row, at, power, normal):
            continue
        fundamental = _fundamental(power, at, lowest)
        if own[fundamental]:
            continue
        rate_hz = _top(power, fundamental) * step_hz
        sharp = _is_sharp(stretches_db[:, :, group], rate_hz, difference.spec)
        found.append(Rhythm(rate_hz, float(power[at]) ** 0.5, sharp, group))
    return max(found, key=lambda rhythm: rhythm.depth_db * len(rhythm.group) ** 0.5, default=None)


def _own_lines(normal: np.ndarray, lowest: int) -> np.ndarray:
    """Rates at which the machine's normal sound has a rhythm in any group, bool [rates]."""
    clear = (normal > PROMINENCE * np.median(normal[:, lowest:], axis=1, keepdims=True)) & (normal > MIN_DEPTH_DB**2)
    near: np.ndarray = np.pad(clear.any(axis=0), PADDING // 2)
    return np.lib.stride_tricks.sliding_window_view(near, PADDING + 1).max(axis=1)


def _is_new(
    difference: Difference, group: np.ndarray, row: int, at: int, power: np.ndarray, normal: np.ndarray | None
) -> bool:
    if normal is not None:
        before = normal[row, max(0, at - PADDING // 2) : at + PADDING // 2 + 1].max()
        return bool(power[at] >= NEW_POWER_RATIO * before)
    grown = np.mean(difference.unsteadiness[group] ** 2 - difference.normal_unsteadiness[group] ** 2)
    return bool(grown >= GROWN_SHARE * 0.5 * power[at])  # an amplitude A has a variance of A^2 / 2


def _fundamental(power: np.ndarray, at: int, lowest: int) -> int:
    """The slowest line of which the strongest one is a multiple."""
    for divisor in (3, 2):
        guess = round(at / divisor)
        near = np.arange(max(lowest, guess - 1), guess + 2)
        if near.size == 3:
            best = int(near[power[near].argmax()])
            if power[best] > 0.25 * power[at] and power[best - 1] <= power[best] >= power[best + 1]:
                return best
    return at


def _floor(power: np.ndarray, at: int, lowest: int) -> float:
    """What a line must stand out of: the louder of its sides, and the middle of the whole spectrum."""
    sides = [power[np.clip(at + sign * SIDES, 0, power.size - 1)].mean() for sign in (-1, 1)]
    return float(max(*sides, np.median(power[lowest:])))


def _is_sharp(stretches_db: np.ndarray, rate_hz: float, spec: LogMelSpec) -> bool:
    """Whether the power of these bands [k, frames, bands] comes in blows: by its second harmonic.

    Power, not dB: the logarithm bends a soft swelling into a sharp one, and the other way round.
    """
    power = (10.0 ** (stretches_db / 10.0)).sum(axis=2)
    window = np.hanning(power.shape[1] + 2)[1:-1]
    power = (power / power.mean(axis=1, keepdims=True) - 1.0) * window
    frame_s = np.arange(power.shape[1]) / frame_rate_hz(spec)
    sides = np.array([-1.2, 1.2]) * 2.0 * frame_rate_hz(spec) / power.shape[1]

    def line(hz: np.ndarray) -> float:
        waves = np.exp(-2j * np.pi * np.outer(frame_s, hz))
        return float(np.square(np.abs(power @ waves)).mean())

    second = line(np.array([2.0 * rate_hz]))
    clicks = (_smoothing(2.0 * rate_hz, spec) / _smoothing(rate_hz, spec)) ** 2
    return second > SHARP_SHARE * clicks * line(np.array([rate_hz])) and second > 2.0 * line(2.0 * rate_hz + sides)


def _smoothing(rate_hz: float, spec: LogMelSpec) -> float:
    """How much of a swelling of power at this rate is left in frames of `n_fft` samples under a Hann window."""
    weights = np.square(hann_periodic(spec.n_fft), dtype=np.float64)
    turns = np.exp(-2j * np.pi * rate_hz / spec.rate_hz * np.arange(spec.n_fft))
    return float(np.abs(weights @ turns) / weights.sum())


def _top(power: np.ndarray, at: int) -> float:
    """The place of a parabola's top through a maximum and its neighbours, in bins."""
    before, here, after = np.log(power[at - 1 : at + 2] + 1e-12)
    bend = before - 2.0 * here + after
    return at + (0.5 * float((before - after) / bend) if bend < 0 else 0.0)


def _rhythm_finding(difference: Difference, rhythm: Rhythm) -> Finding:
    edges = difference.edges_hz
    low, high = float(edges[rhythm.group[0]]), float(edges[rhythm.group[-1] + 2])
    weight = rhythm.depth_db * len(rhythm.group) ** 0.5
    where = "" if len(rhythm.group) == len(difference.heard) else f", most from {hz_words(low)} to {hz_words(high)}"
    if rhythm.sharp:
        text = f"impacts {rate_words(rhythm.rate_hz)}{where}"
        return Finding("impacts", text, weight, low, high, rate_hz=rhythm.rate_hz)
    fold_hz = frame_rate_hz(difference.spec) - rhythm.rate_hz
    text = f"pulsation {rate_words(rhythm.rate_hz)} (or {fold_hz:.0f}){where}"
    return Finding("pulsation", text, weight, low, high, rate_hz=rhythm.rate_hz, fold_hz=fold_hz)


def _steadiness(difference: Difference, told: np.ndarray) -> list[Finding]:
    """Stretches of bands whose level fluctuates more, or less, than it used to."""
    change = difference.unsteadiness - difference.normal_unsteadiness
    needed = np.maximum(MIN_UNSTEADY_DB, NORMAL_DEVIATIONS * difference.unsteadiness_spread)
    edges = difference.edges_hz
    findings = []
    for first, end in runs_of(np.where((np.abs(change) >= needed) & ~told, np.sign(change), 0.0)):
        if end - first < MIN_UNSTEADY_BANDS:
            continue
        size = float(change[first:end].mean())
        low, high = float(edges[first]), float(edges[end + 1])
        where = f"from {hz_words(low)} to {hz_words(high)}"
        kind, what = ("unsteady", "comes and goes") if size > 0 else ("steady", "is steadier than normal")
        text = f"the sound {what} {where} (deviation {db_words(size)})"
        weight = BY_PRODUCT * abs(size) * (end - first) ** 0.5
        findings.append(Finding(kind, text, weight, low, high, change_db=size))
    return findings

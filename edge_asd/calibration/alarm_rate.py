"""How often normal sound would raise an alarm, as a function of the threshold, from minutes of it.

An alarm is an event, not a window: the smoothed score has to stay above the threshold for the whole confirmation span.
So what is looked at is the running minimum of the smoothed scores over that span; the threshold it exceeds is the
threshold at which an alarm would have been raised. Neighbouring minima share sound and exceed a level together; they
are counted as one event (runs declustering, Smith and Weissman 1994). Two tails are fitted to the minima: a gamma
distribution to all of them, and a generalised Pareto distribution to those above a high level (peaks over threshold,
Davison and Smith 1990; all exceedances are used, and the share of independent ones corrects the rate, as Fawcett and
Walshaw 2007 advise).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_asd.calibration.gamma import fit_gamma, gamma_log_sf
from edge_asd.calibration.pareto import fit_pareto, pareto_log_sf

LEVEL_SHARE = 0.9
"""The Pareto tail begins at this quantile of the minima."""
MIN_MINIMA = 20
"""Fewer minima show no tail at all."""
MIN_EXCEEDANCES = 5
"""Fewer of them above the level, and the Pareto tail is left out."""


@dataclass(frozen=True)
class Minima:
    """The running minima of a normal stream's smoothed scores over the confirmation span.

    values: float64 [n], in order of time. runs: int [n], the unbroken stretch of sound each belongs to, rising.
    step_s: seconds from one to the next. span: how many steps apart two minima must lie to share no sound.
    """

    values: np.ndarray
    runs: np.ndarray
    step_s: float
    span: int

    @classmethod
    def of(cls, scores: Sequence[np.ndarray], *, confirm_windows: int, smoothing_windows: int, step_s: float) -> Minima:
        """From the smoothed scores [m] of each unbroken run; a run shorter than the span gives its own minimum.

        confirm_windows: scores in a row that raise an alarm. smoothing_windows: windows a score averages.
        """
        found = []
        for run in scores:
            size = min(confirm_windows, len(run))
            found.append(np.lib.stride_tricks.sliding_window_view(run, size).min(axis=1))
        values = np.concatenate(found).astype(np.float64)
        runs = np.repeat(np.arange(len(found)), [len(run) for run in found])
        return cls(values, runs, step_s, confirm_windows + smoothing_windows - 1)

    @property
    def seconds(self) -> float:
        """Sound they stand for."""
        return self.values.size * self.step_s

    def events(self, level: float) -> int:
        """How many separate times the minima exceed `level`: exceedances that share sound are one event."""
        return int(np.count_nonzero(self._starts(np.flatnonzero(self.values > level))))

    def _starts(self, above: np.ndarray) -> np.ndarray:
        if above.size == 0:
            return np.zeros(0, bool)
        apart = (np.diff(above) > max(1, self.span - 1)) | (np.diff(self.runs[above]) > 0)
        return np.concatenate(([True], apart))

    def resampled(self, blocks: np.ndarray, block_size: int) -> Minima:
        """Another stream of the same length out of blocks of this one, each a run of its own.

        blocks: int [k], where each block begins (wrapping around at the end).
        """
        index = ((blocks[:, None] + np.arange(block_size)) % self.values.size).ravel()[: self.values.size]
        runs = np.repeat(np.arange(blocks.size), block_size)[: self.values.size]
        return Minima(self.values[index], runs, self.step_s, self.span)


@dataclass(frozen=True)
class AlarmRate:
    """Alarm events a second of normal sound over the threshold.

    checks_hz: minima a second. independent: share of the minima above the level that begin an event.
    gamma: shape and scale for all minima, or None where a gamma distribution does not describe them.
    level, above: where the Pareto tail begins and the share of minima above it.
    pareto: its shape and scale, or None where too few minima lie above the level. At least one of both tails is there.
    """

    checks_hz: float
    independent: float
    gamma: tuple[float, float] | None
    level: float
    above: float
    pareto: tuple[float, float] | None

    @classmethod
    def fit(cls, minima: Minima, *, with_gamma: bool, with_pareto: bool) -> AlarmRate:
        """From the minima of a normal stream, at least two of them different."""
        values = minima.values
        level = float(np.quantile(values, LEVEL_SHARE))
        excesses = values[values > level] - level
        events = minima.events(level)
        return cls(
            checks_hz=1.0 / minima.step_s,
            independent=events / excesses.size if excesses.size else 1.0,
            gamma=fit_gamma(np.maximum(values, 1e-9)) if with_gamma else None,
            level=level,
            above=excesses.size / values.size,
            pareto=fit_pareto(excesses, events) if with_pareto and excesses.size > 1 else None,
        )

    def log_hz(self, threshold: float) -> float:
        """ln of the alarms a second at a threshold above the level: the tail that promises less is believed."""
        tails = []
        if self.gamma is not None:
            tails.append(gamma_log_sf(threshold, *self.gamma))
        if self.pareto is not None:
            tails.append(math.log(self.above) + pareto_log_sf(threshold - self.level, *self.pareto))
        return math.log(self.checks_hz * self.independent) + max(tails)

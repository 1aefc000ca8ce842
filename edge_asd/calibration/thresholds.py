"""From the enrolment scored against itself to a score and its threshold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, TypeVar

import numpy as np

from edge_asd.calibration.alarm_rate import Minima
from edge_asd.calibration.budget import Budget, a_period
from edge_asd.calibration.enrolment_scores import EnrolmentScores
from edge_asd.calibration.fusion import Fusion, varies
from edge_asd.calibration.gamma import MISFIT_LIMIT, fit_gamma, gamma_misfit, gamma_quantile
from edge_asd.calibration.scale import shown
from edge_asd.calibration.tail_threshold import fit_budget
from edge_asd.contract import ModelContract
from edge_asd.errors import DataError

T = TypeVar("T")

MIN_SCORES_FOR_FIT = 10
"""Fewer scores cannot show whether a gamma distribution describes them."""


@dataclass(frozen=True)
class LiveTarget:
    """What a stream's threshold is set for: a budget of false alarms, or a share of the scores.

    budget: alarms accepted; None: `percentile` counts.
    percentile: share of normal scores, in percent, meant to stay below.
    confirm_s: seconds a score stays above the threshold before an alarm starts (`AlarmSettings`); the budget counts
        alarms.
    """

    budget: Budget | None = None
    percentile: float | None = None
    confirm_s: float = 0.0

    def __post_init__(self) -> None:
        if (self.budget is None) == (self.percentile is None):
            raise DataError("a live threshold is set for a false-alarm budget or for a percentile, one of them")


@dataclass(frozen=True)
class Threshold:
    """A threshold and where it came from.

    threshold: raw scores above it are anomalous.
    percentile: share of normal sound, in percent, meant to stay below; None for a threshold set by a budget.
    method: "gamma" (maximum-likelihood fit, as in the DCASE reports), "pareto", "gamma+pareto" (see
        `edge_asd.calibration.tail_threshold`) or "robust" (median + deviations).
    n_scores: enrolment scores it rests on.
    note: in words, why the fall-back was taken; empty for a good fit.
    budget, confirm_s: the false alarms accepted ("1/week") and the confirmation span they were counted with; None for
        a percentile.
    expected: alarms a period of the budget to expect, from and to (5 % and 95 % of resamplings of the enrolment).
    stretch: how many times longer than the enrolment one alarm of the budget takes.
    """

    threshold: float
    percentile: float | None
    method: str
    n_scores: int
    note: str
    budget: str | None = None
    confirm_s: float | None = None
    expected: tuple[float, float] | None = None
    stretch: float | None = None

    @property
    def promise(self) -> str:
        """What the threshold promises and what that rests on, for a person; empty for a percentile."""
        if self.budget is None or self.stretch is None:
            return ""
        wanted = Budget.parse(self.budget)
        heard = span_words(wanted.period_s / wanted.alarms / self.stretch)
        if self.expected is None:
            return f"set for {self.budget}, but nothing can be promised: {self.note}"
        low, high = self.expected
        if self.stretch <= 1.0:
            basis = f"{heard} were heard, long enough to have heard such alarms"
        else:
            basis = f"{heard} were heard, {self.budget} is extrapolated {float(f'{self.stretch:.2g}'):.0f}-fold"
        return f"{basis}; expect between {_count(low)} and {_count(high)} false alarms {a_period(wanted.period)}"


@dataclass(frozen=True)
class Calibration(Threshold):
    """A threshold together with what makes the scores it is for.

    fusion: one score from the distances.
    """

    fusion: Fusion = field(kw_only=True)

    @classmethod
    def fit(cls, distances: np.ndarray, percentile: float, domains: np.ndarray | None = None) -> Calibration:
        """From normal distances [n, scorers]; see `fit_threshold`.

        domains: int [n], the domain of each (None: all of one). The percentile is promised in every domain that has
        scores enough to fit: the highest of their thresholds and that of all scores together counts, so that the many
        of one domain do not outvote the few of another.
        """
        fusion = Fusion.fit(distances)
        scores = fusion.score(distances)
        fitted = [fit_threshold(scores, percentile)]
        for domain in () if domains is None else np.unique(domains):
            own = scores[domains == domain]
            if MIN_SCORES_FOR_FIT <= len(own) < len(scores):
                fitted.append(fit_threshold(own, percentile))
        return cls(**vars(max(fitted, key=lambda threshold: threshold.threshold)), fusion=fusion)

    @classmethod
    def fit_live(cls, scores: EnrolmentScores, n_windows: int, target: LiveTarget, step_s: float) -> Calibration:
        """For a stream's score over `n_windows`; step_s: seconds from window to window."""
        runs = scores.smoothed(n_windows)
        distances = np.concatenate(runs)
        if target.budget is None:
            assert target.percentile is not None
            return cls.fit(distances, target.percentile)
        fusion = Fusion.fit(distances)
        ends = np.cumsum([len(run) for run in runs])[:-1]
        minima = Minima.of(
            np.split(fusion.score(distances), ends),
            confirm_windows=confirming_windows(target.confirm_s, step_s),
            smoothing_windows=n_windows,
            step_s=step_s,
        )
        found = fit_budget(minima, target.budget)
        return cls(
            threshold=found.threshold,
            percentile=None,
            method=found.method,
            n_scores=len(distances),
            note=found.note,
            budget=str(target.budget),
            confirm_s=target.confirm_s,
            expected=None if found.low is None or found.high is None else (found.low, found.high),
            stretch=1.0 / (target.budget.rate_hz * len(scores.distances) * step_s),
            fusion=fusion,
        )

    @property
    def target(self) -> LiveTarget:
        """What it was set for, to set it anew."""
        if self.budget is None:
            return LiveTarget(percentile=self.percentile)
        return LiveTarget(budget=Budget.parse(self.budget), confirm_s=self.confirm_s or 0.0)

    def score(self, distances: np.ndarray) -> np.ndarray:
        """Scores of distances [k, scorers] on the scale people see: 0 to 100, float64 [k], anomalous above 50."""
        return np.array([shown(raw, self.threshold) for raw in self.fusion.score(distances)])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, the inverse of `from_dict`."""
        expected = None if self.expected is None else list(self.expected)
        return {**vars(self), "expected": expected, "fusion": self.fusion.to_dict()}

    @classmethod
    def from_dict(cls, data: Any) -> Calibration:
        """Build from parsed JSON; raises DataError for anything but finite numbers and strings in place."""
        try:
            made = cls(
                threshold=float(data["threshold"]),
                percentile=_maybe(float, data["percentile"]),
                method=str(data["method"]),
                n_scores=int(data["n_scores"]),
                note=str(data["note"]),
                budget=_maybe(str, data["budget"]),
                confirm_s=_maybe(float, data["confirm_s"]),
                expected=_maybe(lambda pair: (float(pair[0]), float(pair[1])), data["expected"]),
                stretch=_maybe(float, data["stretch"]),
                fusion=Fusion.from_dict(data["fusion"]),
            )
            target = made.target
        except (KeyError, TypeError, ValueError, IndexError, DataError) as error:
            raise DataError(f"calibration: {error!r} in {data!r}") from error
        numbers = (made.threshold, made.stretch, *(made.expected or ()), target.percentile, target.confirm_s)
        if not all(number is None or math.isfinite(number) for number in numbers):
            raise DataError(f"calibration: a number in {data!r} is not finite")
        return made


def fit_stream(
    scores: EnrolmentScores, smoothing_windows: int, target: LiveTarget, step_s: float
) -> tuple[Calibration, ...]:
    """One calibration for each number of windows a stream's score can take in, 1 to `smoothing_windows`.

    After a start or a gap there are fewer windows to average; their mean varies more and deserves its own threshold.
    """
    fitted = min(smoothing_windows, scores.longest_run)
    calibrations = [Calibration.fit_live(scores, n, target, step_s) for n in range(1, fitted + 1)]
    return (*calibrations, *[calibrations[-1]] * (smoothing_windows - fitted))


def recalibrated(
    own: tuple[Calibration, ...],
    scores: EnrolmentScores,
    contract: ModelContract,
    *,
    smoothing_s: float | None,
    percentile: float | None,
    budget: Budget | None,
    confirm_s: float | None,
) -> tuple[Calibration, ...]:
    """A stream's calibrations for other settings than `own` were fitted for; `own` where nothing is new.

    smoothing_s: seconds a score averages. percentile, budget: what the threshold is set for, at most one of them.
    confirm_s: of the alarms a budget counts. None: as in `own`.
    """
    target = own[-1].target
    if percentile is not None:
        target = LiveTarget(budget, percentile)
    elif budget is not None or target.budget is not None:
        target = LiveTarget(budget or target.budget, None, target.confirm_s if confirm_s is None else confirm_s)
    n_windows = len(own) if smoothing_s is None else contract.windows_in(smoothing_s)
    if n_windows == len(own) and target == own[-1].target:
        return own
    return fit_stream(scores, n_windows, target, contract.step_s)


def confirming_windows(confirm_s: float, step_s: float) -> int:
    """Scores in a row above the threshold that raise an alarm: the last one comes at or after the full span."""
    return 1 + math.ceil(confirm_s / step_s - 1e-9)


def span_words(seconds: float) -> str:
    """ "45 s", "10 minutes", "2.5 hours"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _count(number: float) -> str:
    return "0" if number < 0.005 else f"{number:.2g}"


def _maybe(kind: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else kind(value)


def fit_threshold(scores: np.ndarray, percentile: float) -> Threshold:
    """Fit the threshold below which `percentile` percent of normal scores [n] should stay.

    A gamma distribution is fitted; where that cannot describe the scores (too few, no spread, or a
    Kolmogorov-Smirnov distance beyond twice the 5 % point) the larger of the empirical percentile and median +
    normal-equivalent deviations (1.4826 MAD) is taken instead, and the note says so.
    """
    if not 50.0 <= percentile < 100.0:
        raise DataError(f"percentile {percentile} is not within 50 <= p < 100")
    scores = np.asarray(scores, np.float64)
    scores = scores[np.isfinite(scores)]
    if scores.size == 0:
        raise DataError("no enrolment score to fit a threshold on", remedy="enrol at least 20 s of sound")
    share = percentile / 100.0
    if scores.size < MIN_SCORES_FOR_FIT:
        reason = f"only {scores.size} enrolment scores, {MIN_SCORES_FOR_FIT} are needed for a fit"
    elif not varies(scores):
        reason = "the enrolment scores hardly vary"
    else:
        positive = np.maximum(scores, 1e-9)
        shape, scale = fit_gamma(positive)
        misfit = gamma_misfit(positive, shape, scale)
        if misfit <= MISFIT_LIMIT:
            return Threshold(gamma_quantile(share, shape, scale), percentile, "gamma", int(scores.size), "")
        unit = 1.36 / math.sqrt(positive.size)
        reason = (
            f"the scores do not follow a gamma distribution (distance {misfit * unit:.2f}, "
            f"limit {MISFIT_LIMIT * unit:.2f})"
        )
    return Threshold(_robust_threshold(scores, share), percentile, "robust", int(scores.size), reason)


def _robust_threshold(scores: np.ndarray, share: float) -> float:
    median = float(np.median(scores))
    deviation = 1.4826 * float(np.median(np.abs(scores - median)))
    # In standard deviations of a normal distribution: 1.64 for 95 %.
    return max(float(np.quantile(scores, share)), median + NormalDist().inv_cdf(share) * deviation)

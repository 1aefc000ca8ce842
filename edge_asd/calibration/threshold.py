"""A threshold: where it came from, and the one a percentile of normal scores gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from edge_asd.calibration.budget import Budget, a_period
from edge_asd.calibration.fusion import varies
from edge_asd.calibration.gamma import MISFIT_LIMIT, fit_gamma, gamma_misfit, gamma_quantile
from edge_asd.errors import DataError

MIN_SCORES_FOR_FIT = 10
"""Fewer scores cannot show whether a gamma distribution describes them."""


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
    expected: alarms a period of the budget to expect before any widening, from and to (5 % and 95 % of resamplings of
        the enrolment).
    stretch: how many times longer than the enrolment one alarm of the budget takes.
    unwidened: what the enrolment alone gives, before the allowance for other sessions
        (`edge_asd.calibration.sessions`); None: the same.
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
    unwidened: float | None = None

    @property
    def plain(self) -> float:
        """The threshold the enrolment alone gives."""
        return self.threshold if self.unwidened is None else self.unwidened

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
        fewer = ", and fewer with the allowance for other days" if self.threshold > self.plain else ""
        between = f"expect between {_count(low)} and {_count(high)} false alarms {a_period(wanted.period)}"
        return f"{basis}; {between}{fewer}"


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


def span_words(seconds: float) -> str:
    """ "45 s", "10 minutes", "2.5 hours"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _count(number: float) -> str:
    return "0" if number < 0.005 else f"{number:.2g}"

"""The threshold that keeps a false-alarm budget, and how sure of it minutes of normal sound can make anybody."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from edge_asd.calibration.alarm_rate import LEVEL_SHARE, MIN_EXCEEDANCES, MIN_MINIMA, AlarmRate, Minima
from edge_asd.calibration.budget import Budget
from edge_asd.calibration.fusion import varies
from edge_asd.calibration.gamma import MISFIT_LIMIT, fit_gamma, gamma_misfit

RESAMPLINGS = 100
BLOCK_S = 30.0
"""Blocks this long are resampled whole, so that what resembles its neighbours stays together (Kuensch 1989)."""
SEED = 4


@dataclass(frozen=True)
class BudgetThreshold:
    """A threshold for a false-alarm budget.

    threshold: of the smoothed score.
    method: "gamma", "pareto" or "gamma+pareto" (the tails that were fitted), or "robust" where none could be.
    low, high: alarms a period of the budget to expect at the threshold, 5 % and 95 % of the resamplings; None where
        no tail could be fitted.
    heard_s: sound the tail was fitted to. stretch: how many times longer than that one alarm of the budget takes.
    note: in words, why no tail could be fitted; else empty.
    """

    threshold: float
    method: str
    low: float | None
    high: float | None
    heard_s: float
    stretch: float
    note: str


def fit_budget(minima: Minima, budget: Budget, seed: int = SEED) -> BudgetThreshold:
    """The least threshold at which the alarms to expect keep the budget.

    The alarm rate is fitted to the enrolment and to `RESAMPLINGS` block resamplings of it. The threshold is where the
    *mean* of their rates is the budget, so a fit that could as well be heavier raises it: what is extrapolated further
    is held further off. It never is below what the enrolment itself reached, unless the budget allows alarms there.
    """
    values = minima.values
    stretch = 1.0 / (budget.rate_hz * minima.seconds)
    if values.size < MIN_MINIMA:
        return _robust(minima, budget, stretch, "too little unbroken sound to fit a tail to")
    if not varies(values):
        return _robust(minima, budget, stretch, "the enrolment scores hardly vary")
    positive = np.maximum(values, 1e-9)
    with_gamma = gamma_misfit(positive, *fit_gamma(positive)) <= MISFIT_LIMIT
    with_pareto = int(np.count_nonzero(values > np.quantile(values, LEVEL_SHARE))) >= MIN_EXCEEDANCES
    if not (with_gamma or with_pareto):
        return _robust(minima, budget, stretch, "too few different enrolment scores to fit a tail to")
    rates = [AlarmRate.fit(minima, with_gamma=with_gamma, with_pareto=with_pareto)]
    rng = np.random.default_rng(seed)
    size = max(1, min(round(BLOCK_S / minima.step_s), values.size // 4))
    for _ in range(RESAMPLINGS):
        again = minima.resampled(rng.integers(values.size, size=-(-values.size // size)), size)
        rate = AlarmRate.fit(again, with_gamma=with_gamma, with_pareto=with_pareto) if varies(again.values) else None
        if rate is not None and (rate.gamma or rate.pareto):
            rates.append(rate)

    def expected_hz(threshold: float) -> np.ndarray:
        return np.exp([rate.log_hz(threshold) for rate in rates])

    low = max(rate.level for rate in rates)
    if stretch > 1.0:
        low = max(low, float(values.max()))
    high = 2.0 * low
    while expected_hz(high).mean() > budget.rate_hz:
        low, high = high, 2.0 * high
    for _ in range(40):
        middle = 0.5 * (low + high)
        if expected_hz(middle).mean() > budget.rate_hz:
            low = middle
        else:
            high = middle
        if high - low < 1e-4 * high:
            break
    range_hz = np.quantile(expected_hz(high), (0.05, 0.95)) * budget.period_s
    method = "+".join(name for name, used in (("gamma", with_gamma), ("pareto", with_pareto)) if used)
    return BudgetThreshold(high, method, float(range_hz[0]), float(range_hz[1]), minima.seconds, stretch, "")


def _robust(minima: Minima, budget: Budget, stretch: float, reason: str) -> BudgetThreshold:
    """The largest of: what was reached, normal deviations, and the rarity the budget asks for if rarity is believed."""
    values = minima.values
    share = min(0.5, budget.rate_hz * minima.step_s)
    median = float(np.median(values))
    deviation = 1.4826 * float(np.median(np.abs(values - median)))
    threshold = max(float(values.max()), median + NormalDist().inv_cdf(1.0 - share) * deviation, -math.log10(share))
    return BudgetThreshold(threshold, "robust", None, None, minima.seconds, stretch, reason)

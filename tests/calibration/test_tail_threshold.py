"""Thresholds for a budget: kept on streams of known tails, monotone, and modest where minutes show nothing."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.calibration.alarm_rate import Minima
from edge_asd.calibration.budget import Budget
from edge_asd.calibration.tail_threshold import fit_budget

STEP_S = 1.0
TEN_MINUTES = 600


def stream(n: int, seed: int, heavy: float = 0.0) -> np.ndarray:
    """Scores that resemble their neighbours: rarities smoothed over 4 windows; `heavy` > 0 stretches their tail."""
    fresh = np.random.default_rng(seed).exponential(0.4, n + 3)
    smooth = np.convolve(fresh, np.ones(4) / 4, "valid")
    return np.expm1(heavy * smooth) / heavy if heavy else smooth


def minima(scores: np.ndarray) -> Minima:
    return Minima.of([scores], confirm_windows=4, smoothing_windows=4, step_s=STEP_S)


def test_the_threshold_rises_as_the_budget_falls_and_so_does_what_is_extrapolated() -> None:
    heard = minima(stream(TEN_MINUTES, 0))
    found = [fit_budget(heard, Budget.parse(text)) for text in ("6/hour", "1/hour", "1/day", "1/week", "1/year")]
    thresholds = [one.threshold for one in found]
    assert thresholds == sorted(thresholds) and thresholds[0] < thresholds[2] < thresholds[4]
    np.testing.assert_allclose([one.stretch for one in found], [1.0, 6.0, 144.0, 1008.0, 52596.0], rtol=0.01)
    assert all(one.method in ("gamma+pareto", "pareto") for one in found)


def test_what_was_heard_would_have_raised_no_alarm_where_the_budget_allows_none() -> None:
    for seed in range(5):
        heard = minima(stream(TEN_MINUTES, seed))
        assert heard.events(fit_budget(heard, Budget.parse("1/day")).threshold) == 0


@pytest.mark.parametrize("heavy", [0.0, 0.8])
def test_over_many_enrolments_the_budget_is_kept_in_the_mean(heavy: float) -> None:
    """Ten minutes each, then a day: on average no more than twice the one alarm a day asked for."""
    events = []
    for seed in range(12):
        threshold = fit_budget(minima(stream(TEN_MINUTES, seed, heavy)), Budget.parse("1/day")).threshold
        events.append(minima(stream(86_400, 1000 + seed, heavy)).events(threshold))
    assert np.mean(events) <= 2.0


def test_expectations_hold_the_budget_between_them_and_are_wider_the_less_was_heard() -> None:
    short = fit_budget(minima(stream(120, 3)), Budget.parse("1/day"))
    long = fit_budget(minima(stream(7200, 3)), Budget.parse("1/day"))
    for found in (short, long):
        assert found.low is not None and found.high is not None
        assert found.low < 1.0 < found.high
    assert long.high / long.low < short.high / short.low


def test_an_enrolment_too_short_says_so_and_promises_nothing() -> None:
    found = fit_budget(minima(stream(15, 0)), Budget.parse("1/week"))
    assert (found.method, found.low, found.high) == ("robust", None, None)
    assert "too little unbroken sound" in found.note
    assert found.threshold >= np.log10(604800)


@pytest.mark.parametrize("value", [0.0, 0.3, 5.0])
def test_constant_sound_gives_a_threshold_above_itself(value: float) -> None:
    found = fit_budget(minima(np.full(TEN_MINUTES, value)), Budget.parse("1/week"))
    assert found.method == "robust" and "hardly vary" in found.note
    assert found.threshold > 0 and found.threshold >= value


def test_two_levels_of_sound_leave_nothing_to_fit_and_still_give_a_threshold() -> None:
    found = fit_budget(minima(np.repeat([0.1, 0.2], 300)), Budget.parse("1/day"))
    assert found.threshold >= 0.2 and np.isfinite(found.threshold)


def test_a_long_outlier_raises_the_threshold_above_itself() -> None:
    scores = stream(TEN_MINUTES, 1)
    clean = fit_budget(minima(scores), Budget.parse("1/week")).threshold
    scores[300:330] = 20.0
    found = fit_budget(minima(scores), Budget.parse("1/week"))
    assert found.threshold > 20.0 > clean and np.isfinite(found.threshold)


def test_the_same_enrolment_gives_the_same_threshold() -> None:
    heard = minima(stream(TEN_MINUTES, 7))
    assert fit_budget(heard, Budget.parse("1/week")) == fit_budget(heard, Budget.parse("1/week"))

"""Alarm events, not windows: what is counted, and the rate the tails give."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_asd.calibration.alarm_rate import AlarmRate, Minima


def minima(*runs: list[float], confirm: int = 1, smoothing: int = 1) -> Minima:
    scores = [np.array(run) for run in runs]
    return Minima.of(scores, confirm_windows=confirm, smoothing_windows=smoothing, step_s=1.0)


def test_only_what_stays_above_for_the_whole_confirmation_counts() -> None:
    scores = [0, 9, 0, 0, 9, 9, 0, 0, 5, 9, 5, 0]
    assert minima(scores, confirm=3).events(4.0) == 1
    assert minima(scores, confirm=2).events(4.0) == 2
    assert minima(scores, confirm=1).events(4.0) == 3
    assert minima(scores, confirm=3).values.max() == 5


def test_neighbours_that_share_sound_are_one_event() -> None:
    scores = [0, 9, 9, 0, 9, 0, 0, 0, 0, 9, 0]
    assert minima(scores).events(1.0) == 3
    assert minima(scores, smoothing=2).events(1.0) == 3
    assert minima(scores, smoothing=3).events(1.0) == 2
    assert minima(scores, smoothing=6).events(1.0) == 1


def test_two_runs_share_nothing_however_near() -> None:
    assert minima([0, 9], [9, 0], smoothing=5).events(1.0) == 2
    assert minima([0, 9, 9, 0], smoothing=5).events(1.0) == 1


def test_a_run_shorter_than_the_confirmation_gives_its_own_minimum() -> None:
    found = minima([3, 2], [1, 4, 5, 6], confirm=3)
    np.testing.assert_allclose(found.values, [2, 1, 4])
    np.testing.assert_array_equal(found.runs, [0, 1, 1])
    assert found.seconds == 3.0


def test_independent_exponential_scores_give_their_own_rate() -> None:
    values = np.random.default_rng(0).exponential(1.0, 20_000)
    rate = AlarmRate.fit(minima(list(values)), with_gamma=True, with_pareto=True)
    for threshold in (4.0, 8.0, 12.0):
        # One check a second; neighbours are separate events unless they exceed the level one after the other.
        assert rate.log_hz(threshold) == pytest.approx(-threshold, abs=0.6)


def test_runs_of_high_scores_lower_the_rate_by_their_length() -> None:
    values = np.random.default_rng(1).exponential(1.0, 4000)
    alone = AlarmRate.fit(minima(list(values), smoothing=5), with_gamma=False, with_pareto=True)
    held = np.repeat(values, 5)
    together = AlarmRate.fit(minima(list(held), smoothing=5), with_gamma=False, with_pareto=True)
    assert together.independent < 0.5 * alone.independent
    assert together.log_hz(8.0) < alone.log_hz(8.0) - math.log(2.0)


def test_of_two_tails_the_one_that_promises_less_is_believed() -> None:
    values = minima(list(np.random.default_rng(2).gamma(3.0, 1.0, 3000)))
    both = AlarmRate.fit(values, with_gamma=True, with_pareto=True)
    gamma = AlarmRate.fit(values, with_gamma=True, with_pareto=False)
    pareto = AlarmRate.fit(values, with_gamma=False, with_pareto=True)
    for threshold in (8.0, 15.0, 40.0):
        assert both.log_hz(threshold) == max(gamma.log_hz(threshold), pareto.log_hz(threshold))
        assert both.log_hz(threshold) > both.log_hz(threshold + 1.0)

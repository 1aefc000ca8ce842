"""Thresholds: gamma where it fits, the robust rule where it does not, and a note that says which."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.calibration.budget import Budget
from edge_asd.calibration.enrolment_scores import EnrolmentScores
from edge_asd.calibration.fusion import Fusion
from edge_asd.calibration.threshold import fit_threshold
from edge_asd.calibration.thresholds import (
    Calibration,
    LiveTarget,
    confirming_windows,
    fit_stream,
    recalibrated,
)
from edge_asd.errors import DataError


def gamma_scores(n: int = 500, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(9.0, 0.01, n)


def gamma_distances(n: int = 500) -> np.ndarray:
    return np.stack((gamma_scores(n, seed=0), 100.0 * gamma_scores(n, seed=1)), axis=1)


@pytest.mark.parametrize("percentile", [50.0, 90.0, 95.0, 99.0])
def test_gamma_scores_get_the_gamma_threshold(percentile: float) -> None:
    scores = gamma_scores(4000)
    calibration = fit_threshold(scores, percentile)
    assert (calibration.method, calibration.note, calibration.n_scores) == ("gamma", "", 4000)
    assert calibration.percentile == percentile
    assert np.mean(scores <= calibration.threshold) == pytest.approx(percentile / 100.0, abs=0.01)


def test_the_gamma_threshold_reaches_past_the_largest_score_seen() -> None:
    scores = gamma_scores(60)
    assert fit_threshold(scores, 99.99).threshold > scores.max()


def test_the_threshold_rises_with_the_percentile() -> None:
    for scores in (gamma_scores(), gamma_scores(5), np.repeat([0.1, 0.5], 100)):
        thresholds = [fit_threshold(scores, p).threshold for p in (50.0, 80.0, 95.0, 99.9)]
        assert thresholds == sorted(thresholds)
        assert thresholds[0] < thresholds[-1]


def test_few_scores_take_the_robust_rule_and_say_so() -> None:
    scores = gamma_scores(9)
    calibration = fit_threshold(scores, 95.0)
    deviation = 1.4826 * np.median(np.abs(scores - np.median(scores)))
    expected = max(np.quantile(scores, 0.95), np.median(scores) + 1.6448536 * deviation)
    assert calibration.threshold == pytest.approx(expected)
    assert calibration.method == "robust"
    assert "only 9 enrolment scores" in calibration.note


def test_two_heaps_of_scores_do_not_follow_a_gamma_distribution() -> None:
    rng = np.random.default_rng(2)
    scores = np.concatenate((rng.normal(0.1, 0.002, 300), rng.normal(0.5, 0.002, 300)))
    calibration = fit_threshold(scores, 95.0)
    assert calibration.method == "robust"
    assert "do not follow a gamma distribution" in calibration.note
    assert calibration.threshold >= np.quantile(scores, 0.95)


@pytest.mark.parametrize("spread", [0.0, 1e-12, 1e-8, 1e-6, 1e-4, 1e-3])
@pytest.mark.parametrize("level", [1e-4, 0.5])
def test_scores_that_hardly_vary_give_a_threshold_at_their_top(level: float, spread: float) -> None:
    """A fit of such scores divides by zero, or takes minutes."""
    scores = level * (1.0 + spread * np.random.default_rng(3).uniform(-1.0, 1.0, 200))
    calibration = fit_threshold(scores, 99.0)
    assert calibration.method == "robust"
    assert "hardly vary" in calibration.note
    assert scores.min() <= calibration.threshold <= scores.max() * (1.0 + 3.0 * spread) + 1e-12


def test_enrolment_that_repeats_itself_still_gives_a_threshold() -> None:
    """Identical windows in different folds score 0, or a rounding error under it."""
    scores = np.concatenate((np.full(80, -6e-8), gamma_scores(40)))
    calibration = fit_threshold(scores, 95.0)
    assert calibration.method == "robust"
    assert calibration.threshold >= np.quantile(scores, 0.95)


@given(st.lists(st.floats(-1e-6, 2.0), min_size=1, max_size=60), st.floats(50.0, 99.99))
def test_any_distances_give_a_finite_threshold(scores: list[float], percentile: float) -> None:
    calibration = fit_threshold(np.array(scores), percentile)
    assert math.isfinite(calibration.threshold)
    assert calibration.threshold >= min(0.0, *scores) if len(scores) > 1 else True
    assert (calibration.method == "robust") == bool(calibration.note)


def test_scores_that_are_not_numbers_are_left_out() -> None:
    scores = gamma_scores(100)
    with_gaps = np.concatenate((scores, [np.nan, np.inf]))
    assert fit_threshold(with_gaps, 95.0) == fit_threshold(scores, 95.0)


@pytest.mark.parametrize("scores", [[], [np.nan, np.nan]])
def test_no_scores_are_refused(scores: list[float]) -> None:
    with pytest.raises(DataError, match="no enrolment score"):
        fit_threshold(np.array(scores), 95.0)


@pytest.mark.parametrize("percentile", [0.0, 49.9, 100.0, -5.0, math.nan])
def test_a_percentile_out_of_range_is_refused_with_its_value(percentile: float) -> None:
    with pytest.raises(DataError, match=f"percentile {percentile}"):
        fit_threshold(gamma_scores(), percentile)


def test_a_calibration_survives_json() -> None:
    for distances in (gamma_distances(), gamma_distances(3)):
        calibration = Calibration.fit(distances, 95.0)
        assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration


@pytest.mark.parametrize("percentile", [90.0, 99.0])
def test_a_calibration_is_the_threshold_of_the_fused_distances(percentile: float) -> None:
    distances = gamma_distances()
    calibration = Calibration.fit(distances, percentile)
    fusion = Fusion.fit(distances)
    assert calibration.fusion == fusion
    expected = fit_threshold(fusion.score(distances), percentile)
    for name, value in vars(expected).items():
        assert getattr(calibration, name) == value
    share = np.mean(calibration.fusion.score(distances) <= calibration.threshold)
    assert share == pytest.approx(percentile / 100.0, abs=0.03)


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": "high"},
        {"threshold": math.nan},
        {"n_scores": None},
        {"percentile": []},
        {"percentile": None},
        {"budget": "often"},
        {"expected": [1.0]},
        {"stretch": math.inf},
    ],
)
def test_a_damaged_calibration_is_refused(change: dict) -> None:
    data = Calibration.fit(gamma_distances(), 95.0).to_dict()
    Calibration.from_dict(data)
    with pytest.raises(DataError, match="calibration"):
        Calibration.from_dict(data | change)


@pytest.mark.parametrize("fusion", [None, {}, {"shapes": [1.0, math.nan], "scales": [1.0, 1.0]}])
def test_a_calibration_with_a_damaged_fusion_is_refused(fusion: object) -> None:
    data = Calibration.fit(gamma_distances(), 95.0).to_dict()
    with pytest.raises(DataError, match="fusion"):
        Calibration.from_dict(data | {"fusion": fusion})
    del data["fusion"]
    with pytest.raises(DataError, match=r"calibration: .*fusion"):
        Calibration.from_dict(data)


@pytest.mark.parametrize("data", [None, [], "text", {}])
def test_what_is_no_calibration_is_refused(data: object) -> None:
    with pytest.raises(DataError, match="calibration"):
        Calibration.from_dict(data)


PIECES = np.array([0, 0, 0, 0, 1, 1, 2], np.int32)


def enrolment_scores(runs: np.ndarray = PIECES) -> EnrolmentScores:
    side = np.array([1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 7.0], np.float32)
    return EnrolmentScores(np.stack((side, 10.0 * side), axis=1), PIECES, runs)


def both_sides(expected: list[float]) -> np.ndarray:
    return np.stack((expected, 10.0 * np.array(expected)), axis=1)


def test_clip_scores_are_means_over_pieces() -> None:
    np.testing.assert_allclose(enrolment_scores().per_clip(), both_sides([2.5, 15.0, 7.0]))


@pytest.mark.parametrize(
    "n_windows, expected",
    [
        (1, [1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 7.0]),
        (2, [1.5, 2.5, 3.5, 15.0, 7.0]),
        (3, [2.0, 3.0, 15.0, 7.0]),
        (100, [2.5, 15.0, 7.0]),
    ],
)
def test_smoothing_never_reaches_from_one_run_into_the_next(n_windows: int, expected: list[float]) -> None:
    runs = enrolment_scores().smoothed(n_windows)
    assert len(runs) == 3
    np.testing.assert_allclose(np.concatenate(runs), both_sides(expected))


def test_smoothing_goes_on_over_the_pieces_of_one_run() -> None:
    first, second = enrolment_scores(np.array([0, 0, 0, 0, 0, 0, 1], np.int32)).smoothed(2)
    np.testing.assert_allclose(first, both_sides([1.5, 2.5, 3.5, 7.0, 15.0]))
    np.testing.assert_allclose(second, both_sides([7.0]))


@pytest.mark.parametrize(
    "distances, pieces, runs",
    [
        (np.empty((0, 2)), [], []),
        ([[0.1, 0.1], [np.nan, 0.1]], [0, 0], [0, 0]),
        ([[0.1, 0.1], [0.1, np.inf]], [0, 0], [0, 0]),
        ([[0.1, 0.1], [0.2, 0.2]], [0], [0, 0]),
        ([[0.1, 0.1], [0.2, 0.2]], [0, 0], [0]),
        ([0.1, 0.2], [0, 0], [0, 0]),
        ([[[0.1]], [[0.2]]], [0, 0], [0, 0]),
    ],
    ids=["none", "nan", "inf", "other count of pieces", "other count of runs", "one axis", "three axes"],
)
def test_damaged_enrolment_scores_are_refused(distances: list, pieces: list, runs: list) -> None:
    with pytest.raises(DataError, match="enrolment scores"):
        EnrolmentScores(np.array(distances, np.float32), np.array(pieces, np.int32), np.array(runs, np.int32))


WEEKLY = LiveTarget(Budget(1.0, "week"), confirm_s=3.0)


def heard(n: int) -> EnrolmentScores:
    pieces = (np.arange(n) // 10).astype(np.int32)
    return EnrolmentScores(gamma_distances(n).astype(np.float32), pieces, np.zeros(n, np.int32))


def test_a_live_calibration_keeps_its_budget_in_words_and_in_json() -> None:
    calibration = Calibration.fit_live(heard(600), 5, WEEKLY, 1.0)
    assert calibration.target == WEEKLY and calibration.percentile is None
    assert calibration.promise.startswith("10 minutes were heard, 1/week is extrapolated 1000-fold; expect between ")
    assert calibration.promise.endswith(" false alarms a week")
    widened = Calibration.fit_live(heard(600), 5, WEEKLY, 1.0, (20.0,))
    assert widened.expected == calibration.expected and widened.threshold > calibration.threshold
    assert widened.promise == f"{calibration.promise}, and fewer with the allowance for other days"
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration
    assert Calibration.fit(gamma_distances(), 95.0).promise == ""


def test_too_little_sound_is_promised_nothing() -> None:
    calibration = Calibration.fit_live(heard(15), 5, WEEKLY, 1.0)
    assert calibration.promise == (
        "set for 1/week, but nothing can be promised: too little unbroken sound to fit a tail to"
    )
    assert calibration.expected is None and calibration.threshold > 5.0


def test_a_score_at_the_threshold_is_shown_at_50() -> None:
    calibration = Calibration.fit(gamma_distances(), 95.0)
    distances = gamma_distances(200)
    np.testing.assert_array_equal(
        calibration.score(distances) > 50.0, calibration.fusion.score(distances) > calibration.threshold
    )


def test_only_what_is_new_is_fitted_anew(tiny_bundle) -> None:
    scores, contract = tiny_bundle.enrolment_scores, tiny_bundle.contract
    own = fit_stream(scores, 2, WEEKLY, contract.step_s)

    def again(**changes):
        asked = {"smoothing_s": None, "percentile": None, "budget": None, "confirm_s": None} | changes
        return recalibrated(own, scores, contract, **asked)

    assert again() is own
    assert again(confirm_s=3.0, budget=Budget(1.0, "week"), smoothing_s=2 * contract.step_s) is own
    assert again(budget=Budget(1.0, "day"))[-1].threshold < own[-1].threshold
    assert again(confirm_s=0.0)[-1].confirm_s == 0.0
    percentile = again(percentile=99.0, confirm_s=9.0)
    assert percentile[-1].target == LiveTarget(percentile=99.0)
    assert (
        recalibrated(percentile, scores, contract, smoothing_s=None, percentile=None, budget=None, confirm_s=9.0)
        == percentile
    )
    with pytest.raises(DataError, match="one of them"):
        again(percentile=99.0, budget=Budget(1.0, "day"))


def test_confirmation_counts_the_score_that_completes_the_span() -> None:
    assert [confirming_windows(s, 1.0) for s in (0.0, 0.5, 1.0, 3.0, 3.1)] == [1, 2, 2, 4, 5]
    assert confirming_windows(3.0, 1.024) == 4
    assert confirming_windows(3.0, 0.5) == 7

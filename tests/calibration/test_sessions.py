"""What is allowed for days not heard: assumed of one session, less for each that was heard."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_asd.calibration.allowance import parse_allowance
from edge_asd.calibration.budget import Budget
from edge_asd.calibration.enrolment_scores import EnrolmentScores
from edge_asd.calibration.sessions import (
    ENOUGH,
    FULL_UP_TO,
    ONE_SESSION,
    SessionEvidence,
    allowances,
    session_summary,
    step_between,
)
from edge_asd.calibration.thresholds import Calibration, LiveTarget, fit_stream
from edge_asd.errors import DataError
from edge_asd.scorers import parse_scorers

WEEKLY = LiveTarget(Budget(1.0, "week"), confirm_s=3.0)


def distances(n: int = 400, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack((rng.gamma(20.0, 0.01, n), rng.gamma(60.0, 0.1, n)), axis=1)


def test_one_session_gets_the_whole_allowance_and_ten_get_none() -> None:
    assert SessionEvidence().widening == ONE_SESSION
    assert SessionEvidence(FULL_UP_TO).widening == ONE_SESSION
    widenings = [SessionEvidence(n).widening for n in range(1, ENOUGH + 2)]
    assert widenings == sorted(widenings, reverse=True) and widenings[ENOUGH - 1 :] == [1.0, 1.0]
    assert 1.0 < SessionEvidence(7).widening < ONE_SESSION


def test_what_was_heard_from_session_to_session_counts_against_it() -> None:
    assert SessionEvidence(3, step=1.25).widening == pytest.approx(ONE_SESSION / 1.25)
    assert SessionEvidence(2, step=4.0).widening == 1.0


def test_the_step_is_how_much_further_a_session_is_from_the_others_than_from_itself() -> None:
    within = distances()
    assert step_between(within, within) == 1.0
    assert step_between(within * (2.0, 8.0), within) == pytest.approx(4.0)
    assert step_between(0.5 * within, within) == 1.0
    one_in_four = within.copy()
    one_in_four[:100] *= 16.0
    assert step_between(one_in_four, within) == pytest.approx(2.0)
    assert step_between(np.zeros((5, 2)), np.zeros((5, 2))) == 1.0


def test_an_added_session_is_one_more_and_what_was_measured_between_named_ones_stays() -> None:
    within = distances()
    two = SessionEvidence().with_session()
    assert two == SessionEvidence(2) and two.widening == ONE_SESSION
    measured = SessionEvidence.measured(4, 1.5 * within, within)
    assert measured.sessions == 4 and measured.step == pytest.approx(1.5)
    five = measured.with_session()
    assert five.sessions == 5 and five.step == measured.step and 1.0 < five.widening < measured.widening


def test_evidence_survives_json_and_nonsense_is_refused() -> None:
    evidence = SessionEvidence(3, 1.25)
    assert SessionEvidence.from_dict(evidence.to_dict()) == evidence
    for broken in (None, {}, {"sessions": 0, "step": 1.0}, {"sessions": 1, "step": 0.5}):
        with pytest.raises(DataError, match="session evidence"):
            SessionEvidence.from_dict(broken)


def test_only_distances_are_stretched() -> None:
    specs = parse_scorers("embedding:knn+ranked:knn+embedding:lof+embedding:ldn+ranked:gmm+spectrum:maha")
    assert allowances(specs, 1.5) == (1.5, 1.5, 1.0, 1.0, 1.0, 1.5)


def test_the_threshold_is_that_of_sound_so_much_further_away() -> None:
    own = distances()
    plain, wide = Calibration.fit(own, 95.0), Calibration.fit(own, 95.0, allowance=(1.5, 1.5))
    assert wide.plain == plain.threshold == plain.plain and wide.fusion == plain.fusion
    assert wide.threshold > 2.0 * plain.threshold
    share = np.mean(wide.score(1.5 * distances(seed=1)) > 50.0)
    assert 0.02 < share < 0.09
    assert np.mean(plain.score(1.5 * distances(seed=1)) > 50.0) > 0.9


def test_scores_keep_their_order_whatever_is_allowed() -> None:
    own, heard = distances(), distances(seed=2) * np.linspace(0.5, 3.0, 400)[:, None]
    orders = [np.argsort(Calibration.fit(own, 95.0, allowance=a).score(heard)) for a in ((), (1.0, 1.0), (2.0, 2.0))]
    for order in orders[1:]:
        np.testing.assert_array_equal(order, orders[0])


def test_no_allowance_changes_nothing() -> None:
    own = distances()
    assert Calibration.fit(own, 95.0, allowance=(1.0, 1.0)) == Calibration.fit(own, 95.0)


@pytest.mark.parametrize("target", [WEEKLY, LiveTarget(percentile=99.0)])
def test_live_thresholds_are_widened_too_and_keep_it_when_fitted_anew(target: LiveTarget, tiny_bundle) -> None:
    n = 300
    steady = np.random.default_rng(3).gamma(900.0, 1e-3, (n, 2)).astype(np.float32)
    scores = EnrolmentScores(steady, np.arange(n, dtype=np.int32) // 10, np.zeros(n, np.int32))
    plain, wide = (fit_stream(scores, 2, target, 1.0, a)[-1] for a in ((), (2.0, 2.0)))
    assert wide.threshold > 2.0 * plain.threshold and wide.plain == plain.threshold
    assert wide.target == plain.target and wide.allowance == (2.0, 2.0)
    assert wide.within(50.0) < 50.0 and plain.within(50.0) == 50.0
    np.testing.assert_allclose(wide.within(50.0), 100.0 * wide.plain / (wide.plain + wide.threshold))
    assert Calibration.from_dict(wide.to_dict()) == wide
    asked = tiny_bundle.detector(percentile=99.0).calibration
    assert asked.allowance == tiny_bundle.clip_calibration.allowance != ()


def test_a_bundle_from_before_there_was_an_allowance_has_none() -> None:
    data = Calibration.fit(distances(), 95.0).to_dict()
    del data["allowance"], data["unwidened"]
    read = Calibration.from_dict(data)
    assert read.allowance == () and read.plain == read.threshold
    for broken in ({"allowance": 3}, {"allowance": [float("nan")]}, {"unwidened": float("inf")}):
        with pytest.raises(DataError):
            Calibration.from_dict({**data, **broken})


def test_the_setting_is_auto_none_or_a_factor() -> None:
    assert [parse_allowance(text) for text in ("auto", "none", "1", "2.5", "10")] == [None, 1.0, 1.0, 2.5, 10.0]
    for text in ("0.9", "11", "nan", "much", ""):
        with pytest.raises(DataError, match="auto, none or a factor"):
            parse_allowance(text)


def test_a_person_is_told_what_was_assumed() -> None:
    clip = Calibration.fit(distances(), 95.0, allowance=(2.0, 2.0))
    told = session_summary(SessionEvidence(), None, clip)
    assert told["widening"] == 2.0 and told["asked"] is None
    assert "one session" in told["text"] and f"{clip.threshold / clip.plain:.1f} times wider" in told["text"]
    assert "enroll --sessions" in told["text"]
    asked = session_summary(SessionEvidence(3), 1.0, dataclasses.replace(clip, threshold=clip.plain))
    assert (asked["widening"], asked["text"]) == (1.0, "")
    asked = session_summary(SessionEvidence(), 2.5, clip)
    assert "2.5 times are allowed for" in asked["text"] and "narrows" not in asked["text"]
    no_distance = dataclasses.replace(clip, threshold=clip.plain)
    assert "nothing is allowed for other days" in session_summary(SessionEvidence(), None, no_distance)["text"]
    assert "--session-allowance does nothing" in session_summary(SessionEvidence(), 3.0, no_distance)["text"]

"""More normal sound for a bundle in use: nothing known is given up, and thresholds hold for old and new."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edge_asd.bundle.bundle import Bundle, load_bundle, save_bundle
from edge_asd.enrolment.appending import appended, blank_enrolment
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.errors import DataError
from edge_asd.frontend import log_mel
from edge_asd.inference import Embedder
from edge_asd.model_package import Model
from edge_asd.scorers import parse_scorers

DAY_1, DAY_2 = 1_700_000_000.0, 1_700_086_400.0
OTHER_LOAD = {"tone_hz": 1500.0, "tone_amplitude": 0.03}


@pytest.fixture(scope="module")
def grown(tiny_bundle: Bundle, tiny_embedder: Embedder, steady_sound) -> Bundle:
    """`tiny_bundle` with half a minute of another load appended."""
    new = blank_enrolment(tiny_bundle, tiny_embedder, DAY_2)
    new.add_samples(steady_sound(32.0, seed=50, **OTHER_LOAD), "other load", domain="target")
    return appended(tiny_bundle, new, "a test")


def score(bundle: Bundle, sound: np.ndarray) -> float:
    return bundle.score_clip(log_mel(sound, bundle.contract.features)).score


def test_the_new_condition_becomes_normal_and_the_old_one_stays(
    tiny_bundle: Bundle, grown: Bundle, steady_sound
) -> None:
    def usual(bundle: Bundle, **load: float) -> float:
        return float(np.median([score(bundle, steady_sound(8.0, seed=60 + i, **load)) for i in range(5)]))

    assert usual(tiny_bundle, **OTHER_LOAD) > 60.0 > 50.0 > usual(tiny_bundle)
    assert usual(grown, **OTHER_LOAD) < 50.0 and usual(grown) < 50.0
    assert score(grown, steady_sound(8.0, seed=62, tone_hz=3100.0, tone_amplitude=0.1)) > 50.0


def test_old_windows_keep_their_domain_and_time(tiny_model: Model, tiny_embedder: Embedder, steady_sound) -> None:
    enrolment = Enrolment(tiny_model, tiny_embedder, enrolled_s=DAY_1)
    enrolment.add_samples(steady_sound(20.0), "day 1")
    bundle = enrolment.finish({})
    new = blank_enrolment(bundle, tiny_embedder, DAY_2)
    new.add_samples(steady_sound(12.0, seed=3), "day 2", domain="target")
    tags = appended(bundle, new).normal.tags
    n = len(bundle.normal)
    assert set(tags.enrolled_s[:n].tolist()) == {int(DAY_1)} and set(tags.enrolled_s[n:].tolist()) == {int(DAY_2)}
    assert tags.domains[:n].sum() == 0 and tags.domains[n:].all()


def test_rhythms_of_old_and_new_sound_are_known_together_and_the_new_ones_where_the_old_are_not(
    tiny_bundle: Bundle, tiny_embedder: Embedder, grown: Bundle, steady_sound
) -> None:
    new = blank_enrolment(tiny_bundle, tiny_embedder, DAY_2)
    new.add_samples(steady_sound(32.0, seed=50, **OTHER_LOAD), "other load", domain="target")
    own = new.taken.mean_rhythms()
    old = tiny_bundle.normal.rhythms.astype(np.float64)
    np.testing.assert_allclose(grown.normal.rhythms, old + (own - old) / 3.0, rtol=0.02, atol=1e-6)  # 64 s and 32 s
    unknown = dataclasses.replace(tiny_bundle, normal=dataclasses.replace(tiny_bundle.normal, rhythms=None))
    np.testing.assert_allclose(appended(unknown, new, "a test").normal.rhythms, own, rtol=1e-3, atol=1e-6)


def test_what_was_appended_is_told(grown: Bundle, tiny_bundle: Bundle) -> None:
    (entry,) = grown.enrolment["appended"]
    assert entry["domain"] == "target" and entry["source"] == "a test" and entry["at"] == "2023-11-15T22:13:20.000Z"
    assert entry["above_before"] == entry["pieces"] == 3
    assert entry["above_after"] <= 1
    assert grown.enrolment["seconds"] == pytest.approx(96.0, abs=0.1)
    assert grown.enrolment["windows"] == len(grown.normal) == tiny_bundle.enrolment["windows"] + entry["windows"]
    assert grown.enrolment["sound"]["loudest_dbfs"] >= tiny_bundle.enrolment["sound"]["loudest_dbfs"]
    assert "appended" not in tiny_bundle.enrolment


def test_a_session_far_off_is_known_afterwards_and_takes_nothing_from_what_is_allowed_for_others(
    grown: Bundle, tiny_bundle: Bundle
) -> None:
    before, after = tiny_bundle.enrolment["sessions"], grown.enrolment["sessions"]
    assert (before["sessions"], after["sessions"]) == (1, 2)
    assert before["widening"] > 1.9 and "one session" in before["text"]
    assert after["widening"] == pytest.approx(before["widening"], abs=1e-3) and "2 sessions" in after["text"]
    assert grown.clip_calibration.allowance == pytest.approx(tiny_bundle.clip_calibration.allowance, abs=1e-3)


def test_more_of_the_same_session_is_no_evidence_of_others(tiny_bundle: Bundle, tiny_embedder, steady_sound) -> None:
    new = blank_enrolment(tiny_bundle, tiny_embedder, DAY_2)
    new.add_samples(steady_sound(32.0, seed=51), "the same again")
    sessions = appended(tiny_bundle, new).enrolment["sessions"]
    assert sessions["sessions"] == 2 and sessions["widening"] > 1.8


def test_what_the_user_has_set_stays_set(plain_bundle: Bundle, tiny_embedder, steady_sound) -> None:
    new = blank_enrolment(plain_bundle, tiny_embedder, DAY_2)
    new.add_samples(steady_sound(32.0, seed=51), "the same again")
    again = appended(plain_bundle, new)
    assert (again.enrolment["sessions"]["asked"], again.clip_calibration.allowance) == (1.0, ())


def test_a_bundle_from_before_there_was_an_allowance_gets_none(
    tiny_bundle: Bundle, tiny_embedder, steady_sound
) -> None:
    enrolment = {key: value for key, value in tiny_bundle.enrolment.items() if key != "sessions"}
    new = blank_enrolment(tiny_bundle, tiny_embedder, DAY_2)
    new.add_samples(steady_sound(32.0, seed=51), "the same again")
    again = appended(dataclasses.replace(tiny_bundle, enrolment=enrolment), new)
    assert again.enrolment["sessions"] is None and again.clip_calibration.allowance == ()


def test_it_is_saved_and_appended_to_again(
    grown: Bundle, tiny_embedder: Embedder, steady_sound, tmp_path: Path
) -> None:
    save_bundle(grown, tmp_path / "fan.asd")
    loaded = load_bundle(tmp_path / "fan.asd")
    other = steady_sound(8.0, seed=60, **OTHER_LOAD)
    assert score(loaded, other) == score(grown, other)
    new = blank_enrolment(loaded, tiny_embedder, DAY_2)
    new.add_samples(steady_sound(12.0, seed=70, tone_hz=700.0), "a third load", domain="target")
    again = appended(loaded, new)
    assert [entry["seconds"] for entry in again.enrolment["appended"]] == [32.0, 12.0]
    assert again.known is not None and len(set(again.known.folds.tolist())) <= 15
    assert score(again, steady_sound(8.0, seed=71, tone_hz=700.0)) < 50.0


def test_appending_costs_a_bundle_no_second_copy_of_its_bank(tiny_bundle: Bundle, tmp_path: Path) -> None:
    save_bundle(tiny_bundle, tmp_path / "with.asd")
    save_bundle(dataclasses.replace(tiny_bundle, known=None), tmp_path / "without.asd")
    more = (tmp_path / "with.asd").stat().st_size - (tmp_path / "without.asd").stat().st_size
    assert more < 12 * len(tiny_bundle.normal) + 3000


def test_the_bank_budget_is_held(tiny_model: Model, tiny_embedder: Embedder, steady_sound) -> None:
    budget = 24 * 1024
    enrolment = Enrolment(tiny_model, tiny_embedder, bank_budget_bytes=budget)
    for i in range(3):
        enrolment.add_samples(steady_sound(20.0, seed=i), f"clip {i}")
    bundle = enrolment.finish({})
    assert len(bundle.normal) < bundle.enrolment["windows"]
    new = blank_enrolment(bundle, tiny_embedder, DAY_2)
    new.add_samples(steady_sound(20.0, seed=9, **OTHER_LOAD), "other load", domain="target")
    grown = appended(bundle, new)
    assert grown.enrolment["bank"]["bytes"] <= budget and grown.enrolment["bank"]["budget_bytes"] == budget
    assert len(grown.normal) == grown.enrolment["bank"]["windows"]
    assert 0 < grown.normal.tags.domains.sum() < len(grown.normal)
    # Windows that were forgotten before are judged as they were.
    assert grown.known is not None and bundle.known is not None
    forgotten = np.setdiff1d(np.arange(len(bundle.known.folds)), bundle.known.kept)
    np.testing.assert_array_equal(
        grown.enrolment_scores.distances[forgotten], bundle.enrolment_scores.distances[forgotten]
    )


@pytest.mark.parametrize("scorers", ["ranked:gmm", "spectrum:maha+ranked:knn,r=1.05", "ranked:lof,k=5"])
def test_any_scorer_can_be_added_to(tiny_model: Model, steady_sound, scorers: str) -> None:
    enrolment = Enrolment(tiny_model, None, parse_scorers(scorers))
    enrolment.add_samples(steady_sound(40.0), "sound")
    bundle = enrolment.finish({})
    new = blank_enrolment(bundle, None, DAY_2)
    new.add_samples(steady_sound(30.0, seed=9, **OTHER_LOAD), "other load", domain="target")
    grown = appended(bundle, new)
    other = steady_sound(8.0, seed=60, **OTHER_LOAD)
    assert score(grown, other) < score(bundle, other)


def test_kept_frames_are_joined(tiny_model: Model, tiny_embedder: Embedder, steady_sound) -> None:
    enrolment = Enrolment(tiny_model, tiny_embedder, keep_frames=True)
    enrolment.add_samples(steady_sound(20.0), "sound")
    bundle = enrolment.finish({})
    new = blank_enrolment(bundle, tiny_embedder, DAY_2)
    new.add_samples(steady_sound(20.0, seed=1), "more", domain="target")
    grown = appended(bundle, new)
    assert grown.frames is not None and bundle.frames is not None
    assert [p.target for p in grown.frames.pieces()] == [False, False, True, True]


def test_a_bundle_without_its_windows_and_too_little_sound_are_refused(
    tiny_bundle: Bundle, tiny_embedder: Embedder, steady_sound
) -> None:
    new = blank_enrolment(tiny_bundle, tiny_embedder, DAY_2)
    new.add_samples(steady_sound(5.0), "short")
    with pytest.raises(DataError, match="at least 10 s"):
        appended(tiny_bundle, new)
    with pytest.raises(DataError, match="older edge-asd"):
        appended(dataclasses.replace(tiny_bundle, known=None), new)

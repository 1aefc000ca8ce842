"""Enrolment: what sound is taken, what is refused and where, and that its packaging in files does not matter."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.audio.block import level_dbfs
from edge_asd.bundle.bundle import Bundle
from edge_asd.calibration.sessions import step_between
from edge_asd.calibration.thresholds import Calibration
from edge_asd.enrolment import enrolled_windows
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.errors import DataError
from edge_asd.frontend import log_mel
from edge_asd.scorers import cross_fitted, features_of, parse_scorers
from edge_asd.scorers.registry import fitting_measures
from edge_asd.windows import clip_windows


@pytest.fixture
def enrolment(tiny_model, tiny_embedder) -> Enrolment:
    return Enrolment(tiny_model, tiny_embedder)


def advice(bundle: Bundle) -> list[str]:
    """Warnings about the amount of sound."""
    return [warning for warning in bundle.enrolment["warnings"] if "s of normal sound" in warning]


def distances_between(bundle: Bundle, pieces: list[np.ndarray], folds: list[int]) -> np.ndarray:
    """The bundle's enrolled windows, heard anew as log-mel pieces, each against the windows of other folds.

    folds: one a piece.
    """
    windows = [clip_windows(piece, bundle.contract)[0] for piece in pieces]
    return cross_fitted_windows(bundle, windows, np.repeat(folds, [len(own) for own in windows]))


def cross_fitted_windows(bundle: Bundle, windows: list[np.ndarray], fold_of_window: np.ndarray) -> np.ndarray:
    """windows: of each piece."""
    specs = bundle.normal.specs
    heard = [features_of(specs, own, bundle.embedder) for own in windows]
    return cross_fitted(specs, {key: np.concatenate([own[key] for own in heard]) for key in heard[0]}, fold_of_window)


def limit(calibration: Calibration, distances: np.ndarray) -> float:
    """How many times as far away as `distances` [views] a sound must be to be anomalous."""
    factors = np.linspace(0.5, 5.0, 4501)
    return float(factors[(calibration.fusion.score(factors[:, None] * distances) > calibration.threshold).argmax()])


def test_a_minute_makes_a_bundle_without_complaint_about_its_length(enrolment, steady_sound) -> None:
    samples = steady_sound(60.0)
    enrolment.add_samples(samples, "fan.wav")
    bundle = enrolment.finish({"created": "2026-01-01T00:00:00Z"})
    assert advice(bundle) == []
    assert bundle.enrolment["seconds"] == 60.0
    assert bundle.enrolment["pieces"] == 6
    assert bundle.enrolment["windows"] == len(bundle.normal) == len(bundle.enrolment_scores.distances)
    assert bundle.enrolment["level_dbfs"] == pytest.approx(level_dbfs(samples), abs=0.06)
    assert bundle.provenance["created"] == "2026-01-01T00:00:00Z"
    assert len(bundle.live_calibrations) == round(2.0 / bundle.contract.step_s)
    assert {(live.budget, live.confirm_s) for live in bundle.live_calibrations} == {("1/week", 3.0)}


@pytest.mark.parametrize("n_clips", [1, 5, 9])
def test_under_ten_seconds_is_refused_with_the_amount(enrolment, steady_sound, n_clips: int) -> None:
    for i in range(n_clips):
        enrolment.add_samples(steady_sound(1.0, seed=i), f"{i}.wav")
    with pytest.raises(DataError, match=rf"{n_clips}\.0 s of normal sound, at least 10 s are needed; enrol more"):
        enrolment.finish({})


@pytest.mark.parametrize("n_clips, seconds", [(1, 10.0), (10, 1.0), (5, 2.0), (20, 0.5)])
def test_ten_seconds_in_any_number_of_files_are_taken_with_a_warning(
    enrolment, steady_sound, n_clips: int, seconds: float
) -> None:
    for i in range(n_clips):
        enrolment.add_samples(steady_sound(seconds, seed=i), f"{i}.wav")
    bundle = enrolment.finish({})
    assert bundle.enrolment["seconds"] == 10.0
    assert len(advice(bundle)) == 1
    promise = bundle.live_calibrations[-1].promise
    assert "nothing can be promised" in promise or "fold; expect between" in promise
    assert np.isfinite(bundle.live_calibrations[-1].threshold)


def test_frames_count_as_much_sound_as_they_were_made_of(enrolment, steady_sound) -> None:
    frames = log_mel(steady_sound(30.0), enrolment.model.contract.features)
    enrolment.add_frames(frames, "fan.npy")
    assert enrolment.seconds == pytest.approx(30.0, abs=0.02)


@pytest.mark.parametrize(
    "damage, problem",
    [
        (lambda x: x.__setitem__(slice(48000, 64000), 0.0), r"fan\.wav: silent at 3 s \(-120 dBFS\)"),
        (lambda x: x.__imul__(np.float32(1e-6)), r"fan\.wav: silent at 0 s"),
        (lambda x: x.__setitem__(slice(40000, 41000), 1.0), r"fan\.wav: clipped, 0\.5 % .* the first at 2\.5 s"),
        (lambda x: x.__setitem__(slice(8000, 9000), -1.0), r"fan\.wav: clipped, 0\.5 % .* the first at 0\.5 s"),
        (lambda x: x.__setitem__(7777, np.nan), r"fan\.wav: sample 7777 is not a finite number"),
        (lambda x: x.__setitem__(3, np.inf), r"fan\.wav: sample 3 is not a finite number"),
    ],
    ids=["silent second", "silent", "clipped", "clipped below", "nan", "inf"],
)
def test_sound_nobody_should_enrol_is_refused_with_its_name_and_place(
    enrolment, steady_sound, damage, problem: str
) -> None:
    samples = steady_sound(12.0)
    damage(samples)
    with pytest.raises(DataError, match=problem):
        enrolment.add_samples(samples, "fan.wav")
    assert enrolment.seconds == 0.0


def test_no_sample_at_all_and_silent_frames_are_refused(enrolment) -> None:
    with pytest.raises(DataError, match=r"x\.wav: silent"):
        enrolment.add_samples(np.empty(0, np.float32), "x.wav")
    with pytest.raises(DataError, match=r"x\.npy: silent in every band"):
        enrolment.add_frames(np.full((400, 128), -100.0, np.float32), "x.npy")


def test_a_peak_at_full_scale_and_a_silent_rest_under_a_second_are_taken(enrolment, steady_sound) -> None:
    samples = steady_sound(12.001)
    samples[1000] = 1.0
    samples[-10:] = 0.0
    enrolment.add_samples(samples, "fan.wav")
    assert enrolment.seconds == pytest.approx(12.001)


def test_a_lenient_enrolment_notes_what_a_strict_one_refuses(tiny_model, tiny_embedder, steady_sound) -> None:
    enrolment = Enrolment(tiny_model, tiny_embedder, strict=False)
    samples = steady_sound(12.0)
    samples[48000:64000] = 0.0
    samples[5000:6000] = 1.0
    enrolment.add_samples(samples, "fan.wav")
    warnings = enrolment.finish({}).enrolment["warnings"]
    assert any("silent at 3 s" in warning for warning in warnings)
    assert any("clipped" in warning for warning in warnings)
    samples[0] = np.nan
    with pytest.raises(DataError, match="not a finite number"):
        enrolment.add_samples(samples, "fan.wav")


def test_one_recording_is_the_same_enrolment_as_its_pieces(tiny_model, tiny_embedder, steady_sound) -> None:
    frames = log_mel(steady_sound(60.0), tiny_model.contract.features)
    whole, pieces = (Enrolment(tiny_model, tiny_embedder) for _ in range(2))
    whole.add_frames(frames, "long.npy")
    for i, piece in enumerate(np.array_split(frames, 6)):
        pieces.add_frames(piece, "long.npy", start_s=10.0 * i)
    one, other = whole.finish({}), pieces.finish({})
    for mine, its in zip(one.normal.scorers, other.normal.scorers, strict=True):
        for name, array in mine.measure.arrays().items():
            np.testing.assert_array_equal(array, its.measure.arrays()[name])
    np.testing.assert_array_equal(one.normal.spectra.levels_db, other.normal.spectra.levels_db)
    np.testing.assert_array_equal(one.enrolment_scores.distances, other.enrolment_scores.distances)
    np.testing.assert_array_equal(one.enrolment_scores.pieces, other.enrolment_scores.pieces)
    assert one.live_calibrations == other.live_calibrations
    assert one.clip_calibration == other.clip_calibration


def test_one_recording_scores_as_the_same_sound_in_ten_second_clips(tiny_model, tiny_embedder, steady_sound) -> None:
    samples = steady_sound(120.0)
    whole, clips = (Enrolment(tiny_model, tiny_embedder) for _ in range(2))
    whole.add_samples(samples, "long.wav")
    for i, clip in enumerate(np.split(samples, 12)):
        clips.add_samples(clip, f"{i}.wav")
    one, other = whole.finish({}), clips.finish({})
    assert {k: one.enrolment[k] for k in ("seconds", "pieces")} == {
        k: other.enrolment[k] for k in ("seconds", "pieces")
    }
    assert len(one.normal) == pytest.approx(len(other.normal), rel=0.02)
    normal = one.enrolment_scores.distances.mean(axis=0)
    # A stream's score is averaged along the recording, but not from one clip into the next.
    for calibrations, tolerance in (
        ([one.clip_calibration, other.clip_calibration], 0.01),
        ([one.live_calibrations[-1], other.live_calibrations[-1]], 0.1),
    ):
        limits = [limit(calibration, normal) for calibration in calibrations]
        assert 1.0 < limits[0] == pytest.approx(limits[1], rel=tolerance)


def test_groups_are_the_folds(enrolment, steady_sound) -> None:
    pieces = [log_mel(steady_sound(5.0, seed=i), enrolment.model.contract.features) for i in range(5)]
    for i, group in enumerate("abacb"):
        enrolment.add_frames(pieces[i], f"{i}.npy", group)
    bundle = enrolment.finish({})
    found = bundle.enrolment_scores.distances
    np.testing.assert_array_equal(found, distances_between(bundle, pieces, [0, 1, 0, 2, 1]))
    assert (found != distances_between(bundle, pieces, [0, 1, 2, 3, 4])).any(axis=0).all()


def test_many_groups_share_ten_folds_in_order(enrolment, steady_sound) -> None:
    pieces = [log_mel(steady_sound(1.5, seed=i), enrolment.model.contract.features) for i in range(25)]
    for i, piece in enumerate(pieces):
        enrolment.add_frames(piece, f"{i}.npy", f"group {i}")
    bundle = enrolment.finish({})
    expected = distances_between(bundle, pieces, [i * 10 // 25 for i in range(25)])
    np.testing.assert_array_equal(bundle.enrolment_scores.distances, expected)


@pytest.mark.parametrize("groups", ["aaaaa", [None] * 5, ["a", "b", None, "c", "d"]], ids=["one", "none", "some"])
def test_without_groups_to_tell_apart_stretches_are_the_folds(enrolment, steady_sound, groups) -> None:
    pieces = [log_mel(steady_sound(5.0, seed=i), enrolment.model.contract.features) for i in range(5)]
    for i, group in enumerate(groups):
        enrolment.add_frames(pieces[i], f"{i}.npy", group)
    bundle = enrolment.finish({})
    found = bundle.enrolment_scores.distances
    np.testing.assert_array_equal(found, distances_between(bundle, pieces, [0, 1, 2, 3, 4]))


def test_a_long_recording_has_ten_folds_in_order(enrolment, steady_sound) -> None:
    frames = log_mel(steady_sound(200.0), enrolment.model.contract.features)
    enrolment.add_frames(frames, "long.npy")
    bundle = enrolment.finish({})
    pieces = np.array_split(frames, 20)
    found = bundle.enrolment_scores.distances
    np.testing.assert_array_equal(found, distances_between(bundle, pieces, [i // 2 for i in range(20)]))
    assert (found != distances_between(bundle, pieces, list(range(20)))).any(axis=0).all()


def test_a_single_piece_is_judged_by_its_halves_and_says_so(enrolment, steady_sound) -> None:
    enrolment.add_samples(steady_sound(12.0), "fan.wav")
    bundle = enrolment.finish({})
    assert any("one piece" in warning for warning in bundle.enrolment["warnings"])
    found = bundle.enrolment_scores.distances
    assert np.isfinite(found).all()
    windows, _ = clip_windows(log_mel(steady_sound(12.0), bundle.contract.features), bundle.contract)
    halves = np.arange(len(windows)) >= len(windows) / 2
    np.testing.assert_array_equal(found, cross_fitted_windows(bundle, [windows], halves))


def test_a_recording_in_a_loop_still_enrols(enrolment, steady_sound) -> None:
    """Repeated digital sound has windows that are equal but for rounding."""
    enrolment.add_samples(np.tile(steady_sound(2.048), 30), "loop.wav")
    bundle = enrolment.finish({})
    assert np.isfinite(bundle.live_calibrations[-1].threshold)
    assert any("threshold:" in warning for warning in bundle.enrolment["warnings"])


def test_measuring_on_found_data_takes_little_sound_with_a_warning(tiny_model, tiny_embedder, steady_sound) -> None:
    enrolment = Enrolment(tiny_model, tiny_embedder, strict=False)
    enrolment.add_samples(steady_sound(6.0), "short.wav")
    assert any("only 6 s of normal sound" in warning for warning in enrolment.finish({}).enrolment["warnings"])


@pytest.mark.parametrize("measure", fitting_measures("embedding"))
def test_a_single_window_still_ranks_what_it_is_held_against(tiny_model, tiny_embedder, steady_sound, measure) -> None:
    specs = parse_scorers(f"embedding:{measure}+ranked:{measure}")
    lenient = Enrolment(tiny_model, tiny_embedder, specs, strict=False)
    lenient.add_samples(steady_sound(0.3), "a breath.wav")
    bundle = lenient.finish({})
    assert any("one window" in warning for warning in bundle.enrolment["warnings"])
    features = tiny_model.contract.features
    normal = bundle.score_clip(log_mel(steady_sound(4.0, seed=3), features))
    noise = np.random.default_rng(1).normal(0.0, 0.3, 4 * features.rate_hz).astype(np.float32)
    assert normal.score < bundle.score_clip(log_mel(noise, features)).score


def test_named_sessions_are_counted_and_how_they_differ_is_measured(tiny_model, tiny_embedder, steady_sound) -> None:
    def sessions(*tones_hz: float, groups=("a", "b", "c"), budget: int | None = None) -> dict[str, object]:
        enrolment = Enrolment(tiny_model, tiny_embedder, bank_budget_bytes=budget)
        for i, (tone_hz, group) in enumerate(zip(tones_hz, groups, strict=True)):
            sound = steady_sound(20.0, seed=i, tone_hz=tone_hz, tone_amplitude=0.03)
            enrolment.add_samples(sound, f"recording {i}", group=group)
        return enrolment.finish({}).enrolment["sessions"]

    alike, unlike = sessions(1000.0, 1000.0, 1000.0), sessions(800.0, 1500.0, 2500.0)
    assert alike["sessions"] == unlike["sessions"] == 3
    assert alike["step"] < 1.1 < 3.0 < unlike["step"]
    assert alike["widening"] > 1.8 and unlike["widening"] == 1.0
    assert sessions(1000.0, 1000.0, 1000.0, groups=(None, None, None))["sessions"] == 1
    assert sessions(800.0, 1500.0, 2500.0, budget=4096)["step"] == unlike["step"]


def test_long_enrolments_are_compared_by_some_of_their_windows(enrolment, steady_sound, monkeypatch) -> None:
    for i, tone_hz in enumerate((800.0, 1500.0)):
        sound = steady_sound(20.0, seed=i, tone_hz=tone_hz, tone_amplitude=0.03)
        enrolment.add_samples(sound, f"recording {i}", group=str(i))
    windows = enrolment.windows()
    every = windows.from_session_to_session(enrolment.scorers)
    monkeypatch.setattr(enrolled_windows, "MOST_COMPARED", 40)
    some = windows.from_session_to_session(enrolment.scorers)
    assert len(every[0]) > 100 and [len(rows) for rows in some] == [40, 40]
    assert step_between(*some) == pytest.approx(step_between(*every), rel=0.3)

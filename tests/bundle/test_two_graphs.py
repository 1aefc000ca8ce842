"""A model that hears the waveform and scores by itself, from enrolment to a stream: the same numbers everywhere."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_asd.audio.block import AudioBlock
from edge_asd.bundle.bundle import Bundle, load_bundle, save_bundle
from edge_asd.bundle.refit import for_runtime, refitted
from edge_asd.calibration.aggregation import Aggregation
from edge_asd.clips import Clip
from edge_asd.enrolment.adaptation import Admitted, adapted_normal
from edge_asd.enrolment.appending import appended, blank_enrolment
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.enrolment.hearing import hear_samples, pieces_of
from edge_asd.errors import DataError
from edge_asd.explain.clip import explain_clip
from edge_asd.frontend import LogMel, log_mel
from edge_asd.inference import load_embedder
from edge_asd.model_package import Model
from edge_asd.scorers import parse_scorers
from edge_asd.windows import Windows, window_starts
from tests.fakes.graphs import FLOW_CONTRACT, duo_model, flow_model

SPECS = parse_scorers("embedding:knn+scores:column,i=1")


def enrolled(model: Model, samples: np.ndarray, scorers=(), **settings) -> Bundle:
    enrolment = Enrolment(model, load_embedder(model), scorers, **settings)
    enrolment.add_samples(samples, "steady sound")
    return enrolment.finish({"created": "2026-01-01T00:00:00Z"})


@pytest.fixture(scope="module")
def duo(steady_sound) -> Bundle:
    return enrolled(duo_model(), steady_sound(40.0, seed=1), SPECS)


@pytest.fixture(scope="module")
def flow(steady_sound) -> Bundle:
    return enrolled(flow_model(), steady_sound(40.0, seed=1), aggregation=Aggregation(1.0))


def clip_of(bundle: Bundle, samples: np.ndarray) -> Clip:
    return Clip.heard(samples, bundle.contract.features, waveform=bundle.uses_waveform)


def test_each_window_is_heard_with_the_samples_its_frames_came_from(duo, steady_sound) -> None:
    samples, contract = steady_sound(3.3, seed=4), duo.contract
    windows = clip_of(duo, samples).windows(contract)
    assert isinstance(windows, Windows) and windows.samples is not None
    assert windows.samples.shape == (len(windows), contract.window_samples)
    starts = window_starts(1 + samples.size // 512, contract)
    np.testing.assert_array_equal(windows.samples[3], samples[starts[3] * 512 - 512 :][: contract.window_samples])
    assert not windows.samples[0][:512].any()  # the zeros a centred front end puts before the clip
    again = LogMel(contract.features, padded=False).push(windows.samples[3])
    np.testing.assert_array_equal(again, windows.frames[3])


def test_a_stream_scores_as_a_clip_of_the_same_sound(duo, steady_sound) -> None:
    samples, contract = steady_sound(4.0, seed=10), duo.contract
    clip = clip_of(duo, samples)
    distances, starts = duo.clip_distances(clip), window_starts(len(clip), contract)
    of_clip = duo.live_calibrations[0].score(distances)
    step, half = contract.step_frames * 512, 512
    detector, stream, found = duo.detector(), samples[step - half :], []
    for start in range(0, stream.size, 700):  # blocks of no special length
        found += detector.push(AudioBlock(stream[start : start + 700], start, start / 16000))
    inner = (starts % contract.step_frames == 0) & (starts > 0)
    inner &= starts * 512 + contract.window_samples - half <= samples.size
    assert inner.sum() == len(found) > 10
    np.testing.assert_allclose([score.window_score for score in found], of_clip[inner], rtol=1e-3)


def test_a_long_clip_is_heard_part_by_part_with_the_same_scores(duo, steady_sound, monkeypatch) -> None:
    clip = clip_of(duo, steady_sound(9.0, seed=5))
    together, explained = duo.clip_distances(clip), explain_clip(clip, duo)
    monkeypatch.setattr("edge_asd.clips.MOST_VALUES", 1)
    parts = list(clip.parts(duo.contract))
    assert len(parts) == 5 and sum(map(len, parts)) == len(together)
    np.testing.assert_allclose(duo.clip_distances(clip), together, rtol=1e-5, atol=1e-6)
    again = explain_clip(clip, duo)
    assert (again.from_s, again.to_s, again.score.n_windows) == (explained.from_s, explained.to_s, len(together))
    (piece,) = hear_samples(steady_sound(9.0, seed=5), "s", duo.contract, SPECS, duo.embedder).pieces
    np.testing.assert_allclose(duo.normal.distances(piece.features), together, rtol=1e-5, atol=1e-6)
    assert piece.rhythms is not None and np.isfinite(piece.rhythms).all()


def test_pieces_of_long_windows_hold_some_that_overlap_those_of_short_ones_stay_as_they_were() -> None:
    ten_seconds = dataclasses.replace(FLOW_CONTRACT, window_frames=313)
    assert [pieces_of(1 + round(s * 31.25), ten_seconds) for s in (5, 10, 29, 60, 600)] == [1, 1, 1, 3, 30]
    assert [pieces_of(1 + round(s * 31.25), FLOW_CONTRACT) for s in (5, 10, 29, 60, 600)] == [1, 1, 3, 6, 60]


def test_after_a_gap_no_window_holds_samples_from_before_it(duo, steady_sound) -> None:
    before, after = steady_sound(1.3, seed=1), steady_sound(2.0, seed=2)
    broken, fresh = duo.detector(), duo.detector()
    broken.push(AudioBlock(before, 0, 0.0))
    found = broken.push(AudioBlock(after, 50_000, 0.0, gap_samples=50_000 - before.size))
    expected = fresh.push(AudioBlock(after, 50_000, 0.0))
    assert [score.window_score for score in found] == [score.window_score for score in expected]


def test_both_graphs_travel_and_score_the_same(duo, steady_sound, tmp_path: Path) -> None:
    path = tmp_path / "fan.asd"
    save_bundle(duo, path)
    with zipfile.ZipFile(path) as file:
        assert {"model.onnx", "scorer.onnx"} <= set(file.namelist())
    loaded, clip = load_bundle(path), clip_of(duo, steady_sound(5.0, seed=3))
    assert loaded.model == duo.model and loaded.contract.section == "fan/01"
    np.testing.assert_array_equal(loaded.clip_distances(clip), duo.clip_distances(clip))


def test_a_scorer_alone_enrols_by_itself_and_ranks_as_its_numbers_do(flow, steady_sound, tmp_path: Path) -> None:
    assert [str(spec) for spec in flow.normal.specs] == ["scores:column"]
    path = tmp_path / "fan.asd"
    save_bundle(flow, path)
    loaded = load_bundle(path)
    sounds = [steady_sound(4.0, seed=s, tone_hz=3000.0, tone_amplitude=0.002 * s) for s in range(1, 12)]
    raw, scores = [], []
    for sound in sounds:
        frames = log_mel(sound, FLOW_CONTRACT.features)
        raw.append(float(load_embedder(flow.model).score(Clip(frames).windows(loaded.contract)).mean()))
        scores.append(loaded.score_clip(frames).score)
    assert np.argsort(scores).tolist() == np.argsort(raw).tolist()  # the published window mean, whatever its sign
    assert scores[-1] > 50
    assert explain_clip(log_mel(sounds[-1], FLOW_CONTRACT.features), loaded).explanation.findings


def test_live_scores_of_a_density_stand_on_the_usual_scale(flow, steady_sound) -> None:
    def live(sound: np.ndarray) -> list[float]:
        return [score.score for score in flow.detector().push(AudioBlock(sound, 0, 0.0))]

    assert np.mean(np.array(live(steady_sound(20.0, seed=21))) > 50) < 0.1
    assert live(steady_sound(8.0, seed=22, tone_hz=3000.0))[-1] > 50


def test_frames_alone_are_refused_where_the_waveform_is_needed(duo, steady_sound, tmp_path: Path) -> None:
    frames = log_mel(steady_sound(4.0), duo.contract.features)
    np.save(tmp_path / "dump.npy", frames)
    needs = "duo hears the waveform, and only log-mel frames are at hand; give it the sound itself"
    for use in (
        lambda: duo.score_clip(frames),
        lambda: duo.score_clip(duo.read_clip(tmp_path / "dump.npy")),
        lambda: explain_clip(frames, duo),
        lambda: Enrolment(duo.model, duo.embedder, SPECS).add_frames(frames, "frames"),
    ):
        with pytest.raises(DataError, match=needs):
            use()
    statistics = Enrolment(duo.model, None, parse_scorers("ranked:knn"), keep_frames=True)
    statistics.add_frames(log_mel(steady_sound(20.0), duo.contract.features), "frames")
    assert not statistics.finish({}).uses_waveform


def test_what_cannot_be_fitted_to_frames_is_neither_promised_nor_tried(duo) -> None:
    with pytest.raises(DataError, match="cannot be fitted anew to log-mel frames; leave --keep-frames out"):
        Enrolment(duo.model, duo.embedder, SPECS, keep_frames=True)
    with pytest.raises(
        DataError, match="duo hears the waveform, and a bundle keeps log-mel frames at most; enrol again"
    ):
        refitted(duo, duo.model, duo.embedder)
    said: list[str] = []
    other = dataclasses.replace(duo, fitted_by="litert 2.3.0")
    assert for_runtime(other, "onnxruntime", Path("unused"), said.append).normal is duo.normal
    assert said[0].endswith("scores; enrol here")


def test_a_density_on_log_mel_is_fitted_anew_from_kept_frames(steady_sound) -> None:
    kept = enrolled(flow_model(), steady_sound(40.0, seed=1), keep_frames=True)
    plain = dataclasses.replace(kept.model, contract=dataclasses.replace(kept.contract, section=""))
    again = refitted(kept, plain, load_embedder(kept.model))  # a package has no section: the bundle's is meant
    assert again.contract == kept.contract
    clip = log_mel(steady_sound(5.0, seed=3, tone_hz=3000.0), kept.contract.features)
    assert again.score_clip(clip).score == pytest.approx(kept.score_clip(clip).score, abs=3.0)


def test_a_scorer_of_what_the_model_does_not_give_is_refused(duo, flow, tiny_model) -> None:
    with pytest.raises(DataError, match="scorer embedding:knn: flow gives no embedding; choose scores:column, say"):
        Enrolment(flow.model, None, parse_scorers("embedding:knn"))
    with pytest.raises(DataError, match="scorer scores:column: tiny gives no scores; choose embedding:knn, say"):
        Enrolment(tiny_model, None, parse_scorers("scores:column"))
    nowhere = dataclasses.replace(duo.model, contract=dataclasses.replace(duo.contract, section=""))
    with pytest.raises(DataError, match="none was chosen; give --section, one of fan/00, fan/01"):
        Enrolment(nowhere, None, SPECS)


def test_more_sound_moves_no_distance_that_the_model_itself_gives(duo, steady_sound) -> None:
    more = blank_enrolment(duo, duo.embedder, 0.0)
    more.add_samples(2.0 * steady_sound(15.0, seed=30, tone_hz=500.0), "summer")
    grown = appended(duo, more)
    clip = clip_of(duo, steady_sound(5.0, seed=3))
    np.testing.assert_array_equal(grown.clip_distances(clip)[:, 1], duo.clip_distances(clip)[:, 1])
    n = len(duo.enrolment_scores.distances)
    np.testing.assert_allclose(grown.enrolment_scores.distances[:n, 1], duo.enrolment_scores.distances[:, 1], atol=1e-4)
    features = {"embedding": np.ones((1, 12)), "scores": np.full((1, 2), -1e4), "spectra": np.zeros((1, 256))}
    admitted = Admitted({name: rows.astype(np.float32) for name, rows in features.items()}, np.array([1.0]))
    adapted = adapted_normal(duo, admitted)
    assert adapted.scorers[1].measure is duo.normal.scorers[1].measure


def test_a_model_of_log_mel_alone_is_given_arrays_and_no_samples(tiny_bundle, steady_sound) -> None:
    given: list[object] = []

    class Spy:
        contract, runtime = tiny_bundle.contract, "spy"

        def embed(self, windows):
            given.append(windows)
            return tiny_bundle.embedder.embed(windows)

    watching = dataclasses.replace(tiny_bundle)
    watching.__dict__["embedder"] = Spy()
    watching.detector().push(AudioBlock(steady_sound(2.0), 0, 0.0))
    assert given and all(type(windows) is np.ndarray for windows in given)


def test_a_model_at_32_khz_resamples_what_comes_at_16(steady_sound, tmp_path: Path) -> None:
    features = dataclasses.replace(FLOW_CONTRACT.features, rate_hz=32000, fmax_hz=14000.0)
    model = flow_model()
    model = dataclasses.replace(model, contract=dataclasses.replace(model.contract, features=features))
    path = tmp_path / "normal.wav"
    soundfile.write(path, steady_sound(20.0), 16000, subtype="FLOAT")
    enrolment = Enrolment(model, load_embedder(model))
    enrolment.add_clip(path)
    bundle = enrolment.finish({})
    assert bundle.enrolment["seconds"] == pytest.approx(20.0)
    assert len(bundle.read_clip(path)) == 1 + 20 * 32000 // 512

"""The explanation names what was really changed: which bands, which way, by how many dB."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from edge_asd.audio.block import AudioBlock
from edge_asd.bundle.bundle import Bundle, load_bundle, save_bundle
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.explain import Explanation, recording_spectra, stretch_frames
from edge_asd.explain.clip import explain_clip
from edge_asd.explain.rhythm import loudness_shape, loudness_spectra, stretches
from edge_asd.frontend import log_mel, mel_edges_hz

RATE_HZ = 16000


def explained(bundle: Bundle, samples: np.ndarray) -> Explanation:
    detector = bundle.detector()
    return detector.explain(detector.push(AudioBlock(samples, 0, 0.0)))


def amplified(samples: np.ndarray, from_hz: float, to_hz: float, gain_db: float) -> np.ndarray:
    """The same sound with one stretch of its spectrum louder or quieter."""
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(samples.size, 1.0 / RATE_HZ)
    spectrum[(hz >= from_hz) & (hz <= to_hz)] *= 10.0 ** (gain_db / 20.0)
    return np.fft.irfft(spectrum, samples.size).astype(np.float32)


@pytest.mark.parametrize("tone_hz", [500.0, 1000.0, 3000.0, 6000.0])
@pytest.mark.parametrize("amplitude", [0.01, 0.2])
def test_an_added_tone_is_named_at_its_frequency_and_level(tiny_bundle, steady_sound, tone_hz, amplitude) -> None:
    spec = tiny_bundle.contract.features
    normal = steady_sound(8.0, seed=2)
    with_tone = steady_sound(8.0, seed=2, tone_hz=tone_hz, tone_amplitude=amplitude)
    (band,) = explained(tiny_bundle, with_tone).bands
    assert band.from_hz < tone_hz < band.to_hz
    assert band.to_hz - band.from_hz < 0.3 * tone_hz
    # The change of the same bands between the two sounds themselves, a window's transform spreads the tone over a few.
    edges = mel_edges_hz(spec)
    named = (edges[:-2] >= band.from_hz - 1e-6) & (edges[2:] <= band.to_hz + 1e-6)
    change = (log_mel(with_tone, spec) - log_mel(normal, spec)).mean(axis=0)
    assert band.change_db == pytest.approx(change[named].mean(), abs=1.5)
    assert change.argmax() in np.flatnonzero(named)


@pytest.mark.parametrize("gain_db, word", [(12.0, "rose"), (-12.0, "fell")])
def test_a_wide_band_that_rises_or_falls(tiny_bundle, steady_sound, gain_db: float, word: str) -> None:
    explanation = explained(tiny_bundle, amplified(steady_sound(8.0, seed=3), 2000.0, 3000.0, gain_db))
    (band,) = explanation.bands
    assert band.from_hz == pytest.approx(2000.0, abs=150.0)
    assert band.to_hz == pytest.approx(3000.0, abs=150.0)
    assert band.change_db == pytest.approx(gain_db, abs=1.5)
    assert f" kHz {word} by 1" in explanation.text


def test_two_changes_are_told_the_larger_first(tiny_bundle, steady_sound) -> None:
    samples = amplified(amplified(steady_sound(8.0, seed=4), 2000.0, 3000.0, 6.0), 5000.0, 6500.0, -9.0)
    explanation = explained(tiny_bundle, samples)
    fell, rose = explanation.bands
    assert 4800.0 < fell.from_hz < fell.to_hz < 6700.0
    assert fell.change_db < -6.0 < 4.0 < rose.change_db
    first, second = explanation.text.split("; ")
    assert "fell" in first
    assert "rose" in second


def test_a_tone_that_belongs_to_the_machine_is_missed_when_it_stops(tiny_model, tiny_embedder, steady_sound) -> None:
    enrolment = Enrolment(tiny_model, tiny_embedder)
    enrolment.add_samples(steady_sound(60.0, tone_hz=3000.0), "with tone")
    (band,) = explained(enrolment.finish({}), steady_sound(8.0, seed=5)).bands
    assert band.from_hz < 3000.0 < band.to_hz
    assert band.change_db < -10.0


def test_normal_sound_has_no_changed_band_and_the_text_says_so(tiny_bundle, steady_sound) -> None:
    explanation = explained(tiny_bundle, steady_sound(8.0, seed=6))
    assert explanation.bands == ()
    assert "no band left its normal range" in explanation.text


def test_a_band_is_plain_json(tiny_bundle, steady_sound) -> None:
    (band,) = explained(tiny_bundle, steady_sound(8.0, seed=7, tone_hz=3000.0)).bands
    data = json.loads(json.dumps(band.to_dict()))
    assert data["from_hz"] < 3000 < data["to_hz"]
    assert data["change_db"] == round(band.change_db, 1)


def test_a_bundle_keeps_the_machines_own_rhythm_and_does_without(tiny_bundle, steady_sound, tmp_path) -> None:
    save_bundle(tiny_bundle, tmp_path / "fan.asd")
    loaded = load_bundle(tmp_path / "fan.asd")
    np.testing.assert_array_equal(loaded.normal.rhythms, tiny_bundle.normal.rhythms)
    sound = steady_sound(8.0, seed=8, tone_hz=3000.0)
    assert explained(loaded, sound) == explained(tiny_bundle, sound)
    without = dataclasses.replace(tiny_bundle, normal=dataclasses.replace(tiny_bundle.normal, rhythms=None))
    save_bundle(without, tmp_path / "old.asd")
    assert load_bundle(tmp_path / "old.asd").normal.rhythms is None
    assert explained(without, sound).findings[0].kind == "tone"


def test_blows_too_slow_for_a_window_are_counted_live_and_in_a_clip(tiny_bundle, steady_sound) -> None:
    contract = tiny_bundle.contract
    window_s = contract.window_frames * contract.features.hop_samples / RATE_HZ
    assert 3.0 * window_s < 2.0, "a window alone could not tell"
    since_s = (np.arange(8 * RATE_HZ) / RATE_HZ) % (1.0 / 3.0)
    blows = 0.5 * np.exp(-since_s / 0.004) * np.random.default_rng(9).standard_normal(since_s.size)
    sound = (steady_sound(8.0, seed=7) + blows).astype(np.float32)
    for explanation in (
        explained(tiny_bundle, sound),
        explain_clip(log_mel(sound, contract.features), tiny_bundle).explanation,
    ):
        (finding,) = [finding for finding in explanation.findings if finding.kind == "impacts"]
        assert finding.rate_hz == pytest.approx(3.0, rel=0.03)


def test_sound_shorter_than_a_stretch_is_explained_without_rhythms(tiny_bundle, steady_sound) -> None:
    contract = tiny_bundle.contract
    frames = log_mel(steady_sound(1.0, seed=7, tone_hz=3000.0), contract.features)
    assert len(frames) < stretch_frames(contract) and len(stretches(frames, contract, np.array([10]))) == 0
    assert explain_clip(frames, tiny_bundle).explanation.findings[0].kind == "tone"
    detector = tiny_bundle.detector()
    (first, *_) = detector.push(AudioBlock(steady_sound(1.0, seed=7, tone_hz=3000.0), 0, 0.0))
    assert detector.explain([first]).findings[0].kind == "tone"


def test_a_stretch_ends_where_it_is_asked_to(tiny_bundle) -> None:
    contract = tiny_bundle.contract
    size = stretch_frames(contract)
    frames = np.arange(3.0 * size)[:, None].repeat(2, axis=1)
    ends = np.array([5, size, size + 7])
    assert stretches(frames, contract, ends)[:, -1, 0].tolist() == [size - 1, size + 6], "none twice, none begins early"


def test_rhythms_of_a_recording_do_not_depend_on_how_much_is_in_memory(tiny_bundle, steady_sound, monkeypatch) -> None:
    contract = tiny_bundle.contract
    frames = log_mel(steady_sound(7.0, seed=3), contract.features)
    together = recording_spectra(frames, contract)
    assert together.shape == loudness_shape(stretch_frames(contract))
    monkeypatch.setattr("edge_asd.explain.rhythm.BATCH", 2)
    np.testing.assert_allclose(recording_spectra(frames, contract), together, rtol=1e-5)
    size = stretch_frames(contract)
    ends = [*range(size, len(frames), size // 2), len(frames)]
    apart = [loudness_spectra(frames[None, end - size : end]) for end in ends]
    np.testing.assert_allclose(np.mean(apart, axis=0), together, rtol=1e-5)


def test_clips_of_two_seconds_tell_their_rhythms_beside_shorter_ones(
    tiny_model, tiny_embedder, tiny_bundle, steady_sound
) -> None:
    enrolment = Enrolment(tiny_model, tiny_embedder)
    for i in range(20):
        enrolment.add_samples(steady_sound(2.0 if i % 2 else 1.5, seed=i), f"clip {i}")
    rhythms = enrolment.finish({}).normal.rhythms
    assert rhythms.shape == tiny_bundle.normal.rhythms.shape
    short = Enrolment(tiny_model, tiny_embedder)
    for i in range(20):
        short.add_samples(steady_sound(1.5, seed=i), f"clip {i}")
    assert short.finish({}).normal.rhythms is None


@pytest.mark.parametrize("shape", [(9, 5), loudness_shape(16)])
def test_rhythms_of_other_stretches_are_not_known(tiny_bundle, tmp_path, shape: tuple[int, int]) -> None:
    old = dataclasses.replace(tiny_bundle.normal, rhythms=np.zeros(shape, np.float16))
    save_bundle(dataclasses.replace(tiny_bundle, normal=old), tmp_path / "old.asd")
    assert load_bundle(tmp_path / "old.asd").normal.rhythms is None

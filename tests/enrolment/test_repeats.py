"""Sound that was enrolled before is told by its sound, whatever its name, and never judged by its own copy."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.bundle.bundle import Bundle, load_bundle, save_bundle
from edge_asd.enrolment.appending import appended, blank_enrolment
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.enrolment.repeats import HeardBefore
from edge_asd.errors import DataError
from edge_asd.frontend import log_mel
from edge_asd.inference import Embedder
from edge_asd.model_package import Model
from edge_asd.spectra import SpectrumBank

CLIPS = 12


@pytest.fixture(scope="module")
def clips(steady_sound) -> list[np.ndarray]:
    return [steady_sound(5.0, seed=200 + i) for i in range(2 * CLIPS)]


def bundle_of(clips: list[np.ndarray], model: Model, embedder: Embedder, **settings) -> Bundle:
    enrolment = Enrolment(model, embedder, **settings)
    for i, clip in enumerate(clips):
        enrolment.add_samples(clip, f"clip {i}")
    return enrolment.finish({})


def test_a_copy_under_another_name_counts_once(tiny_model, tiny_embedder, clips) -> None:
    twice = Enrolment(tiny_model, tiny_embedder)
    for i, clip in enumerate(clips[:CLIPS]):
        twice.add_samples(clip, f"clip {i}")
        twice.add_samples(clip, f"copy of {i}")
    assert twice.repeated == [f"copy of {i}" for i in range(CLIPS)]
    bundle, once = twice.finish({}), bundle_of(clips[:CLIPS], tiny_model, tiny_embedder)
    assert bundle.clip_calibration.to_dict() == once.clip_calibration.to_dict()
    assert any("copy of 0 and 11 more: this sound was enrolled before" in text for text in bundle.enrolment["warnings"])


def test_sound_that_is_appended_again_is_left_out_and_nothing_else(
    tiny_model, tiny_embedder, clips, steady_sound, tmp_path
) -> None:
    save_bundle(bundle_of(clips[:CLIPS], tiny_model, tiny_embedder), tmp_path / "fan.asd")
    bundle = load_bundle(tmp_path / "fan.asd")
    for round_ in range(4):
        new = blank_enrolment(bundle, tiny_embedder, 0.0)
        for i, clip in enumerate(clips):
            new.add_samples(clip, f"clip {i}")
        assert new.repeated == [f"clip {i}" for i in range(CLIPS + 3 * round_)], "also what was appended since"
        again = blank_enrolment(bundle, tiny_embedder, 0.0)
        for i, clip in enumerate(clips[: CLIPS + 3 * (round_ + 1)]):
            again.add_samples(clip, f"clip {i}")
        assert again.seconds == pytest.approx(15.0, abs=0.1)
        bundle = appended(bundle, again)
    assert "clip 0 and" in again.warnings[0]
    new = blank_enrolment(bundle, tiny_embedder, 0.0)
    for clip in clips:
        new.add_samples(clip, "once more")
    assert new.outliers() == ()
    with pytest.raises(DataError, match="all of this sound was enrolled before"):
        appended(bundle, new)
    new.add_samples(steady_sound(5.0, seed=999), "a little more")
    with pytest.raises(DataError, match=r"5\.0 s of new normal sound, at least 10 s"):
        appended(bundle, new)


def test_a_bundle_that_forgot_most_windows_still_knows_its_sound(tiny_model, tiny_embedder, clips) -> None:
    bundle = bundle_of(clips[:CLIPS], tiny_model, tiny_embedder, bank_budget_bytes=5000)
    assert len(bundle.normal) < 0.5 * len(bundle.enrolment_scores.pieces)
    new = blank_enrolment(bundle, tiny_embedder, 0.0)
    for i, clip in enumerate(clips):
        new.add_samples(clip, f"clip {i}")
    assert len(new.repeated) > 0.8 * CLIPS and set(new.repeated) <= {f"clip {i}" for i in range(CLIPS)}


def test_a_recording_with_some_known_sound_is_new(tiny_bundle, steady_sound, clips) -> None:
    spec = tiny_bundle.contract.features
    known = log_mel(clips[0], spec)[:96]
    rows = np.stack([np.r_[part.mean(axis=0), part.std(axis=0)] for part in known.reshape(6, 16, -1)])
    other = log_mel(clips[1], spec)[:96]
    fresh = np.stack([np.r_[part.mean(axis=0), part.std(axis=0)] for part in other.reshape(6, 16, -1)])
    for before in (HeardBefore(SpectrumBank.fit(rows)), HeardBefore()):
        assert before.take(rows) == (before._bank is not None)
        assert not before.take(np.concatenate((rows[:2], fresh)))
        assert before.take(fresh + 1e-3 if before._bank is None else fresh) == (before._bank is not None)


def test_digital_silence_says_nothing() -> None:
    before, silence = HeardBefore(), np.concatenate((np.full((3, 8), -100.0), np.zeros((3, 8))), axis=1)
    assert not before.take(silence) and not before.take(silence)

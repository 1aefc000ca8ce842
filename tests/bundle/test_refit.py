"""Frames kept in a bundle, and the bundle fitted anew from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edge_asd.bundle.bundle import Bundle, load_bundle, save_bundle
from edge_asd.bundle.kept_frames import KeptFrames, Piece
from edge_asd.bundle.refit import for_runtime, refitted
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.errors import DataError, UnavailableError
from edge_asd.inference import Embedder
from edge_asd.model_package import DEFAULT_PACKAGE, Model


@pytest.fixture(scope="module")
def keeping(tiny_model: Model, tiny_embedder: Embedder, steady_sound) -> Bundle:
    enrolment = Enrolment(tiny_model, tiny_embedder, keep_frames=True, clip_percentile=90.0, smoothing_s=3.0)
    for seed in range(4):
        enrolment.add_samples(steady_sound(16.0, seed=seed), f"clip {seed}", group=f"day {seed // 2}")
    return enrolment.finish({"source": "steady sound"})


def test_pieces_come_back_within_half_a_step() -> None:
    rng = np.random.default_rng(0)
    pieces = [Piece(rng.uniform(-90, -10, (n, 8)).astype(np.float32), g, g > 0) for n, g in ((5, -1), (1, 0), (9, 1))]
    kept = KeptFrames.of(pieces)
    assert kept.codes.dtype == np.uint8
    for back, piece in zip(kept.pieces(), pieces, strict=True):
        assert (back.group, back.target) == (piece.group, piece.target)
        assert np.abs(back.frames - piece.frames).max() <= 0.51 * kept.scale_db[1]
    assert kept.scale_db[1] < 80 / 254


def test_one_level_everywhere_is_kept_too() -> None:
    kept = KeptFrames.of([Piece(np.full((3, 4), -50.0, np.float32), -1, False)])
    np.testing.assert_allclose(next(kept.pieces()).frames, -50.0)


@pytest.mark.parametrize(
    "name, value", [("lengths", [3, 0]), ("lengths", [2]), ("groups", [0, 0]), ("scale_db", [1.0])]
)
def test_frames_that_do_not_fit_are_refused(name: str, value: list[float]) -> None:
    arrays = KeptFrames.of([Piece(np.zeros((3, 4), np.float32), -1, False)]).arrays()
    with pytest.raises(DataError, match="do not fit"):
        KeptFrames.from_arrays({**arrays, name: np.array(value)}, 4)


def test_a_bundle_keeps_its_frames_and_its_runtime(keeping: Bundle, tmp_path: Path) -> None:
    save_bundle(keeping, tmp_path / "fan.asd")
    loaded = load_bundle(tmp_path / "fan.asd")
    assert loaded.fitted_by == keeping.fitted_by != ""
    assert loaded.frames is not None and keeping.frames is not None
    for name, array in keeping.frames.arrays().items():
        np.testing.assert_array_equal(loaded.frames.arrays()[name], array)


def test_fitted_anew_by_the_same_network_it_stays_what_it_was(keeping: Bundle, tiny_embedder: Embedder) -> None:
    anew = refitted(keeping, keeping.model, tiny_embedder)
    assert anew.enrolment == keeping.enrolment
    assert len(anew.live_calibrations) == len(keeping.live_calibrations)
    assert anew.clip_calibration.percentile == 90.0
    np.testing.assert_array_equal(anew.enrolment_scores.pieces, keeping.enrolment_scores.pieces)
    np.testing.assert_allclose(anew.enrolment_scores.distances, keeping.enrolment_scores.distances, rtol=0.1, atol=0.02)
    assert anew.clip_calibration.threshold == pytest.approx(keeping.clip_calibration.threshold, rel=0.1)
    assert anew.provenance["refitted_from"] == keeping.fitted_by


def test_another_library_fits_it_anew_and_says_so(keeping: Bundle) -> None:
    notes: list[str] = []
    foreign = dataclasses.replace(keeping, fitted_by="litert 2.3.0")
    anew = for_runtime(foreign, "auto", DEFAULT_PACKAGE, notes.append)
    assert anew.fitted_by == keeping.fitted_by
    assert notes == [f"bank and thresholds, made by litert 2.3.0, are fitted anew by {keeping.fitted_by}"]


def test_without_frames_another_library_is_a_warning(tiny_bundle: Bundle) -> None:
    notes: list[str] = []
    foreign = dataclasses.replace(tiny_bundle, fitted_by="litert 2.3.0")
    assert for_runtime(foreign, "auto", DEFAULT_PACKAGE, notes.append).clip_calibration == foreign.clip_calibration
    assert len(notes) == 1 and notes[0].startswith(
        "warning: the thresholds were fitted by litert 2.3.0 and onnxruntime"
    )


def test_the_same_library_says_nothing(tiny_bundle: Bundle) -> None:
    opened = for_runtime(tiny_bundle, "onnxruntime", DEFAULT_PACKAGE, pytest.fail)
    assert opened.embedder.runtime == tiny_bundle.fitted_by


def test_a_network_of_a_format_not_run_here_needs_frames(tiny_bundle: Bundle) -> None:
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(UnavailableError, match="network is onnx, here runs tflite; enrol here"):
        for_runtime(tiny_bundle, "litert", DEFAULT_PACKAGE, pytest.fail)


def test_another_model_is_refused(keeping: Bundle, tiny_embedder: Embedder) -> None:
    contract = dataclasses.replace(keeping.contract, name="other")
    with pytest.raises(DataError, match="made with tiny 1, the network is other 1"):
        refitted(keeping, dataclasses.replace(keeping.model, contract=contract), tiny_embedder)


def test_no_frames_no_fit(tiny_bundle: Bundle, tiny_embedder: Embedder) -> None:
    with pytest.raises(DataError, match="kept no frames"):
        refitted(tiny_bundle, tiny_bundle.model, tiny_embedder)

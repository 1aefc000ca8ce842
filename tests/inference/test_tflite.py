"""TFLite networks: the twin that ships beside the ONNX one, and what a file that does not fit is told."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from edge_asd.bundle.bundle import load_bundle, save_bundle
from edge_asd.bundle.refit import for_runtime
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.errors import DataError, UnavailableError, UsageError
from edge_asd.inference import Embedder, load_embedder
from edge_asd.inference.tflite import LITERT, TFLITE, TfliteEmbedder
from edge_asd.model_package import DEFAULT_PACKAGE, Model, load_model

LIBRARY = next((known for known in (LITERT, TFLITE) if importlib.util.find_spec(known.module)), None)
pytestmark = pytest.mark.skipif(LIBRARY is None, reason="neither ai-edge-litert nor tflite-runtime is installed")


@pytest.fixture(scope="module")
def twin() -> Model:
    return load_model(formats=("tflite",))


@pytest.fixture(scope="module")
def embedder(twin: Model) -> Embedder:
    assert LIBRARY is not None
    return load_embedder(twin, LIBRARY.name)


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    rng = np.random.default_rng(3)
    return (np.cumsum(rng.normal(0, 2, (32, 1, 128)), axis=2) + rng.normal(-40, 5, (32, 32, 128))).astype(np.float32)


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def test_the_twin_is_small_and_of_the_same_contract(twin: Model) -> None:
    assert twin.network_format == "tflite"
    assert twin.contract == load_model(precision="fp32", formats=("onnx",)).contract
    assert len(twin.network) <= 1_000_000


def test_the_twin_gives_the_embeddings_of_the_float_network(embedder: Embedder, windows: np.ndarray) -> None:
    pytest.importorskip("onnxruntime")
    expected = load_embedder(load_model(precision="fp32", formats=("onnx",))).embed(windows)
    found = cosines(embedder.embed(windows), expected)
    assert found.mean() >= 0.995
    assert found.min() >= 0.98


def test_no_windows_give_no_embeddings(embedder: Embedder) -> None:
    assert embedder.embed(np.empty((0, 32, 128), np.float32)).shape == (0, 128)


def test_each_window_is_embedded_for_itself(embedder: Embedder, windows: np.ndarray) -> None:
    together = embedder.embed(windows[:3])
    np.testing.assert_array_equal(together, np.concatenate([embedder.embed(windows[i : i + 1]) for i in range(3)]))
    assert np.abs(together[0] - together[1]).max() > 0.1


def test_it_says_what_runs_it(embedder: Embedder) -> None:
    assert LIBRARY is not None
    name, version = embedder.runtime.split(" ")
    assert name == LIBRARY.name and version[0].isdigit()


def test_a_bundle_carries_the_network_that_fitted_it(
    twin: Model, embedder: Embedder, steady_sound, tmp_path: Path
) -> None:
    enrolment = Enrolment(twin, embedder, keep_frames=True)
    enrolment.add_samples(steady_sound(64.0), "steady sound")
    bundle = enrolment.finish({})
    save_bundle(bundle, tmp_path / "fan.asd")
    loaded = load_bundle(tmp_path / "fan.asd")
    assert loaded.model == twin
    assert loaded.fitted_by == embedder.runtime
    opened = for_runtime(loaded, "auto", DEFAULT_PACKAGE, pytest.fail)
    assert opened.runtime == embedder.runtime.split(" ")[0]
    frames = next(iter(opened.frames.pieces())).frames if opened.frames else np.empty(0)
    assert opened.score_clip(frames).score < opened.clip_calibration.threshold


def test_a_bundle_of_another_format_is_fitted_anew_from_its_frames(embedder: Embedder, steady_sound) -> None:
    pytest.importorskip("onnxruntime")
    model = load_model(formats=("onnx",))
    enrolment = Enrolment(model, load_embedder(model), keep_frames=True)
    enrolment.add_samples(steady_sound(64.0), "steady sound")
    bundle = enrolment.finish({})
    notes: list[str] = []
    opened = for_runtime(bundle, embedder.runtime.split(" ")[0], DEFAULT_PACKAGE, notes.append)
    assert opened.model.network_format == "tflite"
    assert opened.fitted_by == embedder.runtime
    assert notes == [f"bank and thresholds, made by {bundle.fitted_by}, are fitted anew by {embedder.runtime}"]
    assert opened.clip_calibration.threshold == pytest.approx(bundle.clip_calibration.threshold, rel=0.2)


@pytest.mark.parametrize("network", [b"", b"no flatbuffer at all", b"\x1c\0\0\0TFL3" + bytes(100)])
def test_what_is_no_network_is_refused(twin: Model, network: bytes) -> None:
    assert LIBRARY is not None
    with pytest.raises(DataError, match="cannot be loaded"):
        TfliteEmbedder(network, twin.contract, LIBRARY)


def test_a_contract_of_other_sizes_is_refused(twin: Model) -> None:
    assert LIBRARY is not None
    other = dataclasses.replace(twin.contract, embedding_size=64)
    with pytest.raises(DataError, match=r"output is .*\[batch, 128\], its contract says \[batch, 64\]"):
        TfliteEmbedder(twin.network, other, LIBRARY)


def test_onnx_runtime_is_not_asked_to_run_it(twin: Model) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(UsageError, match="onnxruntime does not run tflite networks"):
        load_embedder(twin, "onnxruntime")


def test_the_old_runtime_refuses_a_numpy_it_would_die_of(twin: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tflite_runtime", reason="the tflite-legacy extra is not installed")
    monkeypatch.setattr(np, "__version__", "2.0.1")
    with pytest.raises(UnavailableError, match=r"tflite-runtime needs numpy below 2, found 2.0.1; pip install"):
        TfliteEmbedder(twin.network, twin.contract, TFLITE)


def test_both_tflite_runtimes_agree(twin: Model, windows: np.ndarray) -> None:
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("tflite_runtime", reason="the tflite-legacy extra is not installed")
    one, other = (TfliteEmbedder(twin.network, twin.contract, known).embed(windows) for known in (LITERT, TFLITE))
    assert cosines(one, other).min() >= 0.999

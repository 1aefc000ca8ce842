"""Conversion to TFLite, where the converter is installed (it is 2.1 GB, and the test extra leaves it out)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export extra is not installed")

from edge_asd.errors import DataError, UnavailableError
from edge_asd.inference import load_embedder
from edge_asd.inference.embedder import normalised
from edge_asd.inference.tflite import TfliteEmbedder
from edge_asd.model_package import Model, load_model
from export.packages.rebuild import rebuilt
from export.tflite import convert
from export.tflite.convert import quantised_tflite, to_tflite


@pytest.fixture(scope="module")
def model() -> Model:
    pytest.importorskip("litert_torch", reason="the tflite-export extra is not installed")
    pytest.importorskip("ai_edge_quantizer", reason="the tflite-export extra is not installed")
    return load_model(precision="fp32")


@pytest.fixture(scope="module")
def converted(model: Model) -> bytes:
    return to_tflite(rebuilt(model), 64, 128)


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    rng = np.random.default_rng(3)
    return (np.cumsum(rng.normal(0, 2, (48, 1, 128)), axis=2) + rng.normal(-40, 5, (48, 64, 128))).astype(np.float32)


def embeddings(network: bytes, model: Model, windows: np.ndarray) -> np.ndarray:
    return TfliteEmbedder(network, model.contract).embed(windows)


def test_the_float_file_equals_torch(model: Model, converted: bytes, windows: np.ndarray) -> None:
    found, expected = embeddings(converted, model, windows), load_embedder(model).embed(windows)
    assert np.abs(found - expected).max() <= 1e-4


def test_int8_with_float_ends_hardly_moves(model: Model, converted: bytes, windows: np.ndarray) -> None:
    calibration = normalised(windows[:32], model.contract)
    network = quantised_tflite(converted, calibration, float_first=2, float_last=2)
    found, expected = embeddings(network, model, windows[32:]), load_embedder(model).embed(windows[32:])
    cosines = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.mean() > 0.995
    assert len(network) < 1_000_000


def test_without_float_ends_the_file_is_integer_at_its_ends(
    model: Model, converted: bytes, windows: np.ndarray
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    network = quantised_tflite(converted, normalised(windows[:8], model.contract))
    interpreter = Interpreter(model_content=network)
    ends = (interpreter.get_input_details(), interpreter.get_output_details())
    assert [end[0]["dtype"] for end in ends] == [np.int8, np.int8]
    assert np.isfinite(embeddings(network, model, windows[:2])).all()


def test_ranges_are_the_widest_of_all_windows() -> None:
    first, second = {"min": np.array([-1.0]), "max": np.array([4.0])}, {"min": np.array([-3.0]), "max": np.array([2.0])}
    assert convert._widest({}, first) is first
    assert convert._widest(first, second) == {"min": np.array([-3.0]), "max": np.array([4.0])}


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_silent_calibration_is_refused(value: float) -> None:
    with pytest.raises(DataError, match="calibration windows are empty, silent"):
        quantised_tflite(b"", np.full((2, 1, 64, 128), value, np.float32))


def test_more_float_layers_than_there_are(model: Model, converted: bytes, windows: np.ndarray) -> None:
    with pytest.raises(DataError, match="more layers are to stay float than the network's 23"):
        quantised_tflite(converted, normalised(windows[:2], model.contract), float_first=24)


def test_a_missing_converter_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "litert_torch", None)
    with pytest.raises(UnavailableError, match=r"pip install 'edge-asd\[tflite-export\]'"):
        to_tflite(None, 64, 128)


def test_a_contract_of_other_shapes_is_refused(model: Model, converted: bytes) -> None:
    other = dataclasses.replace(model.contract, window_frames=32, step_frames=16)
    with pytest.raises(DataError, match=r"input is .*64, 128\], its contract says log_mel \[batch, 1, 32, 128\]"):
        TfliteEmbedder(converted, other)


def test_the_command_makes_the_twin_again(model: Model, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    import argparse
    import shutil

    from edge_asd.cli.parsing import Parser
    from edge_asd.model_package import DEFAULT_PACKAGE
    from export.cli import model as command

    package = shutil.copytree(DEFAULT_PACKAGE, tmp_path / "model")
    parser = Parser()
    parser.add_argument("--out", type=type(tmp_path))
    command.add_flags(parser)
    words = ["--model", str(package), "--format", "tflite", "--precision", "int8", "--out", str(package)]
    args: argparse.Namespace = parser.parse_args(words)
    assert command.run(args) == 0
    assert "19 of 23 layers in integers" in capsys.readouterr().out
    made = load_model(package, formats=("tflite",))
    assert made.provenance["tflite_int8"]["cosine_to_fp32"]["mean"] >= 0.995

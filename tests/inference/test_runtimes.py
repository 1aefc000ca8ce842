"""Which runtime is chosen, and what is said when there is none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edge_asd.cli import main
from edge_asd.errors import UnavailableError, UsageError
from edge_asd.inference import load, load_embedder, runnable_formats, runtimes
from edge_asd.inference.runtimes import CHOICES, RUNTIMES, usable
from edge_asd.model_package import Model


def only(*names: str):
    return lambda runtime: runtime.name in names


def test_auto_takes_what_is_there_in_order() -> None:
    assert [r.name for r in usable("auto", installed=only("tflite", "onnxruntime"))] == ["onnxruntime", "tflite"]
    assert runnable_formats("auto", installed=only("tflite", "onnxruntime")) == ("onnx", "ort", "tflite")
    assert runnable_formats("auto", installed=only("litert", "tflite")) == ("tflite",)
    assert runnable_formats("litert", installed=only("litert", "onnxruntime")) == ("tflite",)


@pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.name)
def test_a_missing_runtime_is_mended_by_its_pip_line(runtime: runtimes.Runtime) -> None:
    with pytest.raises(UnavailableError) as caught:
        usable(runtime.name, installed=only())
    assert caught.value.exit_code == 69
    assert str(caught.value) == f"{runtime.module} is not installed; {runtime.mend}"


def test_no_runtime_at_all_is_told_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError, match="pip install onnxruntime"):
        usable("auto", installed=only())
    monkeypatch.setattr(runtimes.sys, "maxsize", 2**31 - 1)
    with pytest.raises(UnavailableError, match="tflite-legacy"):
        usable("auto", installed=only())


def test_an_unknown_runtime_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="'tensorflow' is none of auto, onnxruntime, litert, tflite"):
        usable("tensorflow")


def test_the_setting_knows_every_runtime() -> None:
    from edge_asd.config.settings import fields_of

    assert fields_of("model")["runtime"].metadata["choices"] == CHOICES


def test_a_runtime_that_does_not_run_the_format_is_a_usage_error(tiny_model: Model) -> None:
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(UsageError, match=r"litert does not run onnx networks.*choose onnxruntime"):
        load_embedder(tiny_model, "litert")


def test_a_network_no_installed_runtime_runs(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "is_installed", only("onnxruntime"))
    foreign = dataclasses.replace(tiny_model, network_format="tflite")
    with pytest.raises(UnavailableError, match=r"needs litert or tflite, not installed here; pip install 'edge-asd\[l"):
        load_embedder(foreign)


def test_the_command_ends_with_69_and_the_pip_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: None)
    assert main(["enroll", "normal.wav", "--out", str(tmp_path / "fan.asd"), "--runtime", "litert"]) == 69
    assert capsys.readouterr().err == "edge-asd: ai_edge_litert is not installed; pip install 'edge-asd[litert]'\n"


def test_an_embedder_says_what_runs_it(tiny_model: Model) -> None:
    import onnxruntime

    assert load_embedder(tiny_model).runtime == f"onnxruntime {onnxruntime.__version__}"

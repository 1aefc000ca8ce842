"""Measuring and choosing: every way the shipped model can be run here, for real but short."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_asd.bench.measure import Candidate, candidates, choose, measure
from edge_asd.cli import main
from edge_asd.config import load_config
from edge_asd.errors import DataError, UnavailableError
from edge_asd.model_package import DEFAULT_PACKAGE
from export.packages.package import write_package
from tests.fakes.graphs import DUO_CONTRACT, duo_model

FIGURES = {"p50_ms", "p95_ms", "p99_ms", "cpu_ms_per_audio_s", "real_time_factor", "rss_mib", "start_up_cpu_ms"}


def row(backend: str, precision: str, cpu: float, rss: float, factor: float = 0.01) -> dict[str, object]:
    return {
        "backend": backend,
        "precision": precision,
        "cpu_ms_per_audio_s": cpu,
        "rss_mib": rss,
        "real_time_factor": factor,
    }


def test_the_least_cpu_time_wins_and_says_by_how_much() -> None:
    choice = choose([row("onnxruntime", "fp32", 2.0, 80), row("onnxruntime", "int8", 1.0, 70)])
    assert (choice["backend"], choice["precision"]) == ("onnxruntime", "int8")
    assert "2.00 times" in choice["reason"]


def test_among_ties_memory_decides_and_failures_do_not_count() -> None:
    rows = [row("onnxruntime", "int8", 1.00, 70), row("litert", "int8", 1.04, 50), {"backend": "tflite", "error": "x"}]
    assert choose(rows)["backend"] == "litert"
    with pytest.raises(DataError, match="nothing could be measured: x"):
        choose(rows[2:])


def test_a_board_without_reserve_is_told() -> None:
    assert "busy 80 % of the time" in choose([row("onnxruntime", "int8", 800.0, 70, 0.8)])["reason"]


def test_only_what_is_installed_and_in_the_package_is_a_candidate() -> None:
    found = candidates(DEFAULT_PACKAGE, "onnxruntime")
    assert found == [Candidate("onnxruntime", "int8"), Candidate("onnxruntime", "fp32")]
    assert candidates(DEFAULT_PACKAGE, "onnxruntime", "int8") == found[:1]


def test_a_package_nothing_here_can_run_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps({"schema": 2, "files": {"tflite": {"int8": {}}}}))
    with pytest.raises(UnavailableError, match="none of its networks"):
        candidates(tmp_path, "onnxruntime")


def test_a_model_of_two_graphs_is_measured_with_both(tmp_path: Path, steady_sound) -> None:
    model = duo_model()
    assert model.scorer is not None
    networks, scorers = {("onnx", "fp32"): model.network}, {("onnx", "fp32"): model.scorer.data}
    write_package(tmp_path, DUO_CONTRACT, networks, {}, scorers)
    (found,) = measure(tmp_path, [Candidate("onnxruntime", "fp32")], steady_sound(12.0), 0.1)
    assert set(found) >= FIGURES and found["model_bytes"] == len(model.network) + len(model.scorer.data)


def test_a_candidate_that_fails_is_a_row_with_its_error(tmp_path: Path, steady_sound) -> None:
    (tmp_path / "model.json").write_text("{")
    (failed,) = measure(tmp_path, [Candidate("onnxruntime", "int8")], steady_sound(12.0), 0.1)
    assert failed["error"].startswith(f"{tmp_path / 'model.json'}: not valid JSON")


def test_the_command_measures_chooses_and_writes_the_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "fan.yaml"
    config.write_text("# the fan\nmodel:\n  bundle: fan.asd  # ours\naudio: {device: mic0}\n")
    words = ["bench", "--runtime", "onnxruntime", "--time", "100ms", "--json", "--write-config", str(config)]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert [(run["backend"], run["precision"]) for run in result["runs"]] == [
        ("onnxruntime", "int8"),
        ("onnxruntime", "fp32"),
    ]
    for run in result["runs"]:
        assert all(run[name] > 0 for name in FIGURES), run
        assert run["p50_ms"] <= run["p95_ms"] <= run["p99_ms"]
        assert set(run["stages"]) == {"feature", "model", "score"}
    model = load_config(config, environment={}).config.model
    assert (model.runtime, model.precision) == (result["choice"]["backend"], result["choice"]["precision"])
    text = config.read_text()
    assert "# the fan" in text and "# ours" in text


def test_sound_too_short_and_a_missing_package_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--model", str(tmp_path / "none")]) == 66
    assert main(["bench", "--runtime", "caffe"]) == 2


def test_a_config_that_is_wrong_is_refused_before_measuring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "fan.yaml"
    config.write_text("modell: {}\n")
    assert main(["bench", "--write-config", str(config)]) == 78
    assert main(["bench", "--write-config", str(tmp_path / "none" / "fan.yaml")]) == 66
    assert "measuring" not in capsys.readouterr().err


def test_a_config_no_line_of_which_can_be_set_is_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "fan.yaml"
    config.write_text("model: {bundle: fan.asd}\n")
    words = ["bench", "--runtime", "onnxruntime", "--precision", "int8", "--time", "100ms"]
    assert main([*words, "--write-config", str(config)]) == 78
    assert f"{config}: model.runtime cannot be set" in capsys.readouterr().err
    assert config.read_text() == "model: {bundle: fan.asd}\n"

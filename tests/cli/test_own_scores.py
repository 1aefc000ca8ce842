"""A density that scores by itself, at 32 kHz and by section, through the main job's commands, from 16-kHz files."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import pytest
import soundfile

from edge_asd.cli import main
from export.packages.package import write_package
from tests.fakes.graphs import FLOW_CONTRACT, scorer_graph

RATE_HZ = 16000


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flow")
    features = dataclasses.replace(FLOW_CONTRACT.features, rate_hz=32000, fmin_hz=50.0, fmax_hz=14000.0)
    contract = dataclasses.replace(FLOW_CONTRACT, features=features, window_frames=64, step_frames=32)
    write_package(folder, contract, {}, {}, {("onnx", "fp32"): scorer_graph(contract)})
    return folder


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory, steady_sound) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for i in range(8):
        soundfile.write(folder / f"normal{i}.wav", steady_sound(4.0, seed=i), RATE_HZ)
        odd = steady_sound(4.0, seed=i, tone_hz=5000.0, tone_amplitude=0.3)
        soundfile.write(folder / f"odd{i}.wav", odd, RATE_HZ)
    return folder


def test_a_package_without_the_precision_says_how_to_take_another(
    package: Path, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["--model", str(package), "--out", str(tmp_path / "fan.asd"), str(sounds / "normal0.wav")]
    assert main(["enroll", *words]) == 2
    assert "no int8 network" in (said := capsys.readouterr().err)
    assert "it holds fp32 (onnx): give --precision fp32" in said
    assert main(["enroll", *words, "--precision", "fp32", "--runtime", "onnxruntime", "--section", "none"]) == 65
    assert "section 'none'" in capsys.readouterr().err


def test_enrolled_run_and_scored(package: Path, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    bundle = str(tmp_path / "fan.asd")
    normal = [str(sounds / f"normal{i}.wav") for i in range(6)]
    enrol = ["enroll", *normal, "--model", str(package), "--precision", "fp32", "--out", bundle]
    assert main(enrol) == 65
    assert "none was chosen; give --section, one of fan/00, fan/01" in capsys.readouterr().err
    assert main([*enrol, "--section", "pump/00"]) == 65
    assert "section 'pump/00' is none that flow was trained on" in capsys.readouterr().err
    assert main([*enrol, "--section", "fan/01", "--step", "0.128"]) == 0
    capsys.readouterr()
    assert main(["score", str(sounds / "normal7.wav"), str(sounds / "odd7.wav"), "--bundle", bundle, "--json"]) >= 0
    usual, odd = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert odd["score"] != usual["score"] and odd["windows"] == usual["windows"]
    assert main(["run", "--bundle", bundle, "--input", str(sounds / "odd7.wav"), "--fast", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    scores = [record for record in records if record.get("type") == "score" or "score" in record]
    assert len(scores) > 10  # a window of a second every 0.128 s


def test_cases_are_measured_by_the_section_of_their_name(
    package: Path, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    rows = [(role, f"{kind}{i}.wav", kind) for role, kind, at in ROLES for i in at]
    cases = tmp_path / "cases.csv"

    def written(name: str) -> list[str]:
        with cases.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["case", "role", "path", "label", "domain", "group"])
            for role, path, kind in rows:
                label = "normal" if kind == "normal" else "anomaly"
                table.writerow([name, role, str(sounds / path), label, "source", ""])
        flags = ["--model", str(package), "--precision", "fp32", "--no-cache", "--jobs", "1", "--json"]
        return ["evaluate", str(cases), *flags]

    assert main(written("fan/00")) == 0
    assert json.loads(capsys.readouterr().out)["cases"][0]["n_anomaly"] == 4
    assert main(written("pump/00")) == 65
    assert "section 'pump/00' is none that flow was trained on" in capsys.readouterr().err


ROLES = (("enrol", "normal", range(4)), ("test", "normal", range(4, 8)), ("test", "odd", range(4)))

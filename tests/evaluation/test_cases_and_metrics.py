"""Metrics against scikit-learn, CASES.csv against every way of getting it wrong, and one small case measured whole."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.metrics import roc_auc_score

from edge_asd.cli import main
from edge_asd.errors import DataError, MissingInputError
from edge_asd.evaluation.cases import COLUMNS, read_cases
from edge_asd.evaluation.metrics import areas, partial_auc, roc_auc
from edge_asd.simulator import Fault, Machine, Scene, render


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 4), (3, 50), (20, 30), (200, 100)])
def test_metrics_equal_scikit_learn(n: int, m: int, ties: bool) -> None:
    rng = np.random.default_rng(n * m)
    normal, anomalous = rng.normal(size=n), rng.normal(size=m) + 0.7
    if ties:
        normal, anomalous = np.round(normal), np.round(anomalous)
    labels, scores = [0] * n + [1] * m, np.concatenate((normal, anomalous))
    assert roc_auc(normal, anomalous) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert partial_auc(normal, anomalous) == pytest.approx(roc_auc_score(labels, scores, max_fpr=0.1), abs=1e-12)
    both = pytest.approx((roc_auc(normal, anomalous), partial_auc(normal, anomalous)), abs=1e-12)
    assert areas(np.asarray(scores), np.asarray(labels, bool)) == both


def test_metrics_know_their_ends() -> None:
    assert roc_auc(np.zeros(3), np.ones(3)) == partial_auc(np.zeros(3), np.ones(3)) == 1.0
    assert roc_auc(np.ones(3), np.zeros(3)) == 0.0
    assert roc_auc(np.ones(3), np.ones(3)) == partial_auc(np.ones(3), np.ones(3)) == 0.5


def _write(path: Path, rows: list[tuple[str, ...]], columns: tuple[str, ...] = COLUMNS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


GOOD = [("fan", "enrol", "a.wav", "normal", "", ""), ("fan", "test", "b.wav", "anomaly", "target", "g")]


@pytest.mark.parametrize(
    ("rows", "columns", "error", "words"),
    [
        (GOOD, COLUMNS[:-1], DataError, "'group' is missing"),
        ([("fan", "train", "a.wav", "normal", "", "")], COLUMNS, DataError, "line 2: role 'train'"),
        ([*GOOD, ("fan", "test", "a.wav", "broken", "", "")], COLUMNS, DataError, "line 4: label 'broken'"),
        ([("fan", "enrol", "a.wav", "anomaly", "", "")], COLUMNS, DataError, "an anomaly among the enrolment"),
        ([("fan", "enrol", "gone.wav", "normal", "", "")], COLUMNS, MissingInputError, "line 2: .*gone.wav"),
        ([("fan", "enrol")], COLUMNS, DataError, "fewer fields"),
        ([*GOOD, GOOD[1]], COLUMNS, DataError, "line 4: .*b.wav is tested on line 3 already"),
        ([*GOOD, ("fan", "test", "./b.wav", "normal", "", "")], COLUMNS, DataError, "labelled otherwise on line 3"),
        (GOOD[:1], COLUMNS, DataError, "no test rows"),
        (GOOD[1:], COLUMNS, DataError, "no enrol rows"),
        ([], COLUMNS, DataError, "no cases"),
    ],
)
def test_bad_case_files_are_named(
    tmp_path: Path, rows: list[tuple[str, ...]], columns: tuple[str, ...], error: type[Exception], words: str
) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(error, match=words):
        read_cases(_write(tmp_path / "cases.csv", rows, columns))


def test_a_case_file_keeps_roles_labels_and_groups(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"")
    other = [("pump", *row[1:]) for row in GOOD]
    case, _ = read_cases(_write(tmp_path / "cases.csv", [*GOOD, *other]))
    assert (case.name, len(case.enrol), len(case.test)) == ("fan", 1, 1)
    assert case.test[0].anomalous
    assert (case.test[0].domain, case.test[0].group) == ("target", "g")


def test_evaluate_measures_a_simulated_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(11)
    pump, scene = Machine.random("pump", rng), Scene.random(rng)
    rows = []
    for i in range(10):
        role, fault = ("enrol", None) if i < 4 else ("test", Fault("cavitation", level_db=6.0) if i % 2 else None)
        soundfile.write(tmp_path / f"{i}.wav", render(pump, scene, 6.0, rng, fault=fault), 16000)
        rows.append(("pump", role, f"{i}.wav", "anomaly" if fault else "normal", "source", ""))
        rows.append(("quiet", role, f"{i}.wav", "normal", "", ""))
    path = _write(tmp_path / "cases.csv", rows)
    assert main(["evaluate", str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    pump_case, quiet_case = document["cases"]
    assert (pump_case["case"], pump_case["n_enrol"], pump_case["n_normal"], pump_case["n_anomaly"]) == ("pump", 4, 3, 3)
    assert pump_case["auc"] == 1.0
    assert quiet_case["auc"] is None and quiet_case["pauc"] is None
    assert 0.0 <= quiet_case["far"] <= 1.0
    assert document["mean"]["auc"] == pump_case["auc"]


def test_log_mel_dumps_are_clips_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(5)
    rows = []
    for i in range(8):
        frames = rng.normal(-40.0, 3.0, (120, 128)).astype(np.float32)
        if i >= 6:
            frames[:, 60:80] += 25.0
        np.save(tmp_path / f"{i}.npy", frames)
        rows.append(("dump", "enrol" if i < 4 else "test", f"{i}.npy", "anomaly" if i >= 6 else "normal", "", ""))
    assert main(["evaluate", str(_write(tmp_path / "cases.csv", rows)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cases"][0]["auc"] == 1.0

"""`edge-asd evaluate` whole: datasets, bundles, the cache, any number of processes, and bad input."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from sklearn.metrics import roc_auc_score

from edge_asd.cli import main
from edge_asd.cli.evaluate_watcher import Watcher
from edge_asd.evaluation.cases import COLUMNS
from edge_asd.evaluation.figures import Outcome

RATE_HZ = 16000


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "edge-asd" / "features"


def measured(capsys, *words: object, code: int = 0) -> tuple[dict[str, Any], str]:
    """The document and stderr of `evaluate WORDS --json`, which must end with `code`."""
    assert main(["evaluate", *map(str, words), "--json", "--jobs", "1"]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def write_cases(folder: Path, fan_sound, name: str = "fan", onset_s: str | None = None) -> Path:
    """A CASES.csv of a fan: six clips enrolled, three normal and three anomalous tested."""
    rows = []
    for label, n in (("normal", 9), ("anomaly", 3)):
        for i in range(n):
            path = folder / f"{label}{i}.wav"
            soundfile.write(path, fan_sound["source", label][i], RATE_HZ)
            role = "enrol" if label == "normal" and i < 6 else "test"
            rows.append([name, role, path.name, label, "", ""])
    columns = list(COLUMNS)
    if onset_s is not None:
        columns.append("onset_s")
        rows = [[*row, onset_s if row[3] == "anomaly" else ""] for row in rows]
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return folder / "cases.csv"


def sklearn_official(year: int, outcomes: list[Outcome]) -> float:
    """The year's score, worked out by scikit-learn from the scores of every section."""
    figures = []
    for outcome in outcomes:
        labels, scores, domains = outcome.anomalous, outcome.scores, outcome.domains
        if year == 2020:
            figures += [roc_auc_score(labels, scores), roc_auc_score(labels, scores, max_fpr=0.1)]
            continue
        for domain in ("source", "target"):
            chosen = domains == domain if year == 2021 else (domains == domain) | labels
            figures.append(roc_auc_score(labels[chosen], scores[chosen]))
            if year == 2021:
                figures.append(roc_auc_score(labels[chosen], scores[chosen], max_fpr=0.1))
        if year > 2021:
            figures.append(roc_auc_score(labels, scores, max_fpr=0.1))
    return float(np.mean(figures)) if year == 2020 else len(figures) / sum(1.0 / figure for figure in figures)


@pytest.mark.parametrize("year", [2020, 2021, 2023])
def test_a_dataset_gets_its_official_score(make_dataset, tmp_path: Path, capsys, monkeypatch, year: int) -> None:
    root = make_dataset(tmp_path / "data", year)
    outcomes: list[Outcome] = []
    monkeypatch.setattr(Watcher, "_case_scored", lambda self, case, outcome, bundle: outcomes.append(outcome))
    document, said = measured(capsys, root)
    (dataset,) = document["datasets"]
    assert f"DCASE {year}, by" in said
    assert (dataset["year"], dataset["name"]) == (year, f"DCASE {year}")
    assert dataset["official"] == pytest.approx(sklearn_official(year, outcomes))
    low, high = dataset["official_ci"]
    assert low <= dataset["official"] <= high
    assert list(dataset["machines"]) == ["fan", "pump"]
    assert dataset["machines"]["fan"]["n_sections"] == (2 if year == 2021 else 1)
    fan = document["cases"][0]
    assert (fan["case"], fan["machine"], fan["section"]) == ("fan_00", "fan", "00")
    assert set(fan["domains"]) == (set() if year == 2020 else {"source", "target"})
    assert set(dataset["machines"]["fan"]["domains"]) == set(fan["domains"])
    assert document["mean"]["auc"] == pytest.approx(np.mean([case["auc"] for case in document["cases"]]))


def test_the_year_can_be_overruled_and_is_stated(make_dataset, tmp_path: Path, capsys) -> None:
    root = make_dataset(tmp_path / "data", 2023)
    document, said = measured(capsys, root, "--year", "2025")
    assert document["datasets"][0]["year"] == 2025 and "DCASE 2025, as given" in said


def test_tables_name_machines_and_domains(make_dataset, tmp_path: Path, capsys) -> None:
    assert main(["evaluate", str(make_dataset(tmp_path / "data", 2022)), "--jobs", "1"]) == 0
    table = capsys.readouterr().out
    assert re.search(r"^fan_01 .* 5 +4 +4 +0$", table, re.MULTILINE)
    assert re.search(r"DCASE 2022, .*: official score \d\.\d+ \(95 %", table)
    assert re.search(r"^pump  ", table, re.MULTILINE) and re.search(r"^ +target  ", table, re.MULTILINE)


def test_stereo_is_heard_near_the_machine_or_where_told(make_dataset, tmp_path: Path, capsys) -> None:
    root = make_dataset(tmp_path / "data", 2026)
    near, said = measured(capsys, root)
    assert "listening to channel 0" in said and said.count("listening to channel") == 1
    again, _ = measured(capsys, root, "--channel", "0")
    far, _ = measured(capsys, root, "--channel", "1")
    assert near["cases"] == again["cases"]
    assert far["settings"]["channel"] == 1
    assert far["mean"]["auc"] < 0.9 < near["mean"]["auc"]


def test_one_clip_changed_is_all_that_is_computed_again(fan_sound, tmp_path: Path, capsys, own_cache: Path) -> None:
    cases = write_cases(tmp_path, fan_sound)
    first, said = measured(capsys, cases)
    assert "came from the cache" not in said and own_cache.is_dir()
    second, said = measured(capsys, cases)
    assert "12 of 12 clips came from the cache" in said and second == first
    uncached, said = measured(capsys, cases, "--no-cache")
    assert "came from the cache" not in said and uncached == first
    soundfile.write(tmp_path / "anomaly1.wav", fan_sound["source", "normal"][0], RATE_HZ)  # as enrolled
    third, said = measured(capsys, cases)
    assert "11 of 12 clips came from the cache" in said and third["cases"][0]["auc"] < 1.0
    shutil.move(tmp_path / "normal7.wav", tmp_path / "moved.wav")
    cases.write_text(cases.read_text().replace("normal7.wav", "moved.wav"))
    assert "12 of 12 clips came from the cache" in measured(capsys, cases)[1]
    # Another window step, another scorer: other features.
    assert "came from the cache" not in measured(capsys, cases, "--step", "0.5")[1]
    assert "came from the cache" not in measured(capsys, cases, "--scorer", "ranked:knn")[1]
    assert "came from the cache" not in measured(capsys, cases, "--precision", "fp32")[1]


def test_a_default_cache_of_no_use_is_told_once_and_done_without(fan_sound, tmp_path: Path, capsys) -> None:
    cases = write_cases(tmp_path, fan_sound)
    (tmp_path / "xdg").write_bytes(b"")
    first, said = measured(capsys, cases)
    assert said.count("nothing is kept for the next time: ") == 1 and "Not a directory" in said
    second, said = measured(capsys, cases)
    assert second == first and "came from the cache" not in said


def test_a_damaged_cache_is_mended_by_the_way(fan_sound, tmp_path: Path, capsys, own_cache: Path) -> None:
    cases = write_cases(tmp_path, fan_sound)
    first, _ = measured(capsys, cases)
    for entry in own_cache.rglob("*.npz"):
        entry.write_bytes(entry.read_bytes()[:-40])
    again, said = measured(capsys, cases)
    assert again == first and "came from the cache" not in said
    assert "12 of 12 clips came" in measured(capsys, cases)[1]


def test_any_number_of_processes_gives_the_same_figures(make_dataset, tmp_path: Path, capsys) -> None:
    root = make_dataset(tmp_path / "data", 2023)
    alone, _ = measured(capsys, root, "--no-cache")
    assert main(["evaluate", str(root), "--json", "--no-cache", "--jobs", "2"]) == 0
    assert json.loads(capsys.readouterr().out) == alone


def test_an_interrupted_run_goes_on_where_it_was(fan_sound, tmp_path: Path, own_cache: Path) -> None:
    """A real Ctrl-C, to the whole group of processes as a terminal sends it."""
    rows = []
    for i in range(64):
        label = "anomaly" if i % 2 and i > 20 else "normal"
        path = tmp_path / f"{i:03d}.wav"
        soundfile.write(path, fan_sound["source", label][np.arange(i, i + 6) % 16].ravel() / (1 + i), RATE_HZ)
        rows.append(["fan", "enrol" if i <= 20 else "test", path.name, label, "", ""])
    with (tmp_path / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    command = [sys.executable, "-m", "edge_asd", "evaluate", str(tmp_path / "cases.csv"), "--jobs", "2", "--json"]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what runs in the background deaf to Ctrl-C, these tests perhaps included.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stderr is not None
        said = process.stderr.readline()  # the first quarter is done
        os.killpg(process.pid, signal.SIGINT)
        said += process.stderr.read()
    assert process.returncode == 130, said
    assert "interrupted" in said and "Traceback" not in said
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"(\d+) of 64 clips came from the cache", done.stderr)
    assert found is not None and 15 <= int(found[1]) < 64, said + done.stderr
    assert json.loads(done.stdout)["cases"][0]["n_anomaly"] == 22


def test_a_bad_test_clip_is_named_counted_and_left_out(fan_sound, tmp_path: Path, capsys) -> None:
    cases = write_cases(tmp_path, fan_sound)
    (tmp_path / "normal7.wav").write_bytes(b"RIFF but no sound")
    (tmp_path / "anomaly0.wav").write_bytes((tmp_path / "anomaly0.wav").read_bytes()[:5000])
    document, said = measured(capsys, cases, code=65)
    (case,) = document["cases"]
    assert (case["n_enrol"], case["n_normal"], case["n_anomaly"], case["n_failed"]) == (6, 2, 2, 2)
    assert case["auc"] == 1.0
    assert [(Path(item["path"]).name, item["role"]) for item in document["failed"]] == [
        ("normal7.wav", "test"),
        ("anomaly0.wav", "test"),
    ]
    assert "normal7.wav" in said and "truncated" in said and "2 clips could not be used" in said
    assert "Traceback" not in said


def test_a_case_nobody_can_enrol_is_there_without_figures(fan_sound, tmp_path: Path, capsys) -> None:
    cases = write_cases(tmp_path, fan_sound)
    for i in range(6):
        (tmp_path / f"normal{i}.wav").write_bytes(b"")
    document, said = measured(capsys, cases, code=65)
    (case,) = document["cases"]
    assert case["auc"] is None and case["threshold"] is None and case["n_enrol"] == 0 and case["n_failed"] == 6
    assert "not measured: no clip could be enrolled" in said
    assert document["mean"] == {"auc": None, "pauc": None, "far": None}


def test_clips_on_both_sides_are_called_out(fan_sound, tmp_path: Path, capsys) -> None:
    cases = write_cases(tmp_path, fan_sound)
    with cases.open("a") as file:
        file.write("fan,test,normal0.wav,normal,,\nshared,enrol,normal0.wav,normal,,monday\n")
        file.write("shared,enrol,normal1.wav,normal,,monday\nshared,test,normal2.wav,normal,,monday\n")
    said = measured(capsys, cases)[1]
    assert "fan: 1 test clips are enrolled as well" in said
    assert "shared: 1 test clips share a group with enrolled ones" in said


@pytest.fixture
def bundles(fan_sound, tmp_path: Path, capsys) -> Path:
    """A directory with `fan_00.asd`, enrolled on the clips a 2020 dataset trains with."""
    folder = tmp_path / "bundles"
    (tmp_path / "normal").mkdir()
    folder.mkdir()
    for i in range(9):
        soundfile.write(tmp_path / "normal" / f"{i}.wav", fan_sound["source", "normal"][i], RATE_HZ)
    assert main(["enroll", str(tmp_path / "normal"), "--out", str(folder / "fan_00.asd")]) == 0
    capsys.readouterr()
    return folder


def test_one_bundle_scores_the_test_rows_only(fan_sound, tmp_path: Path, capsys, bundles: Path) -> None:
    cases = write_cases(tmp_path, fan_sound)
    lines = cases.read_text().splitlines()
    cases.write_text("\n".join(line for line in lines if ",enrol," not in line))  # needs none
    document, _ = measured(capsys, cases, "--bundle", bundles / "fan_00.asd")
    (case,) = document["cases"]
    assert (case["n_enrol"], case["n_normal"], case["n_anomaly"]) == (0, 3, 3)
    assert case["bundle"].endswith("fan_00.asd") and case["auc"] == 1.0
    assert document["settings"]["bundle"].endswith("fan_00.asd")


def test_a_directory_of_bundles_holds_one_a_section(make_dataset, tmp_path: Path, capsys, bundles: Path) -> None:
    root = make_dataset(tmp_path / "data", 2023)
    assert main(["evaluate", str(root), "--bundle", str(bundles)]) == 66
    said = capsys.readouterr().err
    assert "no bundle for pump_00; it is looked for as pump_00.asd" in said
    shutil.copy(bundles / "fan_00.asd", bundles / "pump_section_00.asd")
    document, _ = measured(capsys, root, "--bundle", bundles)
    assert [Path(case["bundle"]).name for case in document["cases"]] == ["fan_00.asd", "pump_section_00.asd"]
    assert [case["n_enrol"] for case in document["cases"]] == [0, 0]
    (bundles / "pump_section_00.asd").write_bytes(b"no bundle")
    assert main(["evaluate", str(root), "--bundle", str(bundles)]) == 65
    assert "pump_section_00.asd: damaged or not a bundle" in capsys.readouterr().err


def test_onsets_count_from_where_they_are(fan_sound, tmp_path: Path, capsys) -> None:
    """The first window ends 1.0 s after the clip's start, 0.5 s after an onset at 0.5 s, the last before one at 5 s."""
    for onset_s, expected in (("", 1.02), ("0.5", 0.52), ("5", None)):
        cases = write_cases(tmp_path, fan_sound, onset_s=onset_s)
        (case,) = measured(capsys, cases)[0]["cases"]
        assert case["found"] == (1.0 if expected else 0.0)
        assert case["time_to_detection_s"] == (pytest.approx(expected, abs=0.05) if expected else None)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["gone.csv"], 66, "gone.csv: no such file"),
        (["empty/"], 66, "no clip in this directory"),
        (["cases.csv", "cases.csv"], 65, "case 'fan' stands in two files"),
        (["cases.csv", "--year", "2020"], 2, "--year is for datasets"),
        (["empty/", "--year", "1999"], 2, "1999"),
        (["cases.csv", "--scorer", "embeding:knn"], 2, "did you mean 'embedding'"),
        (["cases.csv", "--jobs", "0"], 2, "give 1 or more"),
        (["cases.csv", "--cache", "a", "--no-cache"], 2, "choose one of them"),
        (["cases.csv", "--cache", "cases.csv"], 74, "name another directory, or give --no-cache"),
        (["cases.csv", "--bundle", "fan.asd", "--scorer", "ranked:knn"], 2, "a bundle carries its own"),
        (["cases.csv", "--bundle", "fan.asd", "--smoothing", "3"], 2, "--bundle and --smoothing were both given"),
        (["cases.csv", "--bundle", "gone.asd"], 66, "gone.asd: no such bundle"),
        (["cases.csv", "--report", "cases.csv"], 2, "give --report a directory"),
        (["cases.csv", "--model", "empty"], 66, "no model package there"),
        (["wrong_role.csv"], 65, "wrong_role.csv, line 2: role 'train'"),
        (["no_clip.csv"], 66, "gone.wav does not exist"),
        (["anomaly.csv"], 65, "an anomaly among the enrolment"),
        (["onset.csv"], 65, "onset_s '-3'"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_computed(
    fan_sound, tmp_path: Path, monkeypatch, capsys, own_cache: Path, words: list[str], code: int, said: str
) -> None:
    write_cases(tmp_path, fan_sound)
    (tmp_path / "empty").mkdir()
    head = ",".join(COLUMNS)
    (tmp_path / "wrong_role.csv").write_text(f"{head}\nfan,train,normal0.wav,normal,,\n")
    (tmp_path / "no_clip.csv").write_text(f"{head}\nfan,enrol,gone.wav,normal,,\n")
    (tmp_path / "anomaly.csv").write_text(f"{head}\nfan,enrol,anomaly0.wav,anomaly,,\n")
    (tmp_path / "onset.csv").write_text(f"{head},onset_s\nfan,test,anomaly0.wav,anomaly,,,-3\n")
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *words]) == code
    captured = capsys.readouterr()
    assert captured.out == "" and said in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not own_cache.exists()

"""The faults that benchmarks mix into real clips, and what is made of them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import mixed_faults
from benchmarks.mixed_faults import added_sound, with_faults
from edge_asd.contract import LogMelSpec
from edge_asd.evaluation.cases import read_cases

RATE_HZ = 16000


@pytest.fixture(scope="module")
def cases_csv(tmp_path_factory, steady_sound) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    rows = []
    for i, part in enumerate(np.split(steady_sound(60.0), 15)):
        soundfile.write(folder / f"{i}.wav", part, RATE_HZ)
        rows.append(["hum", "enrol" if i < 12 else "test", f"{i}.wav", "normal", "", ""])
    with (folder / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["case", "role", "path", "label", "domain", "group"], *rows])
    return folder / "cases.csv"


def test_the_seed_decides_which_fault_is_added() -> None:
    first, second, third = (added_sound(2 * RATE_HZ, RATE_HZ, np.random.default_rng(i)) for i in (0, 0, 1))
    assert first.shape == (2 * RATE_HZ,) and first.std() > 0.0
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


def test_every_clip_is_heard_with_the_same_faults_at_every_level(cases_csv, monkeypatch) -> None:
    monkeypatch.setattr(mixed_faults, "CLIPS", 6)
    heard = with_faults(read_cases(cases_csv)[0], LogMelSpec())
    assert len(heard.normal) == 3 and [len(clips) for clips in heard.faulty] == [6, 6, 6]
    further = [[np.abs(clip - heard.normal[i // 2]).mean() for i, clip in enumerate(clips)] for clips in heard.faulty]
    assert np.all(np.diff(further, axis=0) < 0.0)  # each fault changes less where it is quieter


def test_louder_faults_are_told_apart_better(cases_csv, capsys, monkeypatch) -> None:
    monkeypatch.setattr(mixed_faults, "CLIPS", 6)
    monkeypatch.setattr(mixed_faults, "LEVELS_DB", (-5.0, -40.0))
    monkeypatch.setattr("sys.argv", ["mixed_faults", str(cases_csv), "--scorer", "embedding:knn"])
    assert mixed_faults.main() == 0
    row = capsys.readouterr().out.splitlines()[-1].split("|")
    assert row[1].strip() == "shipped, embedding:knn"
    mean, loud, quiet, hum = (float(cell.strip(" *")) for cell in row[2:6])
    assert 1.0 >= loud > quiet and loud > 0.8
    assert mean == pytest.approx((loud + quiet) / 2, abs=0.002) and hum == pytest.approx(mean, abs=0.002)

"""`edge-asd enroll --append` and `--undo`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_asd.bundle.bundle import Bundle, load_bundle, save_bundle
from edge_asd.cli import main, sources
from tests.cli.test_enrolling import RATE_HZ, Listened

LOAD = {"tone_hz": 1500.0, "tone_amplitude": 0.03}


@pytest.fixture
def fan(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    save_bundle(tiny_bundle, tmp_path / "fan.asd")
    return tmp_path / "fan.asd"


def test_clips_are_added_and_taken_back(fan: Path, tmp_path: Path, steady_sound, capsys) -> None:
    before = fan.read_bytes()
    (tmp_path / "new").mkdir()
    for i in range(3):
        soundfile.write(tmp_path / f"new/{i}.wav", steady_sound(10.0, seed=20 + i, **LOAD), RATE_HZ)
    assert main(["enroll", "--append", str(fan), "--domain", "target", str(tmp_path / "new"), "--json"]) == 0
    said = capsys.readouterr()
    entry = json.loads(said.out)
    assert entry["bundle"] == str(fan) and entry["domain"] == "target" and entry["source"] == "3 clips"
    assert entry["above_before"] == 3 and "be sure that the machine was well" in said.err
    grown = load_bundle(fan)
    assert grown.enrolment["seconds"] == pytest.approx(94.0, abs=0.1)
    assert main(["enroll", "--undo", str(fan)]) == 0
    assert fan.read_bytes() == before
    assert "as before" in capsys.readouterr().out
    assert main(["enroll", "--undo", str(fan)]) == 66
    assert "nothing to take back" in capsys.readouterr().err


def test_a_minute_is_heard_from_the_microphone(fan: Path, steady_sound, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sources, "open_microphone", lambda *a, **k: Listened(steady_sound(80.0, seed=5, **LOAD)))
    assert main(["enroll", "--append", str(fan), "--device", "mic0"]) == 0
    entry = load_bundle(fan).enrolment["appended"][0]
    assert entry["seconds"] == pytest.approx(60.0, abs=0.1) and entry["source"] == "device prepared"
    assert "60 s of normal sound added (target)" in capsys.readouterr().out


def test_what_is_still_allowed_for_other_days_is_told(fan: Path, tmp_path: Path, steady_sound, capsys) -> None:
    soundfile.write(tmp_path / "alike.wav", steady_sound(20.0, seed=9), RATE_HZ, subtype="FLOAT")
    assert main(["enroll", "--append", str(fan), str(tmp_path / "alike.wav")]) == 0
    assert "2 sessions: other days will differ by more than was heard" in capsys.readouterr().err


def test_a_failed_append_changes_nothing(fan: Path, tmp_path: Path) -> None:
    before = fan.read_bytes()
    soundfile.write(tmp_path / "bad.wav", np.zeros(20 * RATE_HZ, np.float32), RATE_HZ)
    assert main(["enroll", "--append", str(fan), str(tmp_path / "bad.wav")]) == 65
    assert fan.read_bytes() == before and not fan.with_name("fan.asd.previous").exists()


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--scorer", "ranked:gmm"], "--scorer was settled"),
        (["--bank-budget", "64KiB"], "--bank-budget was settled"),
        (["--out", "other.asd"], "writes to the bundle"),
        (["--undo", "other.asd"], "nothing else"),
    ],
)
def test_what_a_bundle_has_settled_cannot_be_set(fan: Path, flags: list[str], words: str, capsys) -> None:
    assert main(["enroll", "--append", str(fan), "clip.wav", *flags]) == 2
    assert words in capsys.readouterr().err


def test_a_bundle_that_is_not_there_and_none_at_all(tmp_path: Path, capsys) -> None:
    assert main(["enroll", "--append", str(tmp_path / "fan.asd"), "clip.wav"]) == 66
    assert main(["enroll", "clip.wav"]) == 2
    assert "--append" in capsys.readouterr().err


def test_a_domain_without_an_append_is_refused(tmp_path: Path, capsys) -> None:
    assert main(["enroll", "clip.wav", "--out", str(tmp_path / "x.asd"), "--domain", "target"]) == 2
    assert "--append" in capsys.readouterr().err


def test_a_run_that_adapts_says_so_and_scores_as_before(fan: Path, tmp_path: Path, steady_sound, capsys) -> None:
    soundfile.write(tmp_path / "now.wav", steady_sound(8.0, seed=3), RATE_HZ)
    run = ["run", "--bundle", str(fan), "--input", str(tmp_path / "now.wav"), "--fast", "--json"]
    assert main(run) == 0
    plain = capsys.readouterr()
    (tmp_path / "adapt.yaml").write_text("detector: {adapt: true}\n")
    assert main([*run, "--config", str(tmp_path / "adapt.yaml")]) == 0
    adapting = capsys.readouterr()
    assert "adapts slowly; 0 windows" in adapting.err and "adapts" not in plain.err

    def scores(out: str) -> list[float]:
        return [record["score"] for record in map(json.loads, out.splitlines()) if record["type"] == "score"]

    assert scores(adapting.out) == scores(plain.out) != []

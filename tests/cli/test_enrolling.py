"""`edge-asd enroll` where some of the sound cannot be used."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_asd.audio.block import AudioBlock
from edge_asd.bundle.bundle import load_bundle
from edge_asd.cli import main, sources
from edge_asd.scorers import DEFAULT_SCORERS
from edge_asd.scorers.registry import MEASURES
from edge_asd.scorers.views import VIEWS

RATE_HZ = 16000


class Listened:
    """A microphone that hears prepared sound in 0.25-s blocks."""

    name, note, stable_name, rate_hz, heard_hz = "prepared", "", "card:Prepared", RATE_HZ, RATE_HZ

    def __init__(self, samples: np.ndarray) -> None:
        self._samples = samples

    def blocks(self) -> Iterator[AudioBlock]:
        for start in range(0, self._samples.size, RATE_HZ // 4):
            yield AudioBlock(self._samples[start : start + RATE_HZ // 4], start, start / RATE_HZ)

    def close(self) -> None:
        pass


def enrol_from(samples: np.ndarray, out: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sources, "open_microphone", lambda *args, **kwargs: Listened(samples))
    return main(["enroll", "--device", "mic0", "--duration", "40s", "--out", str(out)])


def test_a_slammed_door_costs_its_stretch_and_is_made_up_for(steady_sound, tmp_path, monkeypatch, capsys) -> None:
    samples = steady_sound(70.0)
    samples[12 * RATE_HZ : 13 * RATE_HZ] = 1.0
    assert enrol_from(samples, tmp_path / "fan.asd", monkeypatch) == 0
    assert load_bundle(tmp_path / "fan.asd").enrolment["seconds"] == pytest.approx(40.0, abs=0.1)
    assert load_bundle(tmp_path / "fan.asd").provenance["microphone"] == "card:Prepared"
    said = capsys.readouterr().err
    assert "clipped" in said and "10 s left out" in said


def test_sound_that_stays_bad_ends_the_enrolment(tmp_path, monkeypatch, capsys) -> None:
    assert enrol_from(np.ones(RATE_HZ * 100, np.float32), tmp_path / "fan.asd", monkeypatch) == 65
    assert not (tmp_path / "fan.asd").exists()
    assert "check the microphone" in capsys.readouterr().err


def test_a_source_that_ends_early_ends_the_enrolment_too(steady_sound, tmp_path, monkeypatch) -> None:
    samples = steady_sound(25.0)
    samples[:RATE_HZ] = 1.0
    assert enrol_from(samples, tmp_path / "fan.asd", monkeypatch) == 0
    assert load_bundle(tmp_path / "fan.asd").enrolment["seconds"] == pytest.approx(15.0, abs=0.1)


def test_every_bad_clip_of_a_directory_is_named(steady_sound, tmp_path, capsys) -> None:
    for i in range(4):
        sound = steady_sound(6.0, seed=i)
        soundfile.write(tmp_path / f"{i}.wav", np.ones_like(sound) if i in (1, 3) else sound, RATE_HZ)
    assert main(["enroll", str(tmp_path), "--out", str(tmp_path / "fan.asd")]) == 65
    said = capsys.readouterr().err
    assert "1.wav" in said and "3.wav" in said and "2 of 4 clips cannot be enrolled" in said
    assert not (tmp_path / "fan.asd").exists()


def test_a_clip_named_twice_counts_once_and_a_chosen_channel_is_said_once(steady_sound, tmp_path, capsys) -> None:
    for i in range(3):
        stereo = np.stack((steady_sound(8.0, seed=i), steady_sound(8.0, seed=9)), axis=1)
        soundfile.write(tmp_path / f"{i}.wav", stereo, RATE_HZ)
    out = tmp_path / "fan.asd"
    assert main(["enroll", str(tmp_path), str(tmp_path / "1.wav"), "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert "1 clips were named twice" in said
    assert said.count("listening to channel 0") == 1
    assert load_bundle(out).enrolment["seconds"] == pytest.approx(24.0, abs=0.1)


def test_a_budget_for_the_bank_is_kept_and_its_cost_is_said(steady_sound, tmp_path, capsys) -> None:
    soundfile.write(tmp_path / "a.wav", steady_sound(90.0), RATE_HZ)
    arguments = ["enroll", str(tmp_path / "a.wav"), "--bank-budget", "16KiB", "--bank-method", "k-means"]
    assert main([*arguments, "--out", str(tmp_path / "a.asd")]) == 0
    said = capsys.readouterr().out
    bundle = load_bundle(tmp_path / "a.asd")
    bank = bundle.enrolment["bank"]
    assert bank["method"] == "k-means" and bank["bytes"] <= 16_384
    assert f"({bank['windows']} kept in {bank['bytes'] / 1024:.1f} KiB: normal sound is +" in said
    assert bundle.normal.tags.enrolled_s.min() > 1_700_000_000
    assert main([*arguments, "--out", str(tmp_path / "b.asd"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bank"] == bank


@pytest.mark.parametrize(("size", "code", "words"), [("64", 65, "one window takes 521"), ("64 K", 2, "is no size")])
def test_a_budget_that_holds_nothing_is_refused(
    steady_sound, tmp_path, capsys, size: str, code: int, words: str
) -> None:
    soundfile.write(tmp_path / "a.wav", steady_sound(12.0), RATE_HZ)
    assert main(["enroll", str(tmp_path / "a.wav"), "--bank-budget", size, "--out", str(tmp_path / "a.asd")]) == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "a.asd").exists()


def test_a_budget_that_holds_nothing_is_refused_before_anything_is_heard(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sources, "open_microphone", lambda *args, **kwargs: pytest.fail("it listens"))
    words = ["--device", "mic0", "--bank-budget", "1", "--out", str(tmp_path / "a.asd")]
    assert main(["enroll", *words]) == 65
    assert "bank budget of 1 bytes: one window takes" in capsys.readouterr().err


def test_statistics_alone_are_enrolled_scored_and_watched_without_a_network(steady_sound, tmp_path, capsys) -> None:
    soundfile.write(tmp_path / "normal.wav", steady_sound(61.0), RATE_HZ)
    soundfile.write(tmp_path / "faulty.wav", steady_sound(12.0, seed=1, tone_hz=3000.0), RATE_HZ)
    out = tmp_path / "fan.asd"
    started = sys.modules.pop("onnxruntime", None)
    try:
        assert main(["enroll", str(tmp_path / "normal.wav"), "--out", str(out), "--scorer", "ranked:gmm,k=1"]) == 0
        assert str(load_bundle(out).normal.specs[0]) == "ranked:gmm,k=1"
        capsys.readouterr()
        assert main(["score", "--bundle", str(out), str(tmp_path / "faulty.wav"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[0])["anomalous"]
        run = ["run", "--bundle", str(out), "--input", str(tmp_path / "faulty.wav"), "--fast", "--json"]
        assert main(run) == 0
        assert '"alarm"' in capsys.readouterr().out
        assert "onnxruntime" not in sys.modules
    finally:
        if started is not None:
            sys.modules["onnxruntime"] = started


def test_an_unknown_scorer_is_a_usage_error_and_every_known_one_is_in_the_help(tmp_path, capsys) -> None:
    assert main(["enroll", "x.wav", "--out", str(tmp_path / "fan.asd"), "--scorer", "spectrum:kmn"]) == 2
    assert "did you mean 'knn'?" in capsys.readouterr().err
    assert main(["enroll", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    listed = said[said.index("--scorer SPECS") :]
    assert f"measures: {', '.join(MEASURES)};" in listed
    assert all(view in listed for view in VIEWS)
    assert DEFAULT_SCORERS in listed.replace(" ", "")

"""What `edge-asd enroll` says about the sound it was given: outliers, enough of it, what the threshold promises."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_asd.bundle.bundle import load_bundle
from edge_asd.cli import main, progress

RATE_HZ = 16000


class Terminal(io.StringIO):
    """Somebody is there."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clip(steady_sound, tmp_path: Path) -> Path:
    """Three minutes of steady sound; somebody speaks at 1:40."""
    samples = steady_sound(180.0)
    samples[100 * RATE_HZ : 102 * RATE_HZ] += steady_sound(2.0, seed=9, tone_hz=900.0, tone_amplitude=0.3)
    path = tmp_path / "fan.wav"
    soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
    return path


def enrolled(clip: Path, *flags: str) -> dict:
    out = clip.with_suffix(".asd")
    assert main(["enroll", str(clip), "--out", str(out), "--force", "--json", *flags]) == 0
    return load_bundle(out).enrolment


def test_an_outlier_is_named_with_its_time_and_kept_where_nobody_can_be_asked(clip, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    heard = enrolled(clip)
    said = capsys.readouterr().err
    assert "fan.wav from 1:3" in said or "fan.wav from 1:40" in said
    assert "kept as normal sound" in said and "[y/N]" not in said
    assert heard["dropped"] == [] and heard["seconds"] == 180.0


def test_it_is_left_out_when_asked_to(clip, capsys) -> None:
    heard = enrolled(clip, "--drop-outliers")
    assert "left out; 17" in capsys.readouterr().err
    (dropped,) = heard["dropped"]
    assert 97.0 <= dropped["start_s"] <= 101.0 and 101.0 <= dropped["end_s"] <= 105.0
    assert heard["seconds"] < 180.0


@pytest.mark.parametrize(("answer", "dropped"), [("y\n", 1), ("\n", 0), ("", 0), ("no\n", 0)])
def test_in_a_terminal_it_is_asked_for(clip, monkeypatch, answer: str, dropped: int) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("sys.stderr", screen)
    assert len(enrolled(clip)["dropped"]) == dropped
    assert "leave that out of the normal sound? [y/N]" in screen.getvalue()


def test_without_a_terminal_nothing_is_asked(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert progress.confirmed("sure?") is False
    assert capsys.readouterr().err == ""


def test_it_says_what_the_threshold_promises_and_whether_it_was_enough(steady_sound, tmp_path, capsys) -> None:
    path = tmp_path / "fan.wav"
    soundfile.write(path, steady_sound(180.0), RATE_HZ, subtype="FLOAT")
    out = tmp_path / "fan.asd"
    assert main(["enroll", str(path), "--out", str(out), "--false-alarms", "2/month", "--json"]) == 0
    said = capsys.readouterr()
    assert "3 minutes were heard, 2/month is extrapolated 7" in said.err
    assert "00-fold; expect between 0" in said.err
    assert "changed nothing: enough sound of this kind" in said.err
    result = json.loads(said.out)
    assert result["live_calibration"]["budget"] == "2/month"
    assert result["saturation"]["learning"] is False
    assert np.isfinite(result["live_calibration"]["expected"]).all()


def test_a_run_with_another_budget_says_what_to_expect_of_it(clip, capsys) -> None:
    bundle, short = clip.with_suffix(".asd"), clip.with_name("short.wav")
    enrolled(clip, "--drop-outliers")
    soundfile.write(short, soundfile.read(clip, frames=6 * RATE_HZ)[0], RATE_HZ)
    capsys.readouterr()
    run = ["run", "--bundle", str(bundle), "--input", str(short), "--fast", "--json"]
    assert main(run) == 0
    assert "expect between" not in capsys.readouterr().err
    assert main([*run, "--false-alarms", "1/day"]) == 0
    said = capsys.readouterr()
    assert "1/day is extrapolated" in said.err and "false alarms a day" in said.err
    scores = [json.loads(line) for line in said.out.splitlines()]
    assert {score["threshold"] for score in scores if score["type"] == "score"} == {50.0}


@pytest.mark.parametrize("flags", [["--false-alarms", "never"], ["--false-alarms", "1/day", "--live-percentile", "99"]])
def test_a_budget_that_is_none_or_one_too_many_is_a_usage_error(clip, flags: list[str], capsys) -> None:
    assert main(["enroll", str(clip), "--out", str(clip.with_suffix(".asd")), *flags]) == 2
    assert "budget" in (said := capsys.readouterr().err) or "exclude each other" in said


def test_one_session_is_told_and_what_is_allowed_for_others_can_be_set(steady_sound, tmp_path, capsys) -> None:
    path = tmp_path / "fan.wav"
    soundfile.write(path, steady_sound(64.0), RATE_HZ, subtype="FLOAT")

    def enrolled_with(*flags: str) -> tuple[dict, str]:
        heard = enrolled(path, *flags)
        return heard["sessions"], capsys.readouterr().err

    judged, said = enrolled_with()
    assert judged["asked"] is None and "one session: other days will differ by more than was heard" in said
    assert "times wider; recordings of several days named as such (enroll --sessions) narrow it" in said
    none, said = enrolled_with("--session-allowance", "none")
    assert (none["asked"], none["widening"]) == (1.0, 1.0) and "other days" not in said
    factor, _ = enrolled_with("--session-allowance", "1.5")
    assert (factor["asked"], factor["widening"]) == (1.5, 1.5)
    assert load_bundle(path.with_suffix(".asd")).clip_calibration.allowance == (1.5, 1.5)
    assert main(["enroll", str(path), "--out", str(tmp_path / "b.asd"), "--session-allowance", "wide"]) == 2
    assert "auto, none or a factor from 1 to 10" in capsys.readouterr().err
    bundle = str(path.with_suffix(".asd"))
    assert main(["enroll", "--append", bundle, str(path), "--session-allowance", "none"]) == 2
    assert "settled when the bundle was made" in capsys.readouterr().err


def test_paths_named_as_sessions_count_as_sessions(steady_sound, tmp_path, capsys) -> None:
    days = []
    for day in range(3):
        days.append(str(tmp_path / f"day{day}"))
        (tmp_path / f"day{day}").mkdir()
        for part in range(2):
            sound = steady_sound(12.0, seed=2 * day + part)
            soundfile.write(tmp_path / f"day{day}" / f"{part}.wav", sound, RATE_HZ, subtype="FLOAT")
    out = str(tmp_path / "fan.asd")
    enroll = ["enroll", *days, "--out", out, "--force"]
    assert main([*enroll, "--sessions"]) == 0
    named = load_bundle(Path(out))
    assert named.enrolment["sessions"]["sessions"] == 3
    assert named.known is not None
    folds, names = named.known.folds, np.repeat(range(3), len(named.known.folds) // 3)
    assert len({(int(fold), int(name)) for fold, name in zip(folds, names, strict=True)}) == len(set(folds)) == 3
    assert main(enroll) == 0
    assert load_bundle(Path(out)).enrolment["sessions"]["sessions"] == 1
    capsys.readouterr()
    assert main(["enroll", days[0], "--out", out, "--force", "--sessions"]) == 2
    assert "name a CLIP or DIR for each" in capsys.readouterr().err
    assert main(["enroll", "--append", out, *days, "--sessions"]) == 2
    assert "--sessions was settled when the bundle was made" in capsys.readouterr().err

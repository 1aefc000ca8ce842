"""Slow adaptation follows drift and cannot learn a lasting fault; a day is twelve seconds here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_asd.audio.block import AudioBlock
from edge_asd.bundle.bundle import Bundle
from edge_asd.cli import main
from edge_asd.detector import WindowScore
from edge_asd.enrolment.adaptation import SUFFIX, AdaptationRules, Adapter, Admitted, state_paths
from edge_asd.errors import DataError
from edge_asd.monitor.alarm import AlarmSettings, AlarmTracker

RATE_HZ = 16000
BLOCK = 4000
DAY_S = 12.0
RULES = AdaptationRules(per_day=6, quarantine_s=3.0, day_s=DAY_S)
ALARM = AlarmSettings(confirm_s=2.0, release_s=3.0, cooldown_s=5.0)


class Watched:
    """A machine watched with adaptation as `edge_asd.monitor.live` does; remembers every score and when it alarmed."""

    def __init__(self, bundle: Bundle, path: Path, rules: AdaptationRules | None = RULES) -> None:
        self.detector = bundle.detector()
        self.alarm = AlarmTracker(ALARM, rate_hz=RATE_HZ)
        self.adapter = None
        if rules is not None:
            on_normal = self.detector.compare_with
            self.adapter = Adapter(bundle, path, on_normal=on_normal, warn=pytest.fail, rules=rules)
        self.scores: list[WindowScore] = []
        self.alarming: list[bool] = []
        self.admitted_at: list[float] = []
        self._position = 0

    def hear(self, sound: np.ndarray) -> None:
        """In blocks shorter than a step, as a microphone gives them: what is admitted counts from the next one on."""
        for start in range(0, sound.size, BLOCK):
            block = AudioBlock(sound[start : start + BLOCK], self._position, self._position / RATE_HZ)
            self._position += block.samples.size
            for score in self.detector.push(block):
                self.alarm.update(score)
                on = self.alarm.active_id is not None
                if self.adapter is not None and self.adapter.observe(score, disturbed=on):
                    self.admitted_at.append(score.time)
                self.scores.append(score)
                self.alarming.append(on)

    def share(self, of: Callable[[WindowScore], bool], from_s: float) -> float:
        return float(np.mean([of(score) for score in self.scores if score.time > from_s]))


def test_a_fault_of_day_two_still_alarms_on_day_fourteen(tiny_bundle: Bundle, steady_sound, tmp_path: Path) -> None:
    watched = Watched(tiny_bundle, tmp_path / "fan.adapted")
    onset_s = 1.5 * DAY_S
    watched.hear(steady_sound(onset_s, seed=1))
    before = len(watched.admitted_at)
    assert before > 0
    sound = steady_sound(14 * DAY_S - onset_s, seed=30, tone_hz=1500.0, tone_amplitude=0.03)
    watched.hear(sound)
    assert len(watched.admitted_at) == before
    assert all(on for score, on in zip(watched.scores, watched.alarming, strict=True) if score.time > 13 * DAY_S)


def test_a_fault_that_comes_and_goes_is_not_learned_either(tiny_bundle: Bundle, steady_sound, tmp_path: Path) -> None:
    watched = Watched(tiny_bundle, tmp_path / "fan.adapted", dataclasses.replace(RULES, quarantine_s=5.0))
    watched.hear(steady_sound(18.0, seed=1))
    before = len(watched.admitted_at)
    assert before > 0
    for _ in range(8):
        watched.hear(steady_sound(4.0, seed=31, tone_hz=1500.0, tone_amplitude=0.03))
        watched.hear(steady_sound(8.0, seed=1))
    assert len(watched.admitted_at) == before
    watched.hear(steady_sound(6.0, seed=31, tone_hz=1500.0, tone_amplitude=0.03))
    assert watched.alarming[-1]


def drift(steady_sound, days: float, db_a_day: float) -> np.ndarray:
    sound = steady_sound(days * DAY_S, seed=1)
    return (sound * 10.0 ** (np.linspace(0.0, days * db_a_day, sound.size) / 20.0)).astype(np.float32)


def test_what_is_allowed_for_other_days_is_not_learned(
    tiny_bundle: Bundle, plain_bundle: Bundle, steady_sound, tmp_path: Path
) -> None:
    wide, plain = tiny_bundle.live_calibrations[-1], plain_bundle.live_calibrations[-1]
    assert wide.threshold > 2.0 * plain.threshold == 2.0 * wide.plain
    sound = steady_sound(3.0 * DAY_S, seed=1)
    loud_s = 1.5 * DAY_S
    sound[round(loud_s * RATE_HZ) :] *= 1.1
    watched = Watched(tiny_bundle, tmp_path / "fan.adapted", dataclasses.replace(RULES, quarantine_s=2.0))
    alone = Watched(plain_bundle, tmp_path / "plain", rules=None)
    for one in (watched, alone):
        one.hear(sound)
    assert watched.share(lambda score: score.anomalous, loud_s + 3.0) == 0.0
    assert alone.share(lambda score: score.anomalous, loud_s + 3.0) == 1.0
    assert watched.admitted_at and max(watched.admitted_at) < loud_s + 3.0


def test_a_slow_drift_is_followed_as_far_as_the_enrolment_allows(plain_bundle: Bundle, steady_sound, tmp_path) -> None:
    sound = drift(steady_sound, 14.0, 0.06)
    following = Watched(plain_bundle, tmp_path / "following", dataclasses.replace(RULES, furthest=97.0))
    bounded = Watched(plain_bundle, tmp_path / "bounded", dataclasses.replace(RULES, furthest=50.0))
    for watched in (following, bounded):
        watched.hear(sound)
    assert following.share(lambda score: score.anomalous, 12 * DAY_S) == 0.0
    assert len(following.admitted_at) > 4 * 14
    assert bounded.share(lambda score: score.anomalous, 13 * DAY_S) > 0.9
    assert max(bounded.admitted_at) < 11 * DAY_S
    plain = plain_bundle.detector().push(AudioBlock(sound, 0, 0.0))
    assert np.mean([score.anomalous for score in plain if score.time > 10 * DAY_S]) > 0.9


def test_at_most_so_many_a_day_and_the_enrolled_ones_stay(tiny_bundle: Bundle, steady_sound, tmp_path: Path) -> None:
    watched = Watched(tiny_bundle, tmp_path / "fan.adapted")
    watched.hear(np.tile(steady_sound(12.0, seed=1), 6))
    assert watched.adapter is not None
    days = np.floor(np.array(watched.admitted_at) / DAY_S)
    assert 0 < np.unique(days, return_counts=True)[1].max() <= RULES.per_day + 1
    assert min(watched.admitted_at) >= 2 * RULES.quarantine_s
    few = AdaptationRules(per_day=24, quarantine_s=2.0, day_s=DAY_S, most_share=0.05)
    many = Watched(tiny_bundle, tmp_path / "few", few)
    many.hear(steady_sound(48.0, seed=1))
    assert many.adapter is not None
    most = int(0.05 * len(tiny_bundle.normal))
    assert len(many.admitted_at) > most and len(many.adapter.admitted) == most


def test_what_was_admitted_outlasts_a_restart_and_is_taken_back(
    tiny_bundle: Bundle, steady_sound, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    bundle = tmp_path / "fan.asd"
    (path,) = state_paths(bundle, {})
    assert path == tmp_path / f"fan.asd{SUFFIX}"
    watched = Watched(tiny_bundle, path)
    watched.hear(steady_sound(20.0, seed=1))
    assert watched.adapter is not None
    again = Admitted.load(path, tiny_bundle)
    assert len(again) == len(watched.adapter.admitted) > 0
    given: list[int] = []
    Adapter(tiny_bundle, path, on_normal=lambda n: given.append(len(n)), warn=pytest.fail)
    assert given == [len(tiny_bundle.normal) + len(again)]
    assert main(["enroll", "--undo-adaptation", str(bundle)]) == 0
    assert not path.exists()
    assert main(["enroll", "--undo-adaptation", str(bundle)]) == 66
    said = capsys.readouterr().err
    assert f"nothing was adapted ({path} is not there)" in said
    assert f"sudo env STATE_DIRECTORY=/var/lib/edge-asd edge-asd enroll --undo-adaptation {bundle}\n" in said
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    assert main(["enroll", "--undo-adaptation", str(bundle)]) == 66
    assert "sudo" not in capsys.readouterr().err


def test_a_file_of_another_bundle_or_damaged_is_refused(tiny_bundle: Bundle, steady_sound, tmp_path: Path) -> None:
    path = tmp_path / "fan.adapted"
    watched = Watched(tiny_bundle, path)
    watched.hear(steady_sound(20.0, seed=1))
    scores = tiny_bundle.enrolment_scores
    other = dataclasses.replace(
        tiny_bundle, enrolment_scores=dataclasses.replace(scores, distances=scores.distances + 1.0)
    )
    with pytest.raises(DataError, match="another bundle"):
        Admitted.load(path, other)
    warned: list[str] = []
    assert len(Adapter(other, path, on_normal=pytest.fail, warn=warned.append).admitted) == 0
    assert "begins afresh" in warned[0]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="damaged"):
        Admitted.load(path, tiny_bundle)


def test_a_service_keeps_it_in_its_state_directory(tmp_path: Path) -> None:
    paths = state_paths(Path("/etc/edge-asd/fan.asd"), {"STATE_DIRECTORY": str(tmp_path)})
    assert paths == (tmp_path / "fan.asd.adapted", Path("/etc/edge-asd/fan.asd.adapted"))

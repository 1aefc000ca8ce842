"""The health of what is heard: each fault starts, lasts and ends; normal sound raises none."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.audio.block import AudioBlock
from edge_asd.enrolment.sound_levels import SoundBaseline, levels_of
from edge_asd.monitor.health import Health
from edge_asd.monitor.records import HealthRecord
from edge_asd.simulator import KINDS, Machine, Scene, render

RATE_HZ = 16000
NORMAL = SoundBaseline(floor_dbfs=-32.0, median_dbfs=-30.0, loudest_dbfs=-28.0, hum_db=-10.0)
BEGAN = 1000.0
BLOCK = 4000


class Stream:
    """Feeds sound to a health judge in blocks, as a source does."""

    def __init__(self, baseline: SoundBaseline | None = NORMAL) -> None:
        self.health = Health("fan", RATE_HZ, baseline)
        self.position = 0
        self.told: list[HealthRecord] = []

    def hear(self, sound: np.ndarray, gap: int = 0) -> Stream:
        for start in range(0, sound.size, BLOCK):
            self.position += gap if start == 0 else 0
            samples = sound[start : start + BLOCK].astype(np.float32)
            block = AudioBlock(samples, self.position, BEGAN + self.position / RATE_HZ, gap if start == 0 else 0)
            self.told += self.health.judge(block)
            self.position += samples.size
        return self

    @property
    def kinds(self) -> list[tuple[str, str]]:
        return [(record.kind, record.state) for record in self.told]


def noise(level_dbfs: float, seconds: float) -> np.ndarray:
    rms = 10.0 ** (level_dbfs / 20.0)
    return np.random.default_rng(3).normal(0.0, rms, round(seconds * RATE_HZ))


def hum(seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return 0.03 * np.sin(2 * np.pi * 50.0 * t) + 0.01 * np.sin(2 * np.pi * 150.0 * t)


FAULTS = {
    "dead": (np.zeros(8 * RATE_HZ), 5.0),
    "clipped": (np.clip(noise(3.0, 20.0), -1.0, 1.0), 5.0),
    "hum": (hum(15.0) + noise(-60.0, 15.0), 10.0),
    "quiet": (noise(-60.0, 65.0), 60.0),
    "loud": (noise(-15.0, 8.0), 5.0),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_starts_with_its_time_and_figure_and_ends(kind: str) -> None:
    sound, after_s = FAULTS[kind]
    stream = Stream().hear(noise(-30.0, 10.0)).hear(sound)
    starts = {record.kind: record for record in stream.told}
    assert kind in starts and starts[kind].state == "start"
    assert starts[kind].time == pytest.approx(BEGAN + 10.0 + after_s)
    assert "(" in starts[kind].message
    stream.hear(noise(-30.0, 15.0))
    assert (kind, "end") in stream.kinds
    assert stream.kinds.count((kind, "start")) == 1


def test_a_short_disturbance_is_none() -> None:
    stream = Stream()
    for name, (sound, after_s) in FAULTS.items():
        stream.hear(sound[: round((after_s - 1.5) * RATE_HZ)]).hear(noise(-30.0, 12.0))
        assert stream.kinds == [], name


def test_stuck_samples_are_dead_too_whatever_their_level() -> None:
    assert Stream().hear(np.full(6 * RATE_HZ, 0.25)).kinds == [("dead", "start")]


def test_losses_again_and_again_are_a_fault_and_a_few_are_not() -> None:
    few = Stream()
    for _ in range(5):
        few.hear(noise(-30.0, 2.0), gap=800)
    assert few.kinds == []
    many = Stream()
    for _ in range(15):
        many.hear(noise(-30.0, 2.0), gap=800)
    assert many.kinds == [("overruns", "start")]
    assert "10 times in 60 s" in many.told[0].message
    assert many.hear(noise(-30.0, 125.0)).kinds == [("overruns", "start"), ("overruns", "end")]


def test_without_a_baseline_dead_and_clipped_are_still_told() -> None:
    stream = Stream(None).hear(np.zeros(6 * RATE_HZ)).hear(noise(-70.0, 70.0))
    assert stream.kinds == [("dead", "start"), ("dead", "end")]


def test_another_microphone_is_told_until_the_enrolled_one_is_back() -> None:
    health = Health("fan", RATE_HZ, NORMAL)
    assert list(health.microphone("usb:a", None, 1.0)) == []
    (started,) = health.microphone("usb:b", "usb:a", 2.0)
    assert (started.kind, started.state) == ("swapped", "start")
    assert "usb:b" in started.message and "usb:a" in started.message
    assert list(health.microphone("usb:c", "usb:a", 3.0)) == []
    (ended,) = health.microphone("usb:a", "usb:a", 4.0)
    assert (ended.kind, ended.state) == ("swapped", "end")


def test_a_microphone_slower_than_the_enrolled_one_is_told() -> None:
    health = Health("fan", RATE_HZ, NORMAL)
    assert list(health.microphone("usb:a", "usb:a", 1.0, found_hz=48000)) == []
    (started,) = health.microphone("usb:a", "usb:a", 2.0, found_hz=8000, enrolled_hz=48000)
    assert (started.kind, started.state) == ("narrow", "start")
    assert "8000 Hz" in started.message and "16000 Hz" in started.message
    (ended,) = health.microphone("usb:a", "usb:a", 3.0, found_hz=RATE_HZ, enrolled_hz=48000)
    assert (ended.kind, ended.state) == ("narrow", "end")
    assert list(health.microphone("usb:a", "usb:a", 4.0, found_hz=8000, enrolled_hz=8000)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_healthy_simulated_machine_is_healthy(kind: str) -> None:
    rng = np.random.default_rng(7)
    sound = render(Machine.random(kind, rng), Scene.random(rng), 90.0, rng, RATE_HZ)
    baseline = SoundBaseline.fit(levels_of(sound[: 60 * RATE_HZ], RATE_HZ))
    assert Stream(baseline).hear(sound[60 * RATE_HZ :]).kinds == []

"""Levels and hum of normal sound."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.enrolment.sound_levels import SoundBaseline, hum_db, levels_of
from edge_asd.errors import DataError

RATE_HZ = 16000


def tone(frequency_hz: float, amplitude: float = 0.1) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(RATE_HZ) / RATE_HZ)).astype(np.float32)


def noise(amplitude: float = 0.1, seconds: int = 1) -> np.ndarray:
    return np.random.default_rng(1).normal(0.0, amplitude, seconds * RATE_HZ).astype(np.float32)


@pytest.mark.parametrize("mains_hz", [50, 60])
def test_hum_of_both_mains_is_heard_and_machines_are_not_taken_for_it(mains_hz: int) -> None:
    hum = tone(mains_hz) + tone(2 * mains_hz, 0.05) + noise(0.005)
    assert hum_db(hum, RATE_HZ) > 10.0
    assert hum_db(noise(), RATE_HZ) < -3.0
    assert hum_db(tone(73.0) + noise(0.001), RATE_HZ) < -20.0


def test_silence_has_no_hum() -> None:
    assert hum_db(np.zeros(RATE_HZ, np.float32), RATE_HZ) == -60.0


def test_each_whole_second_has_its_level() -> None:
    sound = np.concatenate((np.full(RATE_HZ, 0.5, np.float32), np.full(RATE_HZ, 0.05, np.float32), np.ones(100)))
    levels = levels_of(sound.astype(np.float32), RATE_HZ)
    np.testing.assert_allclose(levels[:, 0], [-6.02, -26.02], atol=0.01)
    assert levels_of(np.ones(10, np.float32), RATE_HZ).shape == (0, 2)


def test_the_baseline_is_the_quietest_usual_and_loudest_second() -> None:
    levels = np.stack((np.linspace(-40.0, -20.0, 101), np.linspace(-30.0, -10.0, 101)), axis=1)
    baseline = SoundBaseline.fit(levels)
    assert baseline == SoundBaseline(-39.0, -30.0, -20.0, -11.0)
    assert SoundBaseline.from_dict(baseline.to_dict()) == baseline


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"floor_dbfs": "x"},
        {"level": 1.0},
        None,
        dict.fromkeys(("floor_dbfs", "median_dbfs", "loudest_dbfs", "hum_db"), float("nan")),
    ],
)
def test_a_baseline_that_is_none_is_refused(data: object) -> None:
    with pytest.raises(DataError):
        SoundBaseline.from_dict(data)

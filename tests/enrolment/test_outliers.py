"""A slammed door among normal sound is named with its place; what happens often is no accident."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edge_asd.enrolment.outliers import clock, find_outliers

STEP_S, WINDOW_S = 1.0, 2.0


def distances(n: int = 600, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack((rng.gamma(12.0, 0.005, n), rng.gamma(6.0, 3.0, n)), axis=1).astype(np.float32)


def found(values: np.ndarray, names: list[str] | None = None):
    n = len(values)
    return find_outliers(values, names or ["fan.wav"] * n, STEP_S * np.arange(n), WINDOW_S)


@pytest.mark.parametrize("seed", range(5))
def test_ordinary_sound_has_none(seed: int) -> None:
    assert found(distances(seed=seed)) == ()


@pytest.mark.parametrize("view", [0, 1])
def test_what_only_one_view_finds_odd_is_not_worth_a_question(view: int) -> None:
    values = distances()
    values[192:194, view] = 40.0 * values[:, view].mean()
    values[192:194, 1 - view] = values[:, 1 - view].mean()
    assert found(values) == ()
    assert len(found(values[:, view : view + 1])) == 1


@pytest.mark.parametrize("view", [0, 1])
def test_a_slammed_door_is_one_stretch_with_its_time(view: int) -> None:
    values = distances()
    values[192:194] = 6.0 * values.mean(axis=0)
    values[192:194, view] *= 5.0
    (door,) = found(values)
    assert (door.start_s, door.end_s, door.windows) == (192.0, 195.0, (192, 193))
    assert door.times > 15.0
    assert door.text.startswith("fan.wav from 3:12 to 3:15: ")
    assert json.loads(json.dumps(door.to_dict()))["windows"] == 2


def test_two_events_and_two_recordings_stay_apart() -> None:
    values = distances()
    values[[100, 101, 300, 301, 302]] *= 40.0
    names = ["a.wav"] * 301 + ["b.wav"] * 299
    assert [(one.name, one.windows) for one in found(values, names)] == [
        ("a.wav", (100, 101)), ("a.wav", (300,)), ("b.wav", (301, 302)),
    ]  # fmt: skip


def test_one_long_outlier_is_one_stretch() -> None:
    values = distances()
    values[200:240] *= 30.0
    (voice,) = found(values)
    assert voice.windows == tuple(range(200, 240))


def test_what_the_machine_does_often_is_no_accident() -> None:
    values = distances()
    values[::8] *= 30.0
    assert found(values) == ()


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_constant_sound_has_none_and_its_rounding_is_none(value: float) -> None:
    values = np.full((100, 2), value)
    values[7] += 1e-7 * value
    assert found(values) == ()


def test_times_are_written_as_players_show_them() -> None:
    assert [clock(s) for s in (0, 7.9, 187, 3723)] == ["0:00", "0:07", "3:07", "1:02:03"]

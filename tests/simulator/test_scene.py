"""Scenes: levels as stated, rooms that echo for as long as they say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_asd.simulator import Machine, Scene, render

RATE_HZ = 16000


def rms_db(wave: np.ndarray) -> float:
    return 10.0 * float(np.log10(np.mean(np.square(wave, dtype=np.float64))))


def test_random_scenes_keep_their_ranges_and_use_them() -> None:
    scenes = [Scene.random(np.random.default_rng(seed)) for seed in range(200)]
    for name, low, high in (("level_dbfs", -60, -10), ("snr_db", -8, 45), ("rt60_s", 0.1, 1.0)):
        values = [getattr(scene, name) for scene in scenes]
        assert low <= min(values) and max(values) <= high
        assert max(values) - min(values) > 0.7 * (high - low)
    assert {scene.bits for scene in scenes} == {0, 16}
    assert {len(scene.background) for scene in scenes} == {1, 2}
    assert all(scene.floor_dbfs < scene.level_dbfs for scene in scenes)


@pytest.mark.parametrize("seed", range(5))
def test_background_stands_at_its_snr(seed: int) -> None:
    scene = dataclasses.replace(Scene.random(np.random.default_rng(seed)), level_dbfs=-40.0, snr_db=7.0, bits=0)
    machine = Machine.random("fan", np.random.default_rng(seed))
    alone = dataclasses.replace(scene, background=())
    clips = [render(machine, s, 2.0, np.random.default_rng(9)) for s in (scene, alone)]
    assert rms_db(clips[0] - clips[1]) == pytest.approx(-47.0, abs=0.1)


def test_machine_stands_at_its_level_whatever_room_and_microphone_swallow() -> None:
    machine = Machine.random("fan", np.random.default_rng(1))
    far = dataclasses.replace(Scene.random(np.random.default_rng(2)), level_dbfs=-30.0, background=(), bits=0)
    far = dataclasses.replace(far, floor_dbfs=-200.0)
    levels = [rms_db(render(machine, s, 3.0, np.random.default_rng(4))) for s in (far, Scene.anechoic(-30.0))]
    assert levels[0] == pytest.approx(levels[1], abs=0.01)
    assert levels[0] == pytest.approx(-30.0, abs=8.0)


def test_a_room_decays_in_its_time() -> None:
    for rt60_s in (0.2, 0.8):
        path = Scene(rt60_s=rt60_s, direct_db=-30.0, room_seed=3).path(RATE_HZ).astype(float)
        remaining_db = 10 * np.log10(np.cumsum(path[::-1] ** 2)[::-1] / np.sum(path**2))
        # Schroeder's backward integral between -5 and -25 dB, as T20 is measured (ISO 3382).
        t20_s = (np.argmax(remaining_db < -25) - np.argmax(remaining_db < -5)) / RATE_HZ
        assert 0.6 * rt60_s < 3 * t20_s < 1.2 * rt60_s


def test_the_same_scene_has_the_same_path_and_another_for_what_is_far() -> None:
    scene = Scene.random(np.random.default_rng(5))
    assert np.array_equal(scene.path(RATE_HZ), dataclasses.replace(scene).path(RATE_HZ))
    assert scene.path(RATE_HZ).size != scene.path(48000).size
    assert not np.array_equal(scene.path(RATE_HZ), scene.diffuse_path(RATE_HZ))


def test_sixteen_bits_are_steps() -> None:
    scene = dataclasses.replace(Scene.anechoic(-50.0), bits=16)
    clip = render(Machine.random("pump", np.random.default_rng(0)), scene, 0.5, np.random.default_rng(1))
    assert np.array_equal(clip * 32768, np.rint(clip * 32768))

"""More variety for generated sound: every family does what it says, and none of them when it is switched off."""

import dataclasses

import numpy as np
import pytest

from edge_asd.simulator import KINDS, Machine, Scene, render
from export.generated import factory, variety
from export.generated.channel import rms
from export.recipe import DataSettings

RATE_HZ = 16000


def rng(seed=0):
    return np.random.default_rng(seed)


def noise(n=RATE_HZ, seed=1):
    return rng(seed).normal(0.0, 0.1, n).astype(np.float32)


def test_without_probabilities_nothing_changes():
    machine, samples = Machine.random("pump", rng()), noise()
    assert variety.varied(machine, DataSettings(), rng()) == machine
    assert np.array_equal(variety.weathered(samples, RATE_HZ, DataSettings(), rng(1), rng(2)), samples)


@pytest.mark.parametrize("family", ["profile", "coupled", "structure"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_machine_still_runs(family, kind):
    data = DataSettings(**{f"{family}_probability": 1.0})
    machine = Machine.random(kind, rng(3))
    changed = variety.varied(machine, data, rng(4))
    assert changed != machine and changed.kind == machine.kind
    sound = render(changed, Scene.anechoic(), 0.5, rng(5))
    assert np.isfinite(sound).all() and rms(sound) > 1e-4


def test_profiles_ramp_hunt_and_stop():
    machine = Machine.random("bearing", rng(3))
    machine = dataclasses.replace(machine, cycle=dataclasses.replace(machine.cycle, shape="steady"))
    changed = [variety.with_profile(machine, rng(seed)) for seed in range(20)]
    assert any(m.drive.change_chance == 0.9 for m in changed)
    assert any(m.drive.wobble != machine.drive.wobble for m in changed)
    assert any(m.cycle.shape == "stroke" for m in changed)
    valve = Machine.random("valve", rng(3))
    assert {variety.with_profile(valve, rng(seed)).cycle for seed in range(20)} == {valve.cycle}


def test_a_companion_beats_with_the_machine():
    """Two nearly equal tones swell at their difference; one alone does not."""
    tone = dataclasses.replace(Machine.random("fan", rng(1)), cycle=Machine.random("fan", rng(1)).cycle)
    fan = dataclasses.replace(
        tone, drive=dataclasses.replace(tone.drive, speeds=(1.0,), drift=0.0, jitter=0.0, wobble=0.0)
    )
    pair = variety.with_companion(fan, rng(2))
    extra = pair.layers[len(fan.layers) :]
    assert extra and len(pair.layers) > len(fan.layers)
    ratios = {e.ratio / o.ratio for e, o in zip(extra, [x for x in fan.layers if hasattr(x, "ratio")], strict=True)}
    assert any(0.9 < ratio < 1.1 and ratio != 1.0 for ratio in ratios)


def test_structures_ring_within_the_band():
    for seed in range(30):
        modes = variety.structure(rng(seed))
        assert all(0 < mode.hz < variety.HIGHEST_MODE_HZ and 0 < mode.decay_s <= 0.15 for mode in modes)
    assert max(len(variety.structure(rng(seed))) for seed in range(30)) > 20


def test_early_reflections_start_with_the_direct_sound_and_keep_the_power():
    for seed in range(10):
        response = variety.early_reflections(RATE_HZ, rng(seed))
        assert np.dot(response, response) == pytest.approx(1.0, abs=1e-4)
        assert response[0] > 0.0 and np.count_nonzero(response) > 3


def test_a_poor_microphone_keeps_the_level_and_is_the_same_in_its_place():
    samples = noise()
    once, again, other = (variety.microphone(samples, RATE_HZ, rng(p), rng(9)) for p in (1, 1, 2))
    assert np.array_equal(once, again) and not np.allclose(once, other)
    assert rms(once) == pytest.approx(rms(samples), rel=1e-3)


def test_gain_control_levels_what_was_loud_and_soft():
    samples = noise(2 * RATE_HZ)
    samples[:RATE_HZ] *= 0.05
    levelled = variety.gain_controlled(samples, RATE_HZ, 0.9, 0.1)
    assert rms(levelled[RATE_HZ // 2 : RATE_HZ]) > 0.3 * rms(levelled[-RATE_HZ // 2 :])


@pytest.mark.parametrize("kind", sorted(factory.SOUNDS))
def test_factory_sounds_are_seeded_and_unlike_each_other(kind):
    once, again, other = (factory.SOUNDS[kind](RATE_HZ, RATE_HZ, rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(once, again) and not np.array_equal(once, other)
    assert once.shape == (RATE_HZ,) and np.isfinite(once).all() and rms(once) > 0.0


def test_traffic_is_low_and_air_is_high():
    def centre_hz(kind):
        spectrum = np.abs(np.fft.rfft(factory.SOUNDS[kind](RATE_HZ, RATE_HZ, rng(5)))) ** 2
        return float(np.dot(spectrum, np.fft.rfftfreq(RATE_HZ, 1 / RATE_HZ)) / spectrum.sum())

    assert centre_hz("traffic") < 700 < 1000 < centre_hz("air")


def test_factory_sound_lies_as_far_below_as_asked():
    data = DataSettings(factory_probability=1.0, factory_snr_db=(6.0, 6.0))
    samples = noise()
    added = variety.weathered(samples, RATE_HZ, data, rng(1), rng(2)) - samples
    assert 20 * np.log10(rms(samples) / rms(added)) == pytest.approx(6.0, abs=0.05)

"""Rendering: reproducible, in range, and a fault that is exactly where and as loud as it says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_asd.errors import DataError
from edge_asd.simulator import FAULTS, KINDS, Fault, Machine, Scene, render
from edge_asd.simulator.faults import ADDED, CHANGED
from edge_asd.simulator.machines import Cycle, Drive, Impacts, Layer, Tones

RATE_HZ = 16000
PAIRS = [(kind, name) for kind in KINDS for name in FAULTS[kind]]
QUIET = Scene.anechoic(level_dbfs=-60.0)
"""Far below the knee of the converter, so that sums stay sums."""


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def plain(layers: tuple[Layer, ...], shaft_hz: float = 25.0, **more: object) -> Machine:
    """A machine without casing or drift, to see one thing at a time."""
    drive = Drive(shaft_hz, drift=0.0, jitter=0.0)
    return dataclasses.replace(Machine("bearing", drive, layers), **more)


def rms_db(wave: np.ndarray) -> float:
    return 10.0 * float(np.log10(np.mean(np.square(wave, dtype=np.float64))))


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_samples_and_other_seeds_differ(kind: str) -> None:
    def clip(machine_seed: int, run_seed: int) -> np.ndarray:
        draw = rng(machine_seed)
        return render(Machine.random(kind, draw), Scene.random(draw), 0.5, rng(run_seed))

    first = clip(1, 2)
    assert np.array_equal(first, clip(1, 2))
    assert not np.array_equal(first, clip(1, 3))
    assert not np.array_equal(first, clip(2, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_individuals_are_values(kind: str) -> None:
    first, again, other = (Machine.random(kind, rng(seed)) for seed in (5, 5, 6))
    assert first == again and hash(first) == hash(again) and first != other
    assert first.kind == kind
    assert Scene.random(rng(5)) == Scene.random(rng(5)) != Scene.random(rng(6))


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("kind", KINDS)
def test_any_rate_gives_finite_float32_within_full_scale(kind: str, rate_hz: int) -> None:
    for seed in range(3):
        draw = rng(seed)
        scene = dataclasses.replace(Scene.random(draw), level_dbfs=-10.0)
        clip = render(Machine.random(kind, draw), scene, 0.7, draw, rate_hz=rate_hz)
        assert clip.dtype == np.float32 and clip.shape == (round(0.7 * rate_hz),)
        assert np.isfinite(clip).all() and np.abs(clip).max() < 1.0
        assert rms_db(clip) > -60.0


def test_a_clip_of_one_sample_is_rendered() -> None:
    for kind in KINDS:
        assert render(Machine.random(kind, rng(0)), Scene.random(rng(1)), 1 / RATE_HZ, rng(2)).shape == (1,)


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_fault_is_absent_before_its_onset_and_at_its_level_after(kind: str, name: str) -> None:
    machine = Machine.random(kind, rng(11))
    onset = RATE_HZ
    normal = render(machine, QUIET, 4.0, rng(3))
    for level_db in (-6.0, 3.0):
        faulty = render(machine, QUIET, 4.0, rng(3), fault=Fault(name, level_db, onset_s=1.0))
        assert np.array_equal(normal[:onset], faulty[:onset])
        extra = faulty[onset:] - normal[onset:]
        assert rms_db(extra) > rms_db(normal[onset:]) - 40.0
        if name in ADDED:
            assert rms_db(extra) - rms_db(normal[onset:]) == pytest.approx(level_db, abs=1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_fault_in_a_real_scene_is_absent_before_its_onset(kind: str) -> None:
    draw = rng(8)
    machine, scene = Machine.random(kind, draw), Scene.random(draw)
    normal = render(machine, scene, 2.0, rng(3))
    for name in FAULTS[kind]:
        faulty = render(machine, scene, 2.0, rng(3), fault=Fault(name, 10.0, onset_s=1.0))
        assert np.array_equal(normal[:RATE_HZ], faulty[:RATE_HZ])
        assert not np.array_equal(normal[RATE_HZ:], faulty[RATE_HZ:])


def test_a_changing_fault_grows_with_its_level() -> None:
    for name, change in CHANGED.items():
        kind = next(kind for kind in KINDS if name in FAULTS[kind])
        machine = Machine.random(kind, rng(2))
        small, large = change(machine, -12.0), change(machine, 0.0)
        if name == "valve_stick":
            assert machine.cycle.miss < small.cycle.miss < large.cycle.miss < change(machine, 60.0).cycle.miss < 1.0
        else:
            speeds = [m.drive.speeds[0] for m in (machine, small, large, change(machine, 60.0))]
            assert speeds == sorted(speeds, reverse=True) and 0.0 < speeds[-1] < speeds[0]


def test_a_clogged_fan_turns_slower() -> None:
    fan = dataclasses.replace(plain((Tones(orders=(40,)),)), kind="fan")
    faulty = render(fan, QUIET, 4.0, rng(0), fault=Fault("clog", 0.0, onset_s=2.0))
    before, after = (np.argmax(np.abs(np.fft.rfft(half))) / 2.0 for half in np.split(faulty, 2))
    assert before == pytest.approx(1000.0, abs=1.0)
    assert after == pytest.approx(880.0, abs=2.0)


def test_an_outer_race_defect_strikes_at_its_rate() -> None:
    machine = plain((Tones(orders=(1,)),))
    clips = [render(machine, QUIET, 8.0, rng(4), fault=fault) for fault in (None, Fault("bearing_outer"))]
    envelope = np.abs(clips[1] - clips[0])
    spectrum = np.abs(np.fft.rfft(envelope - envelope.mean()))[: 8 * 200]
    assert np.argmax(spectrum) / 8.0 == pytest.approx(25.0 * machine.bearing.outer, rel=0.02)


def test_a_fault_at_or_after_the_end_changes_nothing() -> None:
    machine = Machine.random("fan", rng(0))
    normal = render(machine, QUIET, 1.0, rng(1))
    for onset_s in (1.0, 30.0):
        assert np.array_equal(normal, render(machine, QUIET, 1.0, rng(1), fault=Fault("rattle", 0.0, onset_s)))


def test_every_kind_has_four_faults_and_each_is_made_one_way() -> None:
    assert set(FAULTS) == set(KINDS)
    assert all(len(set(names)) == len(names) >= 4 for names in FAULTS.values())
    assert not set(ADDED) & set(CHANGED)
    assert {name for names in FAULTS.values() for name in names} == set(ADDED) | set(CHANGED)


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"'lathe'.*fan, pump, gearbox, bearing, valve, slider"):
        Machine.random("lathe", rng(0))
    with pytest.raises(DataError, match=r"a valve has no fault 'cavitation'; choose one of leak, chatter"):
        render(Machine.random("valve", rng(0)), QUIET, 1.0, rng(0), fault=Fault("cavitation"))
    with pytest.raises(DataError, match="onset -1"):
        render(Machine.random("valve", rng(0)), QUIET, 1.0, rng(0), fault=Fault("leak", onset_s=-1.0))


@pytest.mark.parametrize(("duration_s", "rate_hz"), [(0.0, 16000), (-1.0, 16000), (1.0, 0)])
def test_no_sound_is_refused(duration_s: float, rate_hz: int) -> None:
    with pytest.raises(DataError, match="is no sound"):
        render(Machine.random("fan", rng(0)), QUIET, duration_s, rng(0), rate_hz=rate_hz)


def test_tones_above_the_band_are_left_out_not_folded() -> None:
    machine = plain((Tones(orders=(20, 360), amplitudes=(1.0, 1.0), phases=(0.0, 0.0)),))
    power = np.abs(np.fft.rfft(render(machine, QUIET, 2.0, rng(0)))) ** 2
    assert np.argmax(power) == 2 * 500
    # Order 360 is 9 kHz: folded, it would stand at 7 kHz.
    assert power[2 * 6900 : 2 * 7100].max() < 1e-6 * power.max()


def test_a_stroke_rests_and_a_valve_that_misses_is_silent() -> None:
    stroke = Cycle("stroke", period_s=2.0, rest=0.5, ramp_s=0.05, jitter=0.0)
    slider = plain((Tones(orders=(30,), exponent=1.0),), cycle=stroke)
    frames = render(slider, QUIET, 6.0, rng(0)).reshape(-1, 400).std(axis=1)
    assert np.mean(frames < 1e-3 * frames.max()) == pytest.approx(0.5, abs=0.1)
    stuck = plain((Tones(orders=(30,), gate="open"), Impacts(at="click")), cycle=Cycle("open", 0.5, miss=1.0))
    assert rms_db(render(stuck, QUIET, 1.0, rng(0))) < -250.0

"""What can go wrong with each kind of machine, as sound.

Most faults add sound (`ADDED`): layers tied to the machine's own shaft, bearing and casing. Some change what is there
(`CHANGED`): the machine after the change is another machine running the same run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_asd.errors import DataError
from edge_asd.simulator import draws
from edge_asd.simulator.draws import log_uniform
from edge_asd.simulator.machines import Impacts, Layer, Machine, Noise
from edge_asd.simulator.resonance import Mode


@dataclass(frozen=True)
class Fault:
    """One fault of a machine.

    name: one of `FAULTS[machine.kind]`.
    level_db: for a fault that adds sound, its power relative to the machine's own over the time after its onset. For
        a fault that changes the machine (clog, valve_stick, jam), 0 dB is a plain case and the size of the change
        grows and shrinks with 10 ** (level_db / 20), within what is possible.
    onset_s: when it sets in, seconds from the start of the rendering; it takes 50 ms to be fully there.
    """

    name: str
    level_db: float = 0.0
    onset_s: float = 0.0


_Adder = Callable[[Machine, np.random.Generator], tuple[Layer, ...]]
_Changer = Callable[[Machine, float], Machine]


def _ring(machine: Machine, rng: np.random.Generator) -> tuple[Mode, ...]:
    """What a blow inside this machine makes ring: high modes of the part, and those of the casing that are high too.

    A small defect's blow is short; it leaves the low modes of the casing to the rotor.
    """
    part = draws.random_modes(rng, int(rng.integers(2, 6)), 1200.0, 7200.0, log_uniform(rng, 8.0, 40.0))
    return part + tuple(mode for mode in machine.modes if mode.hz > 1000.0)


def _blows(machine: Machine, rng: np.random.Generator, ratio: float, zone: float = 0.0) -> Impacts:
    """Blows of a small defect; `zone` > 0 makes them swell once a turn, as it goes through the loaded zone."""
    return Impacts(
        ratio=ratio, slip=0.015, spread=rng.uniform(0.1, 0.4), modes=_ring(machine, rng), exponent=0.5,
        beat_order=1.0, beat_depth=zone, beat_sharpness=1.0 if zone else 0.0,
    )  # fmt: skip


def _bearing_outer(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    return (_blows(machine, rng, machine.bearing.outer),)


def _bearing_inner(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    return (_blows(machine, rng, machine.bearing.inner, zone=0.9),)


def _bearing_ball(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    blows = _blows(machine, rng, machine.bearing.ball, zone=0.9)
    return (dataclasses.replace(blows, beat_order=machine.bearing.cage),)


def _imbalance(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    """Once a turn, with faint multiples; the mounting rattles along so that small microphones hear it too."""
    shake = draws.tones(np.array([1, 2, 3, 4]), np.array([1.0, 0.25, 0.12, 0.06]), rng)
    wash = dataclasses.replace(draws.flow(rng), level_db=-10.0, beat_order=1.0, beat_depth=0.9)
    return shake, wash


def _misalignment(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    orders = np.arange(1, 13)
    return (draws.tones(orders, np.where(orders % 2, 0.4, 1.0) / orders**0.7, rng),)


def _looseness(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    """Halves of the shaft's orders, and a knock a turn."""
    halves = dataclasses.replace(draws.series(rng, 40, 4.0, 4.0), ratio=0.5, flutter_depth=0.3)
    return halves, dataclasses.replace(_blows(machine, rng, 1.0), spread=0.6, slip=0.04)


def _rubbing(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    high_hz = log_uniform(rng, 2500.0, 7000.0)
    touch = Noise(
        curve=draws.band_colour(rng, 0.25 * high_hz, high_hz), beat_order=1.0, beat_depth=1.0,
        beat_sharpness=rng.uniform(2.0, 8.0), flutter_depth=0.3, flutter_hz=8.0,
    )  # fmt: skip
    return (touch,)


def _blade_damage(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    """One blade unlike the rest: every order of the shaft around the pass tone, and a whoosh a turn."""
    orders = np.arange(1, 4 * machine.pass_order + 1)
    amplitudes = np.exp(rng.normal(0.0, 0.5, orders.size)) / orders**0.5
    whoosh = dataclasses.replace(draws.flow(rng), level_db=-3.0, beat_order=1.0, beat_depth=1.0, beat_sharpness=3.0)
    return draws.tones(orders, amplitudes, rng), whoosh


def _gear_tooth(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    sides = draws.passing(rng, machine.pass_order, 4, 6)
    return _blows(machine, rng, 1.0), dataclasses.replace(sides, level_db=-4.0)


def _gear_wear(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    """All teeth: strong mesh harmonics and a rough grind at mesh rate."""
    mesh = draws.series(rng, 8, 1.0, 3.0, step=machine.pass_order)
    grind = Noise(
        curve=draws.band_colour(rng, 600.0, 5000.0), level_db=-3.0, beat_order=float(machine.pass_order), beat_depth=0.8
    )
    return dataclasses.replace(mesh, wander=1e-3, wander_hz=15.0), grind


def _cavitation(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    """Collapsing bubbles: crackle at random moments and a rough hiss."""
    crackle = Impacts(
        at="clock", ratio=log_uniform(rng, 60.0, 400.0), slip=1.0, spread=1.0,
        modes=draws.random_modes(rng, 5, 1500.0, 7500.0, 4.0),
    )  # fmt: skip
    hiss = Noise(curve=draws.band_colour(rng, 2000.0, 7500.0), level_db=-2.0, flutter_depth=0.6, flutter_hz=60.0)
    return crackle, hiss


def _leak(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    low_hz = log_uniform(rng, 1000.0, 3500.0)
    return (Noise(curve=draws.band_colour(rng, low_hz, 7800.0, 12.0), flutter_depth=0.1, flutter_hz=3.0),)


def _dry_friction(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    """Grinding that comes and goes, with a squeak that wanders."""
    grind = Noise(curve=draws.band_colour(rng, 800.0, 5500.0), flutter_depth=0.6, flutter_hz=12.0, exponent=0.5)
    squeak = dataclasses.replace(_squeal(rng), level_db=-6.0, flutter_depth=1.2, flutter_hz=6.0)
    return grind, squeak


def _belt_squeal(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    return (_squeal(rng),)


def _squeal(rng: np.random.Generator) -> Layer:
    tone = draws.series(rng, 5, 8.0, 4.0)
    return dataclasses.replace(
        tone, fixed_hz=log_uniform(rng, 600.0, 3500.0), wander=0.02, wander_hz=6.0, flutter_depth=0.5, exponent=0.5
    )


def _electrical_hum(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    buzz = dataclasses.replace(draws.series(rng, 40, 3.0, 3.0), fixed_hz=100.0 if rng.uniform() < 0.6 else 120.0)
    return (buzz,)


def _contamination(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    """Grit: crunches at random moments."""
    ratio = log_uniform(rng, 20.0, 120.0)
    return (Impacts(at="clock", ratio=ratio, slip=1.0, spread=0.9, modes=_ring(machine, rng), exponent=0.3),)


def _rattle(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    """A loose cover: many uneven blows that come in fits."""
    return (
        Impacts(
            at="clock", ratio=log_uniform(rng, 25.0, 90.0), slip=0.5, spread=0.7, flutter_depth=0.6, flutter_hz=4.0,
            modes=draws.random_modes(rng, 6, 400.0, 6000.0, 10.0),
        ),
    )  # fmt: skip


def _rail_damage(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    """The carriage runs over a notch a few times a stroke."""
    turns_a_stroke = max(1.0, 0.5 * machine.drive.shaft_hz * machine.cycle.period_s * (1.0 - machine.cycle.rest))
    return (_blows(machine, rng, float(rng.integers(2, 7)) / turns_a_stroke),)


def _chatter(machine: Machine, rng: np.random.Generator) -> tuple[Layer, ...]:
    """The plunger does not sit: it hammers while it is held open."""
    blows = Impacts(at="clock", ratio=log_uniform(rng, 15.0, 50.0), slip=0.1, spread=0.3, modes=_ring(machine, rng))
    return (dataclasses.replace(blows, gate="open"),)


def _size(level_db: float, usual: float, most: float) -> float:
    return min(most, usual * 10.0 ** (level_db / 20.0))


def _clog(machine: Machine, level_db: float) -> Machine:
    """Flow is choked: the shaft slows down (0 dB: by 12 %), flow noise loses its highs and swells slowly."""
    slower = 1.0 - _size(level_db, 0.12, 0.5)
    choked = draws.shelf(-_size(level_db, 12.0, 30.0))
    layers = tuple(
        dataclasses.replace(
            layer, curve=layer.curve.plus(choked), flutter_depth=layer.flutter_depth + _size(level_db, 0.3, 0.8)
        )
        if isinstance(layer, Noise)
        else layer
        for layer in machine.layers
    )
    speeds = tuple(slower * speed for speed in machine.drive.speeds)
    return dataclasses.replace(machine, drive=dataclasses.replace(machine.drive, speeds=speeds), layers=layers)


def _jam(machine: Machine, level_db: float) -> Machine:
    """The carriage is held: slower strokes (0 dB: by 20 %), uneven in time."""
    drive, cycle = machine.drive, machine.cycle
    slower = 1.0 - _size(level_db, 0.2, 0.6)
    drive = dataclasses.replace(drive, speeds=tuple(slower * s for s in drive.speeds))
    cycle = dataclasses.replace(
        cycle, period_s=cycle.period_s / slower, jitter=cycle.jitter + _size(level_db, 0.1, 0.4)
    )
    return dataclasses.replace(machine, drive=drive, cycle=cycle)


def _valve_stick(machine: Machine, level_db: float) -> Machine:
    """It opens late, slowly, and sometimes (0 dB: one time in three) not at all."""
    cycle = dataclasses.replace(
        machine.cycle,
        ramp_s=machine.cycle.ramp_s + machine.cycle.period_s * _size(level_db, 0.08, 0.2),
        jitter=machine.cycle.jitter + _size(level_db, 0.15, 0.5),
        miss=_size(level_db, 0.33, 0.9),
    )
    return dataclasses.replace(machine, cycle=cycle)


ADDED: dict[str, _Adder] = {
    "bearing_outer": _bearing_outer,
    "bearing_inner": _bearing_inner,
    "bearing_ball": _bearing_ball,
    "imbalance": _imbalance,
    "misalignment": _misalignment,
    "looseness": _looseness,
    "rubbing": _rubbing,
    "blade_damage": _blade_damage,
    "gear_tooth": _gear_tooth,
    "gear_wear": _gear_wear,
    "cavitation": _cavitation,
    "leak": _leak,
    "dry_friction": _dry_friction,
    "belt_squeal": _belt_squeal,
    "electrical_hum": _electrical_hum,
    "contamination": _contamination,
    "rattle": _rattle,
    "rail_damage": _rail_damage,
    "chatter": _chatter,
}
CHANGED: dict[str, _Changer] = {"clog": _clog, "jam": _jam, "valve_stick": _valve_stick}

FAULTS: dict[str, tuple[str, ...]] = {
    "fan": (
        "blade_damage", "imbalance", "bearing_outer", "bearing_inner", "looseness", "rubbing", "belt_squeal",
        "electrical_hum", "rattle", "clog",
    ),
    "pump": (
        "cavitation", "leak", "bearing_outer", "bearing_inner", "imbalance", "misalignment", "looseness",
        "dry_friction", "clog",
    ),
    "gearbox": (
        "gear_tooth", "gear_wear", "bearing_outer", "bearing_inner", "bearing_ball", "misalignment", "looseness",
        "dry_friction",
    ),
    "bearing": (
        "bearing_outer", "bearing_inner", "bearing_ball", "contamination", "dry_friction", "imbalance", "looseness",
        "electrical_hum",
    ),
    "valve": ("leak", "chatter", "contamination", "electrical_hum", "rattle", "valve_stick"),
    "slider": ("dry_friction", "rail_damage", "belt_squeal", "bearing_outer", "looseness", "contamination", "jam"),
}  # fmt: skip


def check_fault(machine: Machine, fault: Fault) -> None:
    """Raise DataError unless `fault` is one that this kind of machine can have, naming those it can."""
    known = FAULTS.get(machine.kind, ())
    if fault.name not in known:
        raise DataError(
            f"simulator: a {machine.kind} has no fault {fault.name!r}", remedy=f"choose one of {', '.join(known)}"
        )
    if fault.onset_s < 0:
        raise DataError(f"simulator: fault onset {fault.onset_s} s is before the start", remedy="give 0 or more")

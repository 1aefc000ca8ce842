"""How each kind of machine is built: several designs a kind, every measure of them drawn at random.

The kinds are loose families. Fans include multi-rotor propellers, pumps include piston compressors, gearboxes include
lathe spindles that cut, bearings include brushless motors: a network taught on them meets all of these later.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from edge_asd.simulator import draws
from edge_asd.simulator.draws import chance, log_uniform
from edge_asd.simulator.machines import Bearing, Cycle, Drive, Impacts, Layer, Machine, Noise, Tones


def _fan(rng: np.random.Generator) -> Machine:
    """Axial, centrifugal, or up to four propellers that turn nearly, but never exactly, together."""
    propellers = chance(rng, 0.3)
    blades = int(rng.integers(2, 4)) if propellers else int(rng.choice((3, 4, 5, 6, 7, 8, 9, 11, 13, 24, 36, 48)))
    shaft_hz = log_uniform(rng, 45.0, 220.0) if propellers else log_uniform(rng, 8.0, 90.0)
    layers: list[Layer] = []
    rotors = int(rng.choice((1, 2, 4))) if propellers else 1
    for _ in range(rotors):
        tone = draws.passing(
            rng, blades, int(rng.integers(2, 30)), int(rng.integers(0, 4)), exponent=rng.uniform(1, 2.5)
        )
        layers.append(
            dataclasses.replace(
                tone,
                ratio=1.0 + rng.normal(0.0, 0.03) * (rotors > 1),
                level_db=rng.uniform(-12.0, 8.0) if propellers else rng.uniform(-25.0, 4.0),
                wander=log_uniform(rng, 1e-4, 2e-2) if propellers else log_uniform(rng, 1e-5, 1e-3),
                wander_hz=log_uniform(rng, 0.5, 10.0),
                flutter_depth=rng.uniform(0.0, 0.4),
            )
        )
    layers.append(_shaft_tones(rng, rng.uniform(-30.0, 0.0)))
    layers.append(
        draws.flow(
            rng, beat_order=float(blades), beat_depth=rng.uniform(0.0, 0.8), beat_sharpness=rng.uniform(0.0, 3.0)
        )
    )
    if chance(rng, 0.5):
        layers.append(draws.flow(rng, level_db=rng.uniform(-15.0, 0.0)))
    bearing = draws.random_bearing(rng)
    _add_motor(rng, layers, bearing, brushless=propellers)
    spread = 0.35 if propellers or chance(rng, 0.3) else 0.75
    return _assembled("fan", rng, layers, bearing, shaft_hz, blades, spread)


def _pump(rng: np.random.Generator) -> Machine:
    """Centrifugal, vane, or piston (slow strokes with breathing valves, as in a compressor)."""
    piston = chance(rng, 0.4)
    vanes = int(rng.integers(1, 5)) if piston else int(rng.integers(3, 13))
    shaft_hz = log_uniform(rng, 4.0, 40.0) if piston else log_uniform(rng, 15.0, 65.0)
    layers: list[Layer] = [
        dataclasses.replace(
            draws.passing(
                rng, vanes, int(rng.integers(4, 40)), int(rng.integers(0, 3)), exponent=rng.uniform(0.8, 2.0)
            ),
            level_db=rng.uniform(-15.0, 5.0),
            load_db=rng.normal(0.0, 1.5),
            flutter_depth=rng.uniform(0.0, 0.3),
        ),
        _shaft_tones(rng, rng.uniform(-20.0, 2.0)),
        draws.flow(
            rng,
            beat_order=float(vanes),
            beat_depth=rng.uniform(0.3, 1.0) if piston else rng.uniform(0.0, 0.5),
            beat_sharpness=rng.uniform(0.0, 8.0) if piston else 0.0,
        ),
    ]
    if piston:
        layers.append(_knocks(rng, float(vanes), rng.uniform(-12.0, 5.0)))
    if chance(rng, 0.4):
        layers.append(draws.flow(rng, level_db=rng.uniform(-15.0, 0.0)))
    bearing = draws.random_bearing(rng)
    _add_motor(rng, layers, bearing, brushless=False)
    return _assembled("pump", rng, layers, bearing, shaft_hz, vanes, 0.7)


def _gearbox(rng: np.random.Generator) -> Machine:
    """One or two meshes, spur or helical; some drive a spindle whose tool cuts."""
    teeth = int(rng.integers(11, 70))
    shaft_hz = log_uniform(rng, 4.0, 50.0)
    mesh = draws.passing(rng, teeth, int(rng.integers(2, 10)), int(rng.integers(1, 6)), exponent=rng.uniform(0.5, 1.5))
    layers: list[Layer] = [
        dataclasses.replace(mesh, level_db=rng.uniform(-12.0, 6.0), load_db=rng.normal(0.0, 2.0)),
        _shaft_tones(rng, rng.uniform(-20.0, 0.0)),
    ]
    if chance(rng, 0.6):
        second = draws.passing(rng, int(rng.integers(11, 60)), int(rng.integers(2, 8)), int(rng.integers(1, 5)))
        ratio = teeth / float(rng.integers(13, 90))
        layers.append(dataclasses.replace(second, ratio=ratio, level_db=rng.uniform(-15.0, 3.0), exponent=1.0))
    if chance(rng, 0.5):
        # Teeth also meet with small blows, one a tooth, that ring the casing.
        layers.append(_knocks(rng, float(teeth), rng.uniform(-18.0, 0.0)))
    layers.append(draws.flow(rng, level_db=rng.uniform(-20.0, 0.0)))
    if chance(rng, 0.4):
        layers.append(_scraping(rng, rng.uniform(-8.0, 8.0)))
    bearing = draws.random_bearing(rng)
    _add_motor(rng, layers, bearing, brushless=chance(rng, 0.3))
    return _assembled("gearbox", rng, layers, bearing, shaft_hz, teeth, 0.5)


def _bearing(rng: np.random.Generator) -> Machine:
    """A shaft in bearings, driven by an induction or a brushless motor: little but rolling and magnetic sound."""
    brushless = chance(rng, 0.5)
    shaft_hz = log_uniform(rng, 20.0, 250.0) if brushless else log_uniform(rng, 8.0, 60.0)
    poles = int(rng.integers(4, 49))
    magnetic = draws.passing(
        rng, poles, int(rng.integers(2, 12)), int(rng.integers(0, 3)), exponent=rng.uniform(0.3, 1.8)
    )
    bearing = draws.random_bearing(rng)
    layers: list[Layer] = [
        dataclasses.replace(
            magnetic,
            level_db=rng.uniform(-15.0, 6.0),
            wander=log_uniform(rng, 1e-5, 5e-3),
            load_db=rng.normal(0.0, 2.0),
        ),
        _shaft_tones(rng, rng.uniform(-18.0, 3.0)),
        *draws.rolling(rng, rng.uniform(-10.0, 5.0), bearing),
        draws.flow(rng, level_db=rng.uniform(-20.0, -2.0)),
    ]
    _add_motor(rng, layers, bearing, brushless)
    return _assembled("bearing", rng, layers, bearing, shaft_hz, poles, 0.3 if brushless else 0.7)


def _valve(rng: np.random.Generator) -> Machine:
    """A solenoid or air valve that opens and shuts in rhythm: clicks, hiss while open, a supply running behind."""
    period_s = log_uniform(rng, 0.15, 2.5)
    cycle = Cycle("open", period_s, rng.uniform(0.3, 0.9), rng.uniform(0.001, 0.08), rng.uniform(0.0, 0.15))
    low_hz = log_uniform(rng, 200.0, 3000.0)
    hiss = Noise(
        level_db=rng.uniform(-6.0, 6.0),
        curve=draws.band_colour(
            rng, low_hz, min(14000.0, low_hz * log_uniform(rng, 1.5, 12.0)), rng.uniform(3.0, 15.0)
        ),
        gate="open",
        flutter_depth=rng.uniform(0.0, 0.4),
        flutter_hz=log_uniform(rng, 3.0, 80.0),
        load_db=rng.normal(0.0, 1.0),
    )
    clicks = Impacts(
        level_db=rng.uniform(-12.0, 6.0),
        at="click",
        slip=rng.uniform(0.0, 3.0),
        spread=rng.uniform(0.05, 0.4),
        modes=draws.random_modes(rng, int(rng.integers(3, 16)), 150.0, 7000.0, log_uniform(rng, 4.0, 40.0)),
    )
    layers: list[Layer] = [hiss, clicks, draws.flow(rng, level_db=rng.uniform(-25.0, -6.0))]
    if chance(rng, 0.5):
        layers.append(dataclasses.replace(draws.hum(rng, rng.uniform(-15.0, 0.0)), gate="open"))
    bearing = draws.random_bearing(rng)
    if chance(rng, 0.5):
        layers.append(_shaft_tones(rng, rng.uniform(-25.0, -6.0)))
        _add_motor(rng, layers, bearing, brushless=False)
    return _assembled("valve", rng, layers, bearing, log_uniform(rng, 10.0, 60.0), int(rng.integers(3, 13)), 0.9, cycle)


def _slider(rng: np.random.Generator) -> Machine:
    """A carriage on a rail moved by belt, screw or stepper: strokes out and back, with blows at the turns."""
    period_s = log_uniform(rng, 0.4, 6.0)
    cycle = Cycle(
        "stroke", period_s, rng.uniform(0.0, 0.5), period_s * rng.uniform(0.02, 0.2), rng.uniform(0.0, 0.06),
        back=rng.uniform(0.5, 1.3),
    )  # fmt: skip
    shaft_hz = log_uniform(rng, 5.0, 60.0)
    steps = int(rng.choice((8, 12, 20, 36, 48, 50, 100, 200)))
    drive_tone = draws.passing(
        rng, steps, int(rng.integers(1, 8)), int(rng.integers(0, 4)), exponent=rng.uniform(0.5, 1.5)
    )
    layers: list[Layer] = [
        dataclasses.replace(drive_tone, level_db=rng.uniform(-20.0, 5.0)),
        dataclasses.replace(_shaft_tones(rng, rng.uniform(-20.0, 0.0)), exponent=1.0),
        _scraping(rng, rng.uniform(-8.0, 6.0)),
        dataclasses.replace(_knocks(rng, 1.0, rng.uniform(-15.0, 3.0)), at="click", exponent=0.0),
        dataclasses.replace(draws.flow(rng, level_db=rng.uniform(-30.0, -8.0)), exponent=0.0, follows=0.0),
    ]
    bearing = draws.random_bearing(rng)
    layers.extend(draws.rolling(rng, rng.uniform(-15.0, 3.0), bearing))
    if chance(rng, 0.4):
        layers.append(draws.converter(rng, rng.uniform(-30.0, -8.0)))
    return _assembled("slider", rng, layers, bearing, shaft_hz, steps, 0.7, cycle)


def _shaft_tones(rng: np.random.Generator, level_db: float) -> Tones:
    """Low orders of the shaft itself: every rotor is a little out of balance."""
    return draws.series(
        rng, int(rng.integers(3, 60)), rng.uniform(2.0, 12.0), rng.uniform(2.0, 9.0),
        level_db=level_db, exponent=rng.uniform(0.5, 2.0), load_db=rng.normal(0.0, 1.0),
    )  # fmt: skip


def _knocks(rng: np.random.Generator, ratio: float, level_db: float) -> Impacts:
    """Normal blows of pistons, teeth or end stops."""
    return Impacts(
        level_db=level_db,
        ratio=ratio,
        slip=rng.uniform(0.0, 0.02),
        spread=rng.uniform(0.05, 0.4),
        modes=draws.random_modes(rng, int(rng.integers(2, 14)), 100.0, 6000.0, log_uniform(rng, 4.0, 30.0)),
        exponent=rng.uniform(0.5, 1.5),
        load_db=rng.normal(0.0, 1.5),
    )


def _scraping(rng: np.random.Generator, level_db: float) -> Noise:
    """Sliding or cutting: a band of uneven noise that follows the speed."""
    low_hz = log_uniform(rng, 150.0, 2500.0)
    return Noise(
        level_db=level_db,
        curve=draws.band_colour(rng, low_hz, low_hz * log_uniform(rng, 1.5, 20.0), rng.uniform(3.0, 12.0)),
        exponent=rng.uniform(0.6, 1.6),
        follows=rng.uniform(0.0, 0.6),
        beat_order=float(rng.integers(1, 6)),
        beat_depth=rng.uniform(0.0, 0.7),
        flutter_depth=rng.uniform(0.0, 0.7),
        flutter_hz=log_uniform(rng, 2.0, 150.0),
        load_db=rng.normal(0.0, 2.0),
    )


def _add_motor(rng: np.random.Generator, layers: list[Layer], bearing: Bearing, brushless: bool) -> None:
    """Append what drives the machine: hum or converter whine, slot tones, its bearings."""
    if brushless or chance(rng, 0.2):
        layers.append(draws.converter(rng, rng.uniform(-35.0, -8.0)))
    if not brushless and chance(rng, 0.6):
        layers.append(draws.hum(rng, rng.uniform(-25.0, 0.0)))
    if chance(rng, 0.5):
        slots = draws.passing(
            rng, int(rng.integers(12, 90)), int(rng.integers(1, 4)), 2, exponent=rng.uniform(0.3, 1.5)
        )
        layers.append(dataclasses.replace(slots, level_db=rng.uniform(-30.0, -5.0), load_db=rng.normal(0.0, 2.0)))
    if chance(rng, 0.5):
        layers.extend(draws.rolling(rng, rng.uniform(-25.0, -6.0), bearing))


def _assembled(
    kind: str,
    rng: np.random.Generator,
    layers: list[Layer],
    bearing: Bearing,
    shaft_hz: float,
    pass_order: int,
    slowest: float,
    cycle: Cycle | None = None,
) -> Machine:
    """Put casing and drive around the layers."""
    if chance(rng, 0.3):
        layers.append(draws.ringing_noise(rng, rng.uniform(-20.0, 5.0)))
    if cycle is None:
        # Ventilation runs for days; what a controller starts and stops is pumps and motors.
        cycle = draws.on_and_off(rng) if kind != "fan" and chance(rng, 0.12) else Cycle()
    drive = Drive(
        shaft_hz,
        speeds=draws.speeds(rng, slowest),
        continuous=chance(rng, 0.3),
        change_chance=0.3 if chance(rng, 0.3) else 0.0,
        drift=log_uniform(rng, 2e-4, 1.5e-2),
        jitter=log_uniform(rng, 1e-4, 6e-3),
        wobble=log_uniform(rng, 1e-4, 2e-2),
        wobble_hz=log_uniform(rng, 0.1, 8.0),
    )
    body = draws.random_colour(rng, rng.uniform(1.0, 6.0), (-4.0, 3.0))
    modes = draws.body_modes(rng)
    return Machine(kind, drive, draws.balanced(layers), cycle, body, modes, max(1, pass_order), bearing)


DESIGNS: dict[str, Callable[[np.random.Generator], Machine]] = {
    "fan": _fan,
    "pump": _pump,
    "gearbox": _gearbox,
    "bearing": _bearing,
    "valve": _valve,
    "slider": _slider,
}

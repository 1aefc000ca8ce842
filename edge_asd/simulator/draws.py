"""Random parts that every design draws from: colours, resonances, harmonic series, and levels that add up to one."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from edge_asd.simulator.machines import Bearing, Cycle, Impacts, Layer, Noise, Tones
from edge_asd.simulator.noise import Curve
from edge_asd.simulator.resonance import Mode


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between low and high, every octave as likely as any other."""
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with the given probability."""
    return bool(rng.uniform() < probability)


def random_colour(rng: np.random.Generator, spread_db: float, tilt_db: tuple[float, float] = (0.0, 0.0)) -> Curve:
    """A smooth random spectrum: a slope drawn from `tilt_db` per octave, and bumps of `spread_db` around it."""
    hz = np.geomspace(25.0, 20000.0, int(rng.integers(6, 22)))
    db = rng.uniform(*tilt_db) * np.log2(hz / 500.0) + rng.normal(0.0, spread_db, hz.size)
    return Curve(tuple(hz.tolist()), tuple(db.tolist()))


def band_colour(rng: np.random.Generator, low_hz: float, high_hz: float, skirt_db: float = 9.0) -> Curve:
    """Noise of one band, falling by about `skirt_db` an octave outside it, with some random bumps inside."""
    inside = np.geomspace(low_hz, high_hz, 5)
    hz = np.concatenate(([low_hz / 16.0], inside, [high_hz * 16.0]))
    db = np.concatenate(([-4.0 * skirt_db], rng.normal(0.0, 3.0, 5), [-4.0 * skirt_db]))
    return Curve(tuple(hz.tolist()), tuple(db.tolist()))


def random_modes(rng: np.random.Generator, count: int, low_hz: float, high_hz: float, q: float) -> tuple[Mode, ...]:
    """`count` resonances anywhere between two frequencies; quality factors within a factor of 3 about `q`."""
    modes = []
    for _ in range(count):
        hz = log_uniform(rng, low_hz, high_hz)
        quality = q * log_uniform(rng, 1 / 3, 3.0)
        modes.append(Mode(hz, min(0.15, quality / (math.pi * hz)), float(rng.normal())))
    return tuple(modes)


def body_modes(rng: np.random.Generator) -> tuple[Mode, ...]:
    """A casing: between none and a dozen resonances."""
    return random_modes(rng, int(rng.integers(0, 13)), 80.0, 7000.0, log_uniform(rng, 4.0, 40.0))


def series(
    rng: np.random.Generator, count: int, slope_db: float, ripple_db: float, step: int = 1, **more: Any
) -> Tones:
    """Harmonics step, 2 step, ... falling by `slope_db` an octave, each off by a random `ripple_db`."""
    index = np.arange(1, count + 1)
    level = -slope_db * np.log2(index) + rng.normal(0.0, ripple_db, count)
    return tones(index * step, 10.0 ** (level / 20.0), rng, **more)


def passing(rng: np.random.Generator, order: int, count: int, sidebands: int, **more: Any) -> Tones:
    """Harmonics of a blade-pass, vane-pass or mesh order, each between sidebands one turn apart.

    Unequal blades and eccentric gears modulate the pass tone once a turn: that is where sidebands come from.
    """
    orders: list[int] = []
    amplitudes: list[float] = []
    slope_db, ripple_db, side_db = rng.uniform(0.0, 12.0), rng.uniform(2.0, 8.0), rng.uniform(-35.0, -6.0)
    for harmonic in range(1, count + 1):
        level = -slope_db * math.log2(harmonic) + rng.normal(0.0, ripple_db)
        for side in range(-sidebands, sidebands + 1):
            if harmonic * order + side > 0:
                orders.append(harmonic * order + side)
                side_level = 0.0 if side == 0 else side_db - 4.0 * (abs(side) - 1) + rng.normal(0.0, 4.0)
                amplitudes.append(10.0 ** ((level + side_level) / 20.0))
    return tones(np.array(orders), np.array(amplitudes), rng, **more)


def tones(orders: np.ndarray, amplitudes: np.ndarray, rng: np.random.Generator, **more: Any) -> Tones:
    """A Tones layer with random phases."""
    phases = rng.uniform(0.0, 2.0 * math.pi, len(orders))
    layer = Tones(
        orders=tuple(int(k) for k in orders),
        amplitudes=tuple(float(a) for a in amplitudes),
        phases=tuple(float(p) for p in phases),
    )
    return dataclasses.replace(layer, **more)


def flow(rng: np.random.Generator, **more: Any) -> Noise:
    """Flow noise: any tilt, turbulent, louder and higher with speed."""
    tilt = rng.uniform(-9.0, 2.0)
    layer = Noise(
        curve=random_colour(rng, rng.uniform(1.0, 6.0), (tilt, tilt)),
        exponent=rng.uniform(1.0, 2.8),
        follows=rng.uniform(0.0, 1.0),
        flutter_depth=rng.uniform(0.0, 0.35),
        flutter_hz=log_uniform(rng, 0.5, 60.0),
        load_db=rng.normal(0.0, 1.0),
    )
    return dataclasses.replace(layer, **more)


def hum(rng: np.random.Generator, level_db: float) -> Tones:
    """Mains hum, 50 or 60 Hz; magnetic force pulls twice a period, so even harmonics may lead."""
    base_hz = (50.0 if chance(rng, 0.6) else 60.0) * (2.0 if chance(rng, 0.5) else 1.0)
    layer = series(rng, int(rng.integers(3, 30)), rng.uniform(3.0, 14.0), rng.uniform(2.0, 8.0))
    return dataclasses.replace(
        layer, level_db=level_db, fixed_hz=base_hz, wander=2e-4, wander_hz=0.2, load_db=rng.normal(0.0, 1.0)
    )


def converter(rng: np.random.Generator, level_db: float) -> Tones:
    """The whine of a switching converter, its pairs of sidebands moving with the motor's electrical frequency."""
    layer = series(rng, int(rng.integers(1, 4)), rng.uniform(0.0, 9.0), 4.0)
    return dataclasses.replace(
        layer,
        level_db=level_db,
        fixed_hz=log_uniform(rng, 1500.0, 16000.0),
        wander=log_uniform(rng, 1e-5, 1e-3),
        beat_order=float(rng.integers(2, 25)),
        beat_depth=rng.uniform(0.0, 1.0),
        flutter_depth=rng.uniform(0.0, 0.2),
    )


def rolling(rng: np.random.Generator, level_db: float, bearing: Bearing) -> tuple[Layer, ...]:
    """A sound bearing: rolling noise swelling once a turn, and the faint ticks of elements passing the load."""
    high_hz = log_uniform(rng, 1500.0, 9000.0)
    noise = Noise(
        level_db=level_db,
        curve=band_colour(rng, high_hz * rng.uniform(0.05, 0.5), high_hz, rng.uniform(3.0, 12.0)),
        exponent=rng.uniform(0.6, 1.5),
        beat_order=1.0 if chance(rng, 0.6) else bearing.outer,
        beat_depth=rng.uniform(0.0, 0.5),
        flutter_depth=rng.uniform(0.0, 0.4),
        flutter_hz=log_uniform(rng, 2.0, 200.0),
    )
    ticks = Impacts(
        level_db=level_db - rng.uniform(3.0, 20.0),
        ratio=bearing.outer,
        slip=rng.uniform(0.01, 0.3),
        spread=rng.uniform(0.1, 0.8),
        modes=random_modes(rng, int(rng.integers(2, 8)), 600.0, 7500.0, 12.0),
        exponent=rng.uniform(0.3, 1.2),
    )
    return noise, ticks


def ringing_noise(rng: np.random.Generator, level_db: float, **more: Any) -> Impacts:
    """Narrow bands that tremble: a dense rain of blows on lightly damped parts, as of a cutting tool or thin sheet."""
    layer = Impacts(
        level_db=level_db,
        at="clock",
        ratio=log_uniform(rng, 150.0, 3000.0),
        slip=1.0,
        spread=rng.uniform(0.1, 0.8),
        modes=random_modes(rng, int(rng.integers(2, 25)), 80.0, 7800.0, log_uniform(rng, 15.0, 150.0)),
        exponent=rng.uniform(0.5, 1.5),
        flutter_depth=rng.uniform(0.0, 0.5),
        flutter_hz=log_uniform(rng, 1.0, 40.0),
        load_db=rng.normal(0.0, 1.5),
    )
    return dataclasses.replace(layer, **more)


def on_and_off(rng: np.random.Generator) -> Cycle:
    """Runs for a while, coasts to a stop, starts again, not always at the same speed."""
    period_s = log_uniform(rng, 2.0, 16.0)
    return Cycle(
        "stroke", period_s, rng.uniform(0.05, 0.4), log_uniform(rng, 0.03, 1.0), rng.uniform(0.0, 0.1),
        back=rng.uniform(0.6, 1.4),
    )  # fmt: skip


def random_bearing(rng: np.random.Generator) -> Bearing:
    """Defect orders from a bearing's geometry: n elements, ball / pitch diameter d, contact angle cosine folded in d.

    Outer n/2 (1 - d), inner n/2 (1 + d), ball (1 - d^2) / d (both races), cage (1 - d) / 2: Randall and Antoni,
    Rolling element bearing diagnostics, 2011.
    """
    n, d = int(rng.integers(6, 17)), rng.uniform(0.12, 0.35)
    return Bearing(n / 2 * (1 - d), n / 2 * (1 + d), (1 - d * d) / d, (1 - d) / 2)


def speeds(rng: np.random.Generator, low: float) -> tuple[float, ...]:
    """One to five operating points between `low` and 1.15 of nominal."""
    count = int(rng.choice((1, 1, 2, 3, 5)))
    return (1.0,) if count == 1 else tuple(float(s) for s in rng.uniform(low, 1.15, count))


def balanced(layers: list[Layer]) -> tuple[Layer, ...]:
    """The same layers with their powers adding up to 0 dB."""
    total_db = 10.0 * math.log10(sum(10.0 ** (layer.level_db / 10.0) for layer in layers))
    return tuple(dataclasses.replace(layer, level_db=layer.level_db - total_db) for layer in layers)


def shelf(db: float) -> Curve:
    """A change of `db` above 2 kHz, nothing below 500 Hz."""
    return Curve((500.0, 2000.0), (0.0, db))

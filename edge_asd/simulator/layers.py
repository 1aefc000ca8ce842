"""Makes the layers of a machine sound along one run of it."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np

from edge_asd.simulator.machines import Impacts, Layer, Machine, Noise, Tones
from edge_asd.simulator.noise import flutter, shaped_noise, slow_walk
from edge_asd.simulator.operation import Operation
from edge_asd.simulator.resonance import convolve, crossings, minimum_phase, pulses, ringing
from edge_asd.simulator.tones import TABLE_SIZE, beat, read_table, turn_table


def sound(layers: Iterable[Layer], run: Operation, rng: np.random.Generator) -> np.ndarray:
    """The layers' sum at the casing, float32 [n]; each has its level's power at nominal speed."""
    total = np.zeros(run.n, np.float32)
    for layer in layers:
        # Each layer has its own stream, so that changing one leaves the others as they were.
        own = np.random.default_rng(rng.integers(2**63))
        if isinstance(layer, Tones):
            wave = _tones(layer, run, own)
        elif isinstance(layer, Noise):
            wave = shaped_noise(run.n, run.rate_hz, layer.curve.moved(_mean_speed(run) ** layer.follows), own)
        elif isinstance(layer, Impacts):
            wave = _impacts(layer, run, own)
        else:
            raise TypeError(f"no such layer: {layer!r}")
        total += _shape(wave, layer, run, own)
    return total


def through_body(wave: np.ndarray, machine: Machine, rate_hz: int) -> np.ndarray:
    """A sound inside the machine as it leaves the casing, float32 [n]."""
    return convolve(wave, _body(machine, rate_hz))


@functools.lru_cache(maxsize=16)
def _body(machine: Machine, rate_hz: int) -> np.ndarray:
    colour = minimum_phase(machine.body, rate_hz)
    if not machine.modes:
        return colour
    ring = ringing(machine.modes, rate_hz)
    direct = np.zeros(ring.size + colour.size - 1, np.float32)
    direct[: ring.size] = ring
    direct[0] += 1.0
    return convolve(direct, colour)


def _mean_speed(run: Operation) -> float:
    """Mean relative speed while it moves; 1 for a machine at rest."""
    moving = run.speed[run.speed > 0.05]
    return float(moving.mean()) if moving.size else 1.0


def _shape(wave: np.ndarray, layer: Layer, run: Operation, rng: np.random.Generator) -> np.ndarray:
    """Apply what all layers share: level, load, speed, flutter, beat, gate. Works in place."""
    gain = 10.0 ** ((layer.level_db + layer.load_db * run.load) / 20.0)
    if layer.exponent:
        low, high = float(run.speed.min()), float(run.speed.max())
        if high - low < 0.03 * high:
            gain *= (0.5 * (low + high)) ** layer.exponent
        else:
            wave *= run.speed ** np.float32(layer.exponent)
    if layer.flutter_depth > 0.0:
        wave *= flutter(run.n, run.rate_hz, layer.flutter_depth, layer.flutter_hz, rng)
    if layer.beat_depth > 0.0:
        wave *= beat(run.turns, layer.beat_order, layer.beat_depth, layer.beat_sharpness)
    if layer.gate == "open":
        wave *= run.opening
    wave *= np.float32(gain)
    return wave


def _tones(layer: Tones, run: Operation, rng: np.random.Generator) -> np.ndarray:
    """Unit-power harmonic series, float32 [n]; orders that would alias at the run's top speed are left out."""
    if layer.fixed_hz > 0.0:
        turns = np.arange(run.n) * (layer.fixed_hz / run.rate_hz) + rng.uniform()
        top_hz = layer.fixed_hz
    else:
        turns = run.turns * layer.ratio
        top_hz = run.shaft_hz * layer.ratio * float(run.speed.max())
    if layer.wander > 0.0:
        departure = np.cumsum(slow_walk(run.n, run.rate_hz, layer.wander_hz, rng), dtype=np.float64)
        turns = turns + departure * (layer.wander * top_hz / run.rate_hz)
        top_hz *= 1.0 + 4.0 * layer.wander
    orders, amplitudes, phases = (np.asarray(v) for v in (layer.orders, layer.amplitudes, layer.phases))
    power = float(np.dot(amplitudes, amplitudes)) / 2.0
    keep = (orders * top_hz < 0.48 * run.rate_hz) & (orders < TABLE_SIZE // 2)
    if not keep.any() or power <= 0.0:
        return np.zeros(run.n, np.float32)
    table = turn_table(orders[keep], amplitudes[keep] / np.sqrt(power), phases[keep])
    return read_table(table, turns)


def _impacts(layer: Impacts, run: Operation, rng: np.random.Generator) -> np.ndarray:
    """Blows through their modes, float32 [n], unit power at nominal speed ("click": unit power one second a blow)."""
    if layer.at == "click":
        places, blows_hz = run.clicks + rng.normal(0.0, 1e-3 * layer.slip * run.rate_hz, run.clicks.size), 1.0
    elif layer.at == "clock":
        seconds = np.arange(run.n) / run.rate_hz
        places, blows_hz = crossings(seconds, layer.ratio, layer.slip, rng), layer.ratio
    else:
        places, blows_hz = crossings(run.turns, layer.ratio, layer.slip, rng), layer.ratio * run.shaft_hz
    heights = np.exp(layer.spread * rng.standard_normal(places.size) - layer.spread**2)
    heights *= np.sqrt(run.rate_hz / blows_hz)
    return convolve(pulses(run.n, places, heights), ringing(layer.modes, run.rate_hz))

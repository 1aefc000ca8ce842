"""More variety for generated sound than the simulator's own draws: each family has a probability of its own in
`DataSettings`, so that what it is worth can be measured.

Three change the machine (`varied`), three what happens to its sound on the way into the file (`weathered`). numpy only;
all randomness comes from the generators passed in.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from edge_asd.simulator import Machine
from edge_asd.simulator.draws import body_modes, chance, log_uniform, on_and_off
from edge_asd.simulator.machines import Impacts, Layer, Tones
from edge_asd.simulator.noise import slow_walk
from edge_asd.simulator.resonance import Mode, convolve
from export.generated import factory
from export.generated.channel import mixed, rms
from export.recipe import DataSettings

SPEED_OF_SOUND_M_S = 343.0
HIGHEST_MODE_HZ = 7600.0
EARLY_S = 0.06
"""Reflections later than this are left to the simulator's own reverberation."""


def varied(machine: Machine, data: DataSettings, rng: np.random.Generator) -> Machine:
    """The machine with a livelier drive, a companion on its frame or a richer structure, as the settings say."""
    if chance(rng, data.profile_probability):
        machine = with_profile(machine, rng)
    if chance(rng, data.coupled_probability):
        machine = with_companion(machine, rng)
    if chance(rng, data.structure_probability):
        machine = dataclasses.replace(machine, modes=structure(rng))
    return machine


def with_profile(machine: Machine, rng: np.random.Generator) -> Machine:
    """Ramps between operating points, a governor that hunts, or (not for a machine with a rhythm) starts and stops."""
    drive = machine.drive
    what = rng.integers(3)
    if what == 0:
        low, high = rng.uniform(0.3, 0.9), rng.uniform(0.95, 1.3)
        drive = dataclasses.replace(drive, speeds=(low, high), continuous=True, change_chance=0.9)
    elif what == 1:
        drive = dataclasses.replace(
            drive, wobble=log_uniform(rng, 0.01, 0.12), wobble_hz=log_uniform(rng, 0.1, 2.0), drift=rng.uniform(0, 0.02)
        )
    elif machine.cycle.shape == "steady":
        return dataclasses.replace(machine, cycle=on_and_off(rng))
    layers = tuple(dataclasses.replace(layer, load_db=2.0 * layer.load_db) for layer in machine.layers)
    return dataclasses.replace(machine, drive=drive, layers=layers)


def with_companion(machine: Machine, rng: np.random.Generator) -> Machine:
    """A second machine of the same build on the same frame, turning nearly as fast: tones beat with each other."""
    ratio = 1.0 + rng.choice((-1.0, 1.0)) * log_uniform(rng, 5e-4, 0.05)
    lower_db = rng.uniform(0.0, 9.0)

    def second(layer: Layer) -> Layer:
        layer = dataclasses.replace(layer, level_db=layer.level_db - lower_db)
        if isinstance(layer, Tones):
            phases = tuple(float(p) for p in rng.uniform(0.0, 2.0 * math.pi, len(layer.phases)))
            return dataclasses.replace(layer, ratio=layer.ratio * ratio, phases=phases)
        if isinstance(layer, Impacts) and layer.at == "turn":
            return dataclasses.replace(layer, ratio=layer.ratio * ratio)
        return layer

    turning = [second(layer) for layer in machine.layers if isinstance(layer, Tones | Impacts)]
    return dataclasses.replace(machine, layers=(*machine.layers, *turning))


def structure(rng: np.random.Generator) -> tuple[Mode, ...]:
    """What the sound leaves through: a duct, a plate or a housing.

    A duct closed at one end rings at odd multiples of c / 4 L. A plate's modes are about equally dense everywhere
    (Cremer and Heckl, Structure-borne sound), here 15 to 60 of them. A housing has a cavity tone under its walls' own.
    """
    what = rng.integers(3)
    decay = log_uniform(rng, 0.3, 3.0)
    if what == 0:
        first_hz = SPEED_OF_SOUND_M_S / 4.0 / log_uniform(rng, 0.06, 3.0)
        tones_hz = first_hz * np.arange(1, 40, 1 + int(rng.integers(2)))
        quality, tilt = log_uniform(rng, 6.0, 40.0), rng.uniform(0.0, 0.8)
    elif what == 1:
        tones_hz = np.sort(rng.uniform(60.0, HIGHEST_MODE_HZ, int(rng.integers(15, 61))))
        quality, tilt = log_uniform(rng, 15.0, 120.0), rng.uniform(-0.2, 0.8)
    else:
        cavity_hz = log_uniform(rng, 80.0, 900.0)
        walls = [mode.hz for mode in body_modes(rng)]
        tones_hz = np.array([cavity_hz, *walls])
        quality, tilt = log_uniform(rng, 5.0, 60.0), 0.3
    tones_hz = tones_hz[tones_hz < HIGHEST_MODE_HZ]
    gains = rng.normal(0.0, 1.0, tones_hz.size) * (tones_hz / 500.0) ** -tilt
    seconds = np.minimum(0.15, decay * quality / (math.pi * tones_hz))
    return tuple(Mode(*map(float, mode)) for mode in zip(tones_hz, seconds, gains, strict=True))


def weathered(
    samples: np.ndarray, rate_hz: int, data: DataSettings, place: np.random.Generator, run: np.random.Generator
) -> np.ndarray:
    """A clip as it comes through walls, over factory sound and out of a poor microphone, float32 [n].

    place: decides what stays the same for a scene (always in the same state for it); run: what is drawn anew.
    """
    if chance(place, data.walls_probability):
        samples = convolve(samples, early_reflections(rate_hz, place))
    has_factory, kinds = chance(place, data.factory_probability), factory.some(place)
    snr_db = place.uniform(*data.factory_snr_db)
    if has_factory:
        samples = mixed(samples, factory.sounds(kinds, samples.size, rate_hz, run), snr_db)
    if chance(place, data.microphone_probability):
        samples = microphone(samples, rate_hz, place, run)
    return samples.astype(np.float32)


def early_reflections(rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Direct sound and the images of first to third order in a box, float32 [m] (Allen and Berkley, 1979).

    Wide apart they colour, close to a wall they comb: what a microphone on a bracket hears.
    """
    size = np.array([log_uniform(rng, 1.5, 20.0), log_uniform(rng, 1.5, 20.0), rng.uniform(2.0, 8.0)])
    source, ear = size * rng.uniform(0.05, 0.95, 3), size * rng.uniform(0.02, 0.98, 3)
    reflection = rng.uniform(0.3, 0.95)
    order = np.arange(-3, 4)
    # Image k of a wall pair lies at k * size +- source, and has been reflected |k| times.
    images = [np.where(order % 2, (order + 1) * s - x, order * s + x) for s, x in zip(size, source, strict=True)]
    grid = np.stack(np.meshgrid(*images, indexing="ij"), axis=-1).reshape(-1, 3)
    bounces = np.abs(np.stack(np.meshgrid(order, order, order, indexing="ij"), axis=-1)).sum(axis=-1).ravel()
    metres = np.linalg.norm(grid - ear, axis=1)
    kept = bounces <= 3
    metres, bounces = np.maximum(metres[kept], 0.1), bounces[kept]
    delays = (metres - metres.min()) / SPEED_OF_SOUND_M_S
    near = delays < EARLY_S
    gains = reflection ** bounces[near] * metres.min() / metres[near]
    gains *= np.where(bounces[near] == 0, 1.0, rng.choice((1.0, -1.0)))
    response = np.zeros(int(EARLY_S * rate_hz) + 2, np.float32)
    np.add.at(response, np.round(delays[near] * rate_hz).astype(int), gains.astype(np.float32))
    return response / np.float32(np.sqrt(np.dot(response, response)))


def microphone(samples: np.ndarray, rate_hz: int, place: np.random.Generator, run: np.random.Generator) -> np.ndarray:
    """A peaked response, hiss and hum, and what cheap electronics do: lost bands, gain control, clipping."""
    level = rms(samples)
    spectrum = np.fft.rfft(samples.astype(np.float32, copy=False))
    hz = np.fft.rfftfreq(samples.size, 1.0 / rate_hz).astype(np.float32)
    peak_hz, octaves = log_uniform(place, 1500.0, 7500.0), place.uniform(0.15, 0.8)
    gain_db = place.uniform(-6.0, 14.0) * np.exp(-0.5 * np.square(np.log2(np.maximum(hz, 20.0) / peak_hz) / octaves))
    edge_hz, slope_db = log_uniform(place, 3500.0, 8000.0), place.uniform(6.0, 48.0)
    gain_db -= slope_db * np.log2(np.maximum(hz / edge_hz, 1.0))
    if chance(place, 0.3):
        # A codec gives no bits to bands it thinks nobody hears.
        for low_hz in place.uniform(1500.0, 7500.0, int(place.integers(1, 4))):
            gain_db[(hz > low_hz) & (hz < low_hz * place.uniform(1.03, 1.4))] -= place.uniform(10.0, 50.0)
    hiss_slope_db, hiss_below_db = place.uniform(-4.0, 3.0), place.uniform(3.0, 45.0)
    heard = np.fft.irfft(spectrum * np.float32(10.0) ** (gain_db / 20.0), samples.size)
    hiss = factory.sloped_noise(samples.size, rate_hz, hiss_slope_db, run)
    heard = heard + hiss * (rms(heard) / rms(hiss) * 10.0 ** (-hiss_below_db / 20.0))
    hum_hz, hum_below_db = float(place.choice((50.0, 60.0, 100.0))), place.uniform(0.0, 40.0)
    if chance(place, 0.4):
        seconds = np.arange(samples.size) / rate_hz
        orders = np.arange(1, 12)
        hum = sum(
            a * np.sin(2.0 * np.pi * (hum_hz * k * seconds + p))
            for k, a, p in zip(orders, place.uniform(0.0, 1.0, 11) / orders, place.uniform(0.0, 1.0, 11), strict=True)
        )
        heard = heard + hum * (rms(heard) / rms(hum) * 10.0 ** (-hum_below_db / 20.0))
    if chance(place, 0.25):
        heard = gain_controlled(heard, rate_hz, place.uniform(0.2, 0.9), log_uniform(place, 0.05, 1.0))
    if chance(place, 0.15):
        most = rms(heard) * place.uniform(1.2, 3.0)
        heard = np.clip(heard, -most, most)
    if chance(place, 0.2):
        heard = heard * np.exp(0.3 * slow_walk(samples.size, rate_hz, 0.5, run))
    return heard * (level / rms(heard))


def gain_controlled(samples: np.ndarray, rate_hz: int, strength: float, release_s: float) -> np.ndarray:
    """Automatic gain: what was loud in the last `release_s` makes the rest softer; strength 1 keeps it all level."""
    block = max(1, int(0.01 * rate_hz))
    n_blocks = -(-samples.size // block)
    power = np.square(np.resize(samples, n_blocks * block)).reshape(n_blocks, block).mean(axis=1)
    kept = np.exp(-block / rate_hz / release_s)
    follower, envelope = float(power.mean()), np.empty(n_blocks)
    for i, now in enumerate(power):
        follower = max(float(now), kept * follower + (1.0 - kept) * float(now))
        envelope[i] = follower
    gain = (envelope + 1e-4 * power.mean() + 1e-20) ** (-0.5 * strength)
    return samples * np.interp(np.arange(samples.size), (np.arange(n_blocks) + 0.5) * block, gain)

"""Where a machine is heard: the room, the microphone, and what else makes a sound there."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass

import numpy as np

from edge_asd.simulator import draws
from edge_asd.simulator.draws import chance, log_uniform
from edge_asd.simulator.machines import FLAT, KINDS, Drive, Impacts, Layer, Machine, Noise, Tones
from edge_asd.simulator.noise import Curve, shaped_noise
from edge_asd.simulator.resonance import convolve, minimum_phase

SPEED_OF_SOUND_M_S = 343.0


@dataclass(frozen=True)
class Scene:
    """One place with one microphone; frozen, so that every rendering in it has the same echoes.

    level_dbfs: RMS level of the machine at its nominal operating point, at the microphone.
    snr_db: that level against the background's.
    rt60_s: time in which the room's sound falls by 60 dB; 0 for no room.
    direct_db: direct sound against the reverberation.
    room_seed: fixes the pattern of reflections.
    microphone: its response in dB. floor_dbfs: its own noise. bits: 16 for quantised output, 0 for none.
    background: other sources; their levels are relative to each other.
    """

    level_dbfs: float = -26.0
    snr_db: float = 300.0
    rt60_s: float = 0.0
    direct_db: float = 0.0
    room_seed: int = 0
    microphone: Curve = FLAT
    floor_dbfs: float = -300.0
    bits: int = 0
    background: tuple[Machine, ...] = ()

    @classmethod
    def random(cls, rng: np.random.Generator) -> Scene:
        """Draw a place: RT60 0.1-1 s, level -60..-10 dBFS, SNR -8..45 dB, a microphone of any quality."""
        level_dbfs = float(rng.triangular(-60.0, -28.0, -10.0))
        return cls(
            level_dbfs=level_dbfs,
            snr_db=float(rng.triangular(-8.0, 15.0, 45.0)),
            rt60_s=log_uniform(rng, 0.1, 1.0),
            direct_db=rng.uniform(-10.0, 20.0),
            room_seed=int(rng.integers(2**31)),
            microphone=_random_microphone(rng),
            floor_dbfs=min(level_dbfs - 6.0, rng.uniform(-100.0, -65.0)),
            bits=16 if chance(rng, 0.8) else 0,
            background=_random_background(rng),
        )

    @classmethod
    def anechoic(cls, level_dbfs: float = -26.0) -> Scene:
        """No room, a perfect microphone, no background: the machine alone."""
        return cls(level_dbfs=level_dbfs)

    def path(self, rate_hz: int) -> np.ndarray:
        """Causal impulse response from the machine to the samples, float32 [m]."""
        return _path(self.rt60_s, self.direct_db, self.room_seed, self.microphone, rate_hz)

    def diffuse_path(self, rate_hz: int) -> np.ndarray:
        """The same for sources further away: more reverberation, other reflections."""
        return _path(self.rt60_s, self.direct_db - 10.0, self.room_seed + 1, self.microphone, rate_hz)


def _random_microphone(rng: np.random.Generator) -> Curve:
    """Anything from a measuring microphone to a telephone: smooth colour, a low cut, often a high cut."""
    colour = draws.random_colour(rng, rng.uniform(0.3, 4.0), (-1.0, 1.0))
    low_hz, low_octave_db = log_uniform(rng, 15.0, 250.0), rng.uniform(3.0, 24.0)
    high_hz, high_octave_db = log_uniform(rng, 3000.0, 20000.0), rng.uniform(12.0, 60.0)
    cuts = Curve(
        (low_hz / 8.0, low_hz, high_hz, high_hz * 2.0),
        (-3.0 * low_octave_db, 0.0, 0.0, -min(60.0, high_octave_db)),
    )
    return colour.plus(cuts)


def _random_background(rng: np.random.Generator) -> tuple[Machine, ...]:
    """Room tone always; often another machine, hum, clatter or something like a voice."""
    tone = draws.flow(rng, level_db=0.0)
    layers: list[Layer] = [dataclasses.replace(tone, exponent=0.0, flutter_hz=log_uniform(rng, 0.2, 10.0))]
    if chance(rng, 0.3):
        layers.append(draws.hum(rng, rng.uniform(-20.0, 0.0)))
    if chance(rng, 0.3):
        layers.append(_clatter(rng))
    if chance(rng, 0.2):
        layers.append(_voice(rng))
    if chance(rng, 0.15):
        layers.append(_wind(rng))
    ambience = Machine(
        "ambience", Drive(1.0, drift=0.0, jitter=0.0), draws.balanced(layers), body=draws.random_colour(rng, 3.0)
    )
    if not chance(rng, 0.35):
        return (ambience,)
    other = Machine.random(str(rng.choice(KINDS)), rng)
    return ambience, dataclasses.replace(other, body=other.body.plus(draws.random_colour(rng, 3.0, (-4.0, 0.0))))


def _clatter(rng: np.random.Generator) -> Impacts:
    """Something struck now and then."""
    return Impacts(
        level_db=rng.uniform(-10.0, 6.0),
        at="clock",
        ratio=log_uniform(rng, 0.2, 6.0),
        slip=1.0,
        spread=1.0,
        modes=draws.random_modes(rng, int(rng.integers(3, 12)), 200.0, 7000.0, 25.0),
    )


def _wind(rng: np.random.Generator) -> Noise:
    """Gusts over the microphone: low, uneven, at times over everything."""
    tilt_db = rng.uniform(-12.0, -5.0)
    return Noise(
        level_db=rng.uniform(-8.0, 8.0),
        curve=draws.random_colour(rng, 2.0, (tilt_db, tilt_db)),
        flutter_depth=rng.uniform(0.4, 1.3),
        flutter_hz=log_uniform(rng, 0.7, 12.0),
    )


def _voice(rng: np.random.Generator) -> Tones:
    """Not speech, but as uneven: a gliding pitch with formants, in syllables."""
    pitch_hz = rng.uniform(85.0, 260.0)
    formants_hz = rng.uniform((300.0, 900.0, 2200.0), (800.0, 2200.0, 3400.0))
    orders = np.arange(1, int(5000.0 / pitch_hz))
    octaves = np.abs(np.log2(orders[:, None] * pitch_hz / formants_hz))
    amplitudes = np.exp(-3.0 * octaves).sum(axis=1) / np.sqrt(orders)
    return draws.tones(
        orders, amplitudes, rng,
        level_db=rng.uniform(-10.0, 5.0), fixed_hz=pitch_hz,
        wander=0.1, wander_hz=2.0, flutter_depth=1.8, flutter_hz=3.5,
    )  # fmt: skip


@functools.lru_cache(maxsize=64)
def _path(rt60_s: float, direct_db: float, room_seed: int, microphone: Curve, rate_hz: int) -> np.ndarray:
    microphone_response = minimum_phase(microphone, rate_hz)
    if rt60_s <= 0.0:
        return microphone_response
    room = _room(rt60_s, direct_db, np.random.default_rng(room_seed), rate_hz)
    padded = np.concatenate((room, np.zeros(microphone_response.size - 1, np.float32)))
    return convolve(padded, microphone_response)


def _room(rt60_s: float, direct_db: float, rng: np.random.Generator, rate_hz: int) -> np.ndarray:
    """Direct sound, a dozen early reflections, a tail whose highs die first; float32 [m], unit energy."""
    n = int(rate_hz * min(1.0, 0.8 * rt60_s)) + 1
    t = np.arange(n) / rate_hz
    low_tail = shaped_noise(n, rate_hz, Curve((1000.0, 4000.0, 16000.0), (0.0, -8.0, -24.0)), rng)
    high_tail = shaped_noise(n, rate_hz, Curve((500.0, 2000.0, 8000.0), (-24.0, -8.0, 0.0)), rng)
    # -60 dB is a factor of exp(-6.9) in amplitude; air and curtains take the highs twice as fast.
    tail = low_tail * np.exp(-6.9 * t / rt60_s) + 0.5 * high_tail * np.exp(-13.8 * t / rt60_s)
    for _ in range(12):
        delay_s = rng.uniform(0.6, 12.0) / SPEED_OF_SOUND_M_S
        place = int(delay_s * rate_hz)
        if place < n:
            tail[place] += rng.normal() * 8.0 * np.exp(-6.9 * delay_s / rt60_s)
    tail[0] = 0.0
    tail /= np.sqrt(np.dot(tail, tail)) or 1.0
    tail[0] = 10.0 ** (direct_db / 20.0)
    return (tail / np.sqrt(np.dot(tail, tail))).astype(np.float32)

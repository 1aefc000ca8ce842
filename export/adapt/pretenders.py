"""Sounds that only pretend to be anomalies, none of them like what adaptation trains on: the guard's witnesses.

Each is a normal clip that was held out, spoilt one way at one of several strengths, from hardly there to plain. Faults
are the simulator's, of machines that never existed; other machines are those at hand, or simulated ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from edge_asd.simulator import FAULTS, KINDS, Fault, Machine, Scene, render
from edge_asd.simulator.faults import ADDED

STRENGTHS_DB = (-2.0, -14.0, -26.0, -8.0, -20.0, -32.0)
"""Power of what is added against the clip's own; the other kinds scale with it. From plain to hardly there, so that
some are hard whatever the machine: those tell two networks apart."""
VARIANTS, SIMULATED_S = 8, 8.0
"""Faults and machines simulated, and how long each is; clips take turns and stretches."""
SETTLED_S = 0.5
PEAK_OCTAVES = 0.15
PEAK_DB = 20.0
SWELL_HZ = (1.0, 9.0)
KNOCK_HZ = (1.0, 4.0)
DRIVE = 6.0


class Pretenders:
    """Spoils clips; the same clip, kind and seed always give the same sound.

    rate_hz: of all samples. seed: of all that is drawn.
    """

    def __init__(self, rate_hz: int, seed: int) -> None:
        self._rate_hz, self._seed = rate_hz, seed

    @cached_property
    def _faults(self) -> Sequence[np.ndarray]:
        rng = np.random.default_rng([self._seed, 31])
        return [_fault_sound(rng, self._rate_hz) for _ in range(VARIANTS)]

    @cached_property
    def _machines(self) -> Sequence[np.ndarray]:
        rng = np.random.default_rng([self._seed, 32])
        return [_machine_sound(rng, self._rate_hz) for _ in range(VARIANTS)]

    def spoilt(self, samples: np.ndarray, kind: str, number: int, others: Sequence[np.ndarray] = ()) -> np.ndarray:
        """Clip `number` [n] as a pretender of this kind, float32 [n]; its strength goes by its number.

        others: sound of other machines, float32 [n] each; machines are simulated where there is none.
        """
        rng = np.random.default_rng([self._seed, 33, KINDS_OF_PRETENDERS.index(kind), number])
        strength_db, turn = STRENGTHS_DB[number % len(STRENGTHS_DB)], number // len(STRENGTHS_DB)
        if kind in SHAPINGS:
            return SHAPINGS[kind](self, samples, strength_db, rng)
        added = self._faults if kind == FAULT else others or self._machines
        return self._with(samples, added[turn % len(added)], strength_db, rng)

    def knocking(self, samples: np.ndarray, strength_db: float, rng: np.random.Generator) -> np.ndarray:
        """Blows at a steady rate that make something ring."""
        n = samples.size
        train = np.zeros(n)
        period = self._rate_hz / rng.uniform(*KNOCK_HZ)
        train[np.arange(rng.uniform(0.0, period), n, period).astype(int).clip(0, n - 1)] = 1.0
        times_s = np.arange(self._rate_hz // 10) / self._rate_hz
        ring = sum(
            np.exp(-times_s * rng.uniform(40.0, 150.0)) * np.sin(2.0 * np.pi * rng.uniform(500.0, 6000.0) * times_s)
            for _ in range(3)
        )
        size = n + times_s.size
        blows = np.fft.irfft(np.fft.rfft(train, size) * np.fft.rfft(ring, size), size)[:n]
        return self._with(samples, blows, strength_db, rng)

    def resonance(self, samples: np.ndarray, strength_db: float, rng: np.random.Generator) -> np.ndarray:
        """A narrow peak in the response."""
        spectrum = np.fft.rfft(samples)
        octaves = np.log2(np.maximum(np.fft.rfftfreq(samples.size, 1.0 / self._rate_hz), 20.0) / rng.uniform(300, 5000))
        peak_db = PEAK_DB * _grown(strength_db) * np.exp(-0.5 * np.square(octaves / PEAK_OCTAVES))
        return np.fft.irfft(spectrum * 10.0 ** (peak_db / 20.0), samples.size).astype(np.float32)

    def swelling(self, samples: np.ndarray, strength_db: float, rng: np.random.Generator) -> np.ndarray:
        """Loudness that comes and goes."""
        times_s = np.arange(samples.size) / self._rate_hz
        depth = min(0.95, 1.5 * _grown(strength_db))
        wave = np.sin(2.0 * np.pi * (rng.uniform(*SWELL_HZ) * times_s + rng.random()))
        return (samples * (1.0 + depth * wave)).astype(np.float32)

    def overdriven(self, samples: np.ndarray, strength_db: float, rng: np.random.Generator) -> np.ndarray:
        """Peaks bent: multiples and mixtures of every tone."""
        drive = DRIVE * _grown(strength_db) / max(_rms(samples), 1e-9)
        return (np.tanh(drive * samples) / drive).astype(np.float32)

    def _with(self, samples: np.ndarray, added: np.ndarray, strength_db: float, rng: np.random.Generator) -> np.ndarray:
        """The clip with a random stretch of `added`, in power `strength_db` against it."""
        start = int(rng.integers(max(1, added.size - samples.size + 1)))
        own = np.resize(added[start : start + samples.size], samples.size)
        gain = 10.0 ** (strength_db / 20.0) * _rms(samples) / max(_rms(own), 1e-10)
        return (samples + gain * own).astype(np.float32)


Shaping = Callable[[Pretenders, np.ndarray, float, np.random.Generator], np.ndarray]
SHAPINGS: dict[str, Shaping] = {
    "knocking": Pretenders.knocking,
    "resonance": Pretenders.resonance,
    "swelling": Pretenders.swelling,
    "overdriven": Pretenders.overdriven,
}
FAULT, OTHER_MACHINE = "simulated fault", "other machine"
KINDS_OF_PRETENDERS = (FAULT, OTHER_MACHINE, *SHAPINGS)


def _grown(strength_db: float) -> float:
    """A strength as a factor, 1 where what is added would be as powerful as the clip."""
    return float(10.0 ** (strength_db / 20.0))


def _fault_sound(rng: np.random.Generator, rate_hz: int) -> np.ndarray:
    """What a random fault adds to a machine that never existed, float32 [n]."""
    kinds = [kind for kind in KINDS if any(fault in ADDED for fault in FAULTS[kind])]
    kind = str(rng.choice(kinds))
    name = str(rng.choice([fault for fault in FAULTS[kind] if fault in ADDED]))
    machine, run = Machine.random(kind, rng), int(rng.integers(2**63))
    well, ill = (
        render(machine, Scene.anechoic(), SIMULATED_S + SETTLED_S, np.random.default_rng(run), rate_hz, fault=fault)
        for fault in (None, Fault(name))
    )
    return (ill - well)[round(SETTLED_S * rate_hz) :]


def _machine_sound(rng: np.random.Generator, rate_hz: int) -> np.ndarray:
    machine, scene = Machine.random(str(rng.choice(KINDS)), rng), Scene.random(rng)
    return render(machine, scene, SIMULATED_S, rng, rate_hz)


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))

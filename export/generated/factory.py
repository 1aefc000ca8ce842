"""What else is heard on a factory floor: blows, voices, air, beepers, traffic. Synthesised, seeded, numpy only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edge_asd.simulator.draws import chance, log_uniform, random_modes
from edge_asd.simulator.noise import slow_walk
from edge_asd.simulator.resonance import convolve, pulses, ringing
from export.generated.channel import rms

VOICE_HZ = 200


def sloped_noise(n: int, rate_hz: int, db_per_octave: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise falling or rising by so many dB an octave, float [n]."""
    spectrum = np.fft.rfft(rng.standard_normal(n, dtype=np.float32))
    hz = np.maximum(np.fft.rfftfreq(n, 1.0 / rate_hz), 20.0).astype(np.float32)
    return np.fft.irfft(spectrum * (hz / 1000.0) ** np.float32(db_per_octave / 6.02), n)


def banded_noise(n: int, rate_hz: int, low_hz: float, high_hz: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of one band with skirts of 24 dB an octave, float [n]."""
    spectrum = np.fft.rfft(rng.standard_normal(n, dtype=np.float32))
    hz = np.maximum(np.fft.rfftfreq(n, 1.0 / rate_hz), 1.0).astype(np.float32)
    outside = np.log2(np.maximum(np.maximum(low_hz / hz, hz / high_hz), 1.0))
    return np.fft.irfft(spectrum * np.float32(10.0) ** (-1.2 * outside), n)


def blows(n: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Things dropped, struck and shut, each ringing in its own way, float [n]."""
    out = np.zeros(n, np.float32)
    for _ in range(int(rng.integers(1, 5))):
        count = 1 + int(rng.poisson(n / rate_hz * log_uniform(rng, 0.1, 2.0)))
        places, heights = rng.uniform(0, n, count), np.exp(rng.normal(0.0, 0.8, count))
        modes = random_modes(rng, int(rng.integers(3, 20)), 100.0, 7500.0, log_uniform(rng, 5.0, 120.0))
        out += convolve(pulses(n, places, heights), ringing(modes, rate_hz))
    return out


def babble(n: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Two to five talkers, none of whom says anything: pitch glides, three formants move, syllables come and go."""
    # A mouth moves slowly: what it does is planned 200 times a second.
    n_slow = n * VOICE_HZ // rate_hz + 2
    places = np.arange(n, dtype=np.float32) * np.float32(VOICE_HZ / rate_hz)

    def fast(slow: np.ndarray) -> np.ndarray:
        return np.interp(places, np.arange(n_slow), slow).astype(np.float32)

    out = np.zeros(n, np.float32)
    for _ in range(int(rng.integers(2, 6))):
        pitch_hz = log_uniform(rng, 85.0, 260.0) * np.exp(0.12 * slow_walk(n_slow, VOICE_HZ, 2.5, rng))
        formants_hz = [
            base * np.exp(0.2 * slow_walk(n_slow, VOICE_HZ, 5.0, rng))
            for base in rng.uniform((300.0, 900.0, 2200.0), (800.0, 2000.0, 3200.0))
        ]
        angle = 2.0 * np.pi * np.cumsum(fast(pitch_hz), dtype=np.float64) / rate_hz
        talker = np.zeros(n, np.float32)
        for order in range(1, int(3600.0 / pitch_hz.mean())):
            near = sum(np.exp(-2.5 * np.abs(order * pitch_hz / hz - 1.0)) for hz in formants_hz)
            talker += fast(near / order**0.5) * np.sin((order * angle).astype(np.float32))
        breath = banded_noise(n, rate_hz, 2500.0, 6500.0, rng) * fast(
            np.maximum(0.0, slow_walk(n_slow, VOICE_HZ, 4.0, rng))
        )
        seconds = np.arange(n_slow) / VOICE_HZ
        syllables = np.maximum(0.0, np.sin(2.0 * np.pi * rng.uniform(2.5, 4.5) * seconds + rng.uniform(0.0, 6.3)))
        spoken = fast(syllables * (slow_walk(n_slow, VOICE_HZ, 0.6, rng) > -0.3))
        out += np.float32(rng.uniform(0.3, 1.0)) * spoken * (talker / rms(talker) + 0.2 * breath / rms(breath))
    return out


def air(n: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Compressed air: a hiss that stays, or blasts of it."""
    low_hz = log_uniform(rng, 800.0, 4000.0)
    hiss = banded_noise(n, rate_hz, low_hz, min(7900.0, low_hz * log_uniform(rng, 1.5, 6.0)), rng)
    if chance(rng, 0.4):
        return hiss
    seconds = np.arange(n) / rate_hz
    gate = np.zeros(n)
    for start_s in rng.uniform(-0.5, n / rate_hz, 1 + int(rng.poisson(0.4 * n / rate_hz))):
        length_s = log_uniform(rng, 0.05, 2.0)
        inside = (seconds >= start_s) & (seconds < start_s + length_s)
        gate[inside] = np.maximum(gate[inside], np.exp(-(seconds[inside] - start_s) / length_s))
    return hiss * (gate + 1e-3)


def beeper(n: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A reversing lorry, a scanner, an alarm: a tone or two, on and off."""
    seconds = np.arange(n) / rate_hz
    first_hz = log_uniform(rng, 600.0, 4200.0)
    second_hz = first_hz * (rng.uniform(1.1, 1.6) if chance(rng, 0.4) else 1.0)
    beats = seconds * log_uniform(rng, 0.4, 6.0) + rng.uniform()
    high = np.floor(beats) % 2 == 0
    phase = np.cumsum(np.where(high, second_hz, first_hz)) / rate_hz
    tone = np.sin(2.0 * np.pi * phase) + rng.uniform(0.0, 0.5) * np.sin(6.0 * np.pi * phase)
    return tone * ((beats % 1.0) < rng.uniform(0.2, 1.0))


def traffic(n: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Rumble that swells as something heavy goes by."""
    rumble = banded_noise(n, rate_hz, 30.0, log_uniform(rng, 80.0, 500.0), rng)
    tyres = banded_noise(n, rate_hz, 400.0, 2000.0, rng)
    swell = np.exp(slow_walk(n, rate_hz, log_uniform(rng, 0.05, 0.4), rng))
    return (rumble / rms(rumble) + rng.uniform(0.0, 0.5) * tyres / rms(tyres)) * swell


SOUNDS: dict[str, Callable[[int, int, np.random.Generator], np.ndarray]] = {
    "blows": blows,
    "babble": babble,
    "air": air,
    "beeper": beeper,
    "traffic": traffic,
}


def some(rng: np.random.Generator) -> tuple[str, ...]:
    """One to three kinds of `SOUNDS`."""
    return tuple(str(name) for name in rng.choice(sorted(SOUNDS), int(rng.integers(1, 4)), replace=False))


def sounds(kinds: Sequence[str], n: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Those kinds together, within 8 dB of each other, float32 [n]."""
    out = np.zeros(n)
    for kind in kinds:
        one = SOUNDS[kind](n, rate_hz, rng)
        out += one / rms(one) * 10.0 ** (rng.uniform(-8.0, 0.0) / 20.0)
    return out.astype(np.float32)

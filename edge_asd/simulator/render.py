"""From a machine in a scene to samples."""

from __future__ import annotations

import numpy as np

from edge_asd.errors import DataError
from edge_asd.simulator.faults import ADDED, CHANGED, Fault, check_fault
from edge_asd.simulator.layers import sound, through_body
from edge_asd.simulator.machines import Machine
from edge_asd.simulator.operation import Operation, operate
from edge_asd.simulator.resonance import convolve
from edge_asd.simulator.scene import Scene

FADE_S = 0.05
"""How long a fault takes to be fully there."""
KNEE = 0.7
"""Above this the microphone's amplifier bends; full scale is never reached."""


def render(
    machine: Machine,
    scene: Scene,
    duration_s: float,
    rng: np.random.Generator,
    rate_hz: int = 16000,
    fault: Fault | None = None,
) -> np.ndarray:
    """Let the machine run in the scene: float32 [round(duration_s * rate_hz)], every sample inside +-1.

    Each call draws a new run (operating point, drift, jitter), new turbulence and new background from `rng`; machine,
    room and microphone stay. With `rng` in the same state, the sound before `fault.onset_s` is bit for bit that of
    the same call without a fault, and the difference after it is the fault.

    Raises DataError if the duration or rate is not above 0 or this kind of machine has no such fault.
    """
    n = round(duration_s * rate_hz)
    if n <= 0 or rate_hz <= 0:
        raise DataError(f"simulator: {duration_s} s at {rate_hz} Hz is no sound", remedy="give both above 0")
    if fault is not None:
        check_fault(machine, fault)
    # One stream a purpose, so that a fault takes no numbers from the rest.
    run_seed, sound_seed, scene_seed, fault_seed = (int(s) for s in rng.integers(2**63, size=4))
    run = operate(machine, n, rate_hz, np.random.default_rng(run_seed))
    inside = sound(machine.layers, run, np.random.default_rng(sound_seed))
    casing = through_body(inside, machine, rate_hz)
    path = scene.path(rate_hz)
    heard = convolve(casing, path)
    # What casing, room and microphone swallow is given back: `level_dbfs` is meant at the microphone, at nominal speed.
    heard_rms = _rms(heard)
    given_back = _rms(inside) / heard_rms if heard_rms > 1e-9 else 1.0
    gain = np.float32(10.0 ** (scene.level_dbfs / 20.0) * given_back)
    heard *= gain
    heard += _surroundings(scene, n, rate_hz, np.random.default_rng(scene_seed))
    start = n if fault is None else round(fault.onset_s * rate_hz)
    if fault is not None and start < n:
        if fault.name in CHANGED:
            changed = CHANGED[fault.name](machine, fault.level_db)
            other_run = operate(changed, n, rate_hz, np.random.default_rng(run_seed))
            other = sound(changed.layers, other_run, np.random.default_rng(sound_seed))
            extra = _faded(through_body(other, changed, rate_hz)[start:] - casing[start:], rate_hz)
        else:
            extra = _added(machine, fault, run, casing, start, np.random.default_rng(fault_seed))
        heard[start:] += convolve(extra, path) * gain
    return _converted(heard, scene)


def _added(
    machine: Machine, fault: Fault, run: Operation, casing: np.ndarray, start: int, rng: np.random.Generator
) -> np.ndarray:
    """The sound a fault adds at the casing from sample `start` on, at its level, float32 [n - start]."""
    rest = run.after(start)
    extra = through_body(sound(ADDED[fault.name](machine, rng), rest, rng), machine, run.rate_hz)
    extra = _faded(extra, run.rate_hz)
    # A machine between two strokes is nearly silent: a fault is still measured against its work.
    own_rms = max(_rms(casing[start:]), 0.1 * _rms(casing))
    extra_rms = _rms(extra)
    if extra_rms > 1e-9:
        extra *= np.float32(10.0 ** (fault.level_db / 20.0) * own_rms / extra_rms)
    return extra


def _faded(extra: np.ndarray, rate_hz: int) -> np.ndarray:
    """Fade in, in place."""
    fade = min(int(FADE_S * rate_hz), extra.size)
    extra[:fade] *= np.linspace(0.0, 1.0, fade, dtype=np.float32)
    return extra


def _surroundings(scene: Scene, n: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Background at its level and the microphone's own noise, float32 [n]."""
    noise = rng.standard_normal(n, dtype=np.float32) * np.float32(10.0 ** (scene.floor_dbfs / 20.0))
    if not scene.background:
        return noise
    mix = np.zeros(n, np.float32)
    for source in scene.background:
        run = operate(source, n, rate_hz, rng)
        mix += through_body(sound(source.layers, run, rng), source, rate_hz)
    mix = convolve(mix, scene.diffuse_path(rate_hz))
    wanted_rms = 10.0 ** ((scene.level_dbfs - scene.snr_db) / 20.0)
    noise += mix * np.float32(wanted_rms / max(_rms(mix), 1e-9))
    return noise


def _converted(heard: np.ndarray, scene: Scene) -> np.ndarray:
    """What the converter makes of it: soft at the top, in steps if the scene says so. Sample by sample, in place."""
    loud = np.abs(heard) > KNEE
    if loud.any():
        peaks = heard[loud]
        room = 0.999 - KNEE
        heard[loud] = np.sign(peaks) * (KNEE + room * np.tanh((np.abs(peaks) - KNEE) / room))
    if scene.bits:
        steps = np.float32(2 ** (scene.bits - 1))
        heard *= steps
        np.rint(heard, out=heard)
        heard /= steps
    return heard


def _rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.dot(wave, wave) / wave.size)) if wave.size else 0.0

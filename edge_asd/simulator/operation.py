"""How one machine runs during one rendering: speed, angle, load, and the events of its cycle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_asd.simulator.machines import Cycle, Drive, Machine
from edge_asd.simulator.noise import slow_walk

CONTROL_HZ = 100.0
"""Speed is planned at this rate and interpolated: no machine with mass changes faster."""


@dataclass(frozen=True)
class Operation:
    """The run of a machine over n samples.

    speed: float32 [n], relative to nominal. turns: float64 [n], the shaft's angle in revolutions.
    opening: float32 [n], 0 shut .. 1 open. clicks: float64 [k], samples at which the cycle opens, closes or turns.
    load: standard deviations from the usual load.
    """

    rate_hz: int
    shaft_hz: float
    speed: np.ndarray
    turns: np.ndarray
    opening: np.ndarray
    clicks: np.ndarray
    load: float

    @property
    def n(self) -> int:
        return int(self.speed.size)

    def after(self, start: int) -> Operation:
        """The same run from sample `start` on."""
        clicks = self.clicks[self.clicks >= start] - start
        return Operation(
            self.rate_hz, self.shaft_hz, self.speed[start:], self.turns[start:], self.opening[start:], clicks, self.load
        )


def operate(machine: Machine, n: int, rate_hz: int, rng: np.random.Generator) -> Operation:
    """Draw one run of `machine`, n samples long."""
    drive = machine.drive
    n_control = int(n / rate_hz * CONTROL_HZ) + 2
    load = float(rng.normal())
    planned = _plan(drive, n_control, rng)
    planned *= 1.0 + drive.drift * slow_walk(n_control, CONTROL_HZ, 0.5, rng)
    planned *= 1.0 + drive.jitter * slow_walk(n_control, CONTROL_HZ, 20.0, rng)
    seconds = np.arange(n_control) / CONTROL_HZ
    planned *= 1.0 + drive.wobble * np.sin(2.0 * np.pi * (drive.wobble_hz * seconds + rng.uniform()))
    stroke, opening, clicks_s = _cycle(machine.cycle, seconds, rng)
    planned = np.maximum(0.0, planned * stroke)
    places = np.arange(n) * (CONTROL_HZ / rate_hz)
    speed = np.interp(places, np.arange(n_control), planned)
    turns = np.cumsum(speed)
    turns *= drive.shaft_hz / rate_hz
    turns += rng.uniform()
    if machine.cycle.shape == "open":
        open_gain = np.interp(places, np.arange(n_control), opening).astype(np.float32)
    else:
        open_gain = np.ones(n, np.float32)
    clicks = clicks_s[(clicks_s >= 0) & (clicks_s < n / rate_hz)] * rate_hz
    return Operation(rate_hz, drive.shaft_hz, speed.astype(np.float32), turns, open_gain, clicks, load)


def _plan(drive: Drive, n_control: int, rng: np.random.Generator) -> np.ndarray:
    """The operating point over time, before drift: one, or two with a ramp between. Float64 [n_control]."""
    if drive.continuous:
        first, second = rng.uniform(min(drive.speeds), max(drive.speeds), 2)
    else:
        first, second = rng.choice(drive.speeds, 2)
    change_at, ramp = rng.uniform(0.1, 0.9) * n_control, rng.uniform(0.2, 2.0) * CONTROL_HZ
    if rng.uniform() >= drive.change_chance:
        return np.full(n_control, first)
    return first + (second - first) * np.clip((np.arange(n_control) - change_at) / ramp, 0.0, 1.0)


def _cycle(cycle: Cycle, seconds: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Speed factor [m], opening [m] and click times [k] in seconds for control times `seconds` [m]."""
    ones = np.ones(seconds.size)
    if cycle.shape == "steady":
        return ones, ones, np.empty(0)
    halves = 2 * (int(seconds[-1] / cycle.period_s) + 3)
    work = np.where(np.arange(halves) % 2 == 0, 1.0, 1.0 / cycle.back)
    if cycle.shape == "stroke":
        moving, resting = 0.5 * cycle.period_s * (1.0 - cycle.rest) * work, 0.5 * cycle.period_s * cycle.rest * ones[0]
        heights = 1.0 / work
    else:
        moving, resting = np.full(halves, cycle.period_s * (1.0 - cycle.rest)), cycle.period_s * cycle.rest
        heights = (rng.uniform(size=halves) >= cycle.miss).astype(float)
    spread = np.maximum(0.2, 1.0 + cycle.jitter * rng.standard_normal((2, halves)))
    moving, rests = moving * spread[0], resting * spread[1]
    starts = np.concatenate(([0.0], np.cumsum(moving + rests)[:-1])) - rng.uniform() * cycle.period_s
    ends = starts + moving
    ramps = np.minimum(cycle.ramp_s, 0.45 * moving)
    knots = np.stack((starts, starts + ramps, ends - ramps, ends), axis=1).ravel()
    levels = np.stack((0 * heights, heights, heights, 0 * heights), axis=1).ravel()
    profile = np.interp(seconds, knots, levels)
    worked = heights > 0
    clicks = np.sort(np.concatenate((starts[worked], ends[worked])))
    return (profile, ones, clicks) if cycle.shape == "stroke" else (ones, profile, clicks)

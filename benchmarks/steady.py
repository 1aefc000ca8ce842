"""A simulated machine that runs for days: its operating point stays, everything random about its sound goes on.

`edge_asd.simulator.render` draws a new operating point and load in every call and needs memory for all of its sound.
Here speed and load are drawn once and then pinned (in the machine and in whatever runs in the background), and the time
is rendered in sessions of two minutes. Nothing in the simulator remembers longer than a few seconds (its slowest walk
moves at 0.2 Hz), so the sessions together are as varied as one long rendering. Between two of them the sound is not
joined: phases and strokes do not go on, which no machine does. The detector is told of a gap and starts afresh there,
as it does after a lost block of a microphone; 12 s of every session pass before it has all it needs for an alarm.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from edge_asd.simulator import Machine, Scene, render

SESSION_S = 120.0


def pinned(machine: Machine, rng: np.random.Generator) -> Machine:
    """The machine at one operating point and one load, drawn as `edge_asd.simulator.operation` draws them."""
    drive, load = machine.drive, float(rng.normal())
    if drive.continuous:
        speed = float(rng.uniform(min(drive.speeds), max(drive.speeds)))
    else:
        speed = float(rng.choice(drive.speeds))
    layers = tuple(
        dataclasses.replace(layer, level_db=layer.level_db + layer.load_db * load, load_db=0.0)
        for layer in machine.layers
    )
    steady = dataclasses.replace(drive, speeds=(speed,), continuous=False, change_chance=0.0)
    return dataclasses.replace(machine, drive=steady, layers=layers)


def pinned_scene(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with each background source pinned."""
    return dataclasses.replace(scene, background=tuple(pinned(source, rng) for source in scene.background))


def sessions(machine: Machine, scene: Scene, rng: np.random.Generator, rate_hz: int) -> Iterator[np.ndarray]:
    """Sound without end, float32 [SESSION_S * rate_hz] a time."""
    while True:
        yield render(machine, scene, SESSION_S, rng, rate_hz)

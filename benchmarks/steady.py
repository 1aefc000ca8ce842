"""A simulated machine that runs for days: its operating point stays, everything random about its sound goes on.

`edge_asd.simulator.render` draws a new operating point and load in every call and needs memory for all of its sound.
Here speed and load are drawn once and then pinned (in the machine and in whatever runs in the background), and minutes
of sound are rendered one after the other and joined by an equal-power cross-fade. Nothing in the simulator remembers
longer than a few seconds (its slowest walk moves at 0.2 Hz), so the minutes are as alike as those of one rendering. The
joints are part of the sound that is enrolled, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from edge_asd.simulator import Machine, Scene, render

CHUNK_S = 60.0
JOINT_S = 0.5


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


def joined(machine: Machine, scene: Scene, rng: np.random.Generator, rate_hz: int) -> Iterator[np.ndarray]:
    """Sound without end: float32 [CHUNK_S * rate_hz] a time, each going on where the last one ended."""
    n, n_joint = round(CHUNK_S * rate_hz), round(JOINT_S * rate_hz)
    angle = np.linspace(0.0, 0.5 * np.pi, n_joint, dtype=np.float32)
    tail = None
    while True:
        chunk = render(machine, scene, CHUNK_S + JOINT_S, rng, rate_hz)
        if tail is not None:
            chunk[:n_joint] = np.sin(angle) * chunk[:n_joint] + np.cos(angle) * tail
        tail = chunk[n:]
        yield chunk[:n]

"""A simulated machine that runs for days: its operating point stays, everything random about its sound goes on.

`edge_asd.simulator.render` draws a new operating point and load in every call and needs memory for all of its sound.
Here speed and load are drawn once and then pinned (in the machine and in whatever runs in the background), and the time
is rendered in sessions of two minutes. Nothing in the simulator remembers longer than a few seconds (its slowest walk
moves at 0.2 Hz), so the sessions together are as varied as one long rendering. Between two of them the sound is not
joined: phases and strokes do not go on, which no machine does. The detector is told of a gap and starts afresh there,
as it does after a lost block of a microphone; some 6 s of every session pass before it has all it needs for an alarm.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd import simulator
from edge_asd.audio.block import AudioBlock
from edge_asd.bundle.bundle import Bundle
from edge_asd.calibration.thresholds import LiveTarget
from edge_asd.detector import WindowScore
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.inference import Embedder
from edge_asd.model_package import Model
from edge_asd.monitor.alarm import AlarmEvent, AlarmSettings, AlarmTracker
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


def enrolled(sound: Iterator[np.ndarray], model: Model, embedder: Embedder, minutes: float, live: LiveTarget) -> Bundle:
    """A bundle of the first minutes, taken in stretches of 10 s as `edge-asd enroll --device` takes them."""
    rate_hz = model.contract.features.rate_hz
    enrolment = Enrolment(model, embedder, live=live)
    size = round(10.0 * rate_hz)
    while enrolment.seconds < 60.0 * minutes - 5.0:
        session = next(sound)
        name = f"session at {enrolment.seconds:.0f} s"
        for start in range(0, session.size, size):
            enrolment.add_samples(session[start : start + size], name, start_s=start / rate_hz)
    return enrolment.finish({"source": "simulated"})


class Watch:
    """The live path of `edge-asd run`: detector and alarm, fed with sessions."""

    def __init__(self, bundle: Bundle, settings: AlarmSettings) -> None:
        self._detector = bundle.detector(confirm_s=settings.confirm_s)
        self._rate_hz = bundle.contract.features.rate_hz
        self._tracker = AlarmTracker(settings, rate_hz=self._rate_hz)
        self._position = 0

    @property
    def seconds(self) -> float:
        """Time of the stream so far, gaps included."""
        return self._position / self._rate_hz

    def hear(self, session: np.ndarray) -> tuple[list[WindowScore], list[AlarmEvent]]:
        """Take a session, told as what follows a gap of a second; times are seconds of the stream."""
        gap = self._rate_hz if self._position else 0
        self._position += gap
        scores, events = [], []
        for start in range(0, session.size, self._rate_hz):
            samples = session[start : start + self._rate_hz]
            block = AudioBlock(samples, self._position, self.seconds, gap if start == 0 else 0)
            self._position += samples.size
            for score in self._detector.push(block):
                scores.append(score)
                event = self._tracker.update(score)
                if event is not None:
                    events.append(event)
        return scores, events


def simulator_hash() -> str:
    """The simulator's version: a hash of its source, first 16 digits of SHA-256."""
    digest = hashlib.sha256()
    for path in sorted(Path(simulator.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def seeds(text: str) -> list[int]:
    """ "0-9" or "3,5,7" as numbers."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def read_lines(path: Path | None) -> list[dict[str, Any]]:
    """What an earlier run has left: one JSON object a line; a last line cut short is no result."""
    if path is None or not path.exists():
        return []
    whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [json.loads(line) for line in whole]


def append_line(path: Path | None, result: dict[str, Any]) -> None:
    """Add a result, in one write, so that several processes can share the file."""
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps(result) + "\n")

"""What all trials share, made once: a machine's sound, its bundle, the fake microphone, a shim of the system clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from edge_asd import service
from edge_asd.audio.block import AudioBlock
from edge_asd.audio.condition import Conditioner
from edge_asd.bundle.bundle import load_bundle
from edge_asd.formats import digits
from tests.fakes.microphone import build_plugin

RATE_HZ = 16000
LOOP_S = 20
ENROL_S = 120
STEP_S = 0.256
SMOOTHING_S, CONFIRM_S = 0.5, 0.5
"""Shorter than a user would set them, so that an alarm takes seconds."""
TONE_HZ = 3000.0
SHIMS = ("clockshim", "killshim")


def machine_sound(seconds: float, seed: int, *, tone: float = 0.0, hum: float = 0.0) -> np.ndarray:
    """A machine running steadily, float32 [n] at 16 kHz: a hum with harmonics under noise, which repeats in a whole
    number of seconds. tone: amplitude of a new tone, the fault; hum: of the mains."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    sound = 0.02 * np.random.default_rng(seed).standard_normal(time_s.size)
    for harmonic in range(1, 6):
        sound += 0.03 / harmonic * np.sin(2 * np.pi * 120.0 * harmonic * time_s + harmonic**2)
    sound += tone * np.sin(2 * np.pi * TONE_HZ * time_s) + hum * np.sin(2 * np.pi * 50.0 * time_s)
    return sound.astype(np.float32)


def sounds() -> dict[str, np.ndarray]:
    """Loops by name: what a microphone may hear."""
    normal = machine_sound(LOOP_S, 2)
    return {
        "normal": normal,
        "faulty": machine_sound(LOOP_S, 3, tone=0.1),
        "dead": np.zeros(LOOP_S * RATE_HZ, np.float32),
        "clipped": np.clip(60.0 * normal, -1.0, 32767 / 32768),
        "hum": machine_sound(LOOP_S, 4, hum=0.4),
    }


@dataclass(frozen=True)
class Room:
    """folder: with NAME.raw for each of `sounds`, fan.asd (enrolled at a step of 0.256 s), libfakemic.so and the
    SHIMS."""

    folder: Path

    @property
    def bundle(self) -> Path:
        """The machine's bundle."""
        return self.folder / "fan.asd"

    @property
    def plugin(self) -> Path:
        """The fake microphone."""
        return self.folder / "libfakemic.so"

    def shim(self, name: str) -> Path:
        """One of SHIMS, to be preloaded: sets the system's clock for one process, or cuts its power."""
        return self.folder / f"{name}.so"

    def sound(self, name: str) -> Path:
        """A loop, raw S16."""
        return self.folder / f"{name}.raw"

    def expected(self, name: str, seconds: float) -> list[float]:
        """Scores of windows, as records give them, of a loop heard from its beginning: scored offline."""
        loop = np.fromfile(self.sound(name), "<i2")
        samples = np.resize(loop, round(seconds * RATE_HZ)).astype(np.float32) / 32768.0
        return [digits(score) for score in offline_scores(self.bundle, samples)]


def offline_scores(bundle: Path, samples: np.ndarray) -> list[float]:
    """The score of every window by itself, 0 to 100; float32 [n] at 16 kHz."""
    detector = load_bundle(bundle).detector(smoothing_s=SMOOTHING_S, confirm_s=CONFIRM_S)
    conditioned = Conditioner(RATE_HZ, RATE_HZ)
    scores: list[float] = []
    for block in _blocks(conditioned.push(samples[:, None])):
        scores += [score.window_score for score in detector.push(block)]
    return scores


def _blocks(samples: np.ndarray) -> Iterator[AudioBlock]:
    for position in range(0, samples.size, RATE_HZ):
        yield AudioBlock(samples[position : position + RATE_HZ], position, position / RATE_HZ)


def make_room(folder: Path) -> Room:
    """Render, enrol, compile; what is there already is kept."""
    room = Room(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not room.plugin.exists():
        build_plugin(folder)
    for name in SHIMS:
        source = Path(__file__).with_name(f"{name}.c")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(room.shim(name)), str(source), "-ldl"], check=True)
    for name, samples in sounds().items():
        (32768 * samples).round().astype("<i2").tofile(room.sound(name))
    enrolled(folder, "fan", {"step_s": STEP_S, "smoothing_s": SMOOTHING_S})
    return room


def enrolled(folder: Path, name: str, detector: dict[str, float]) -> Path:
    """NAME.asd in `folder`: two minutes of the machine, enrolled by the command with these settings of `detector`."""
    bundle = folder / f"{name}.asd"
    if not bundle.exists():
        soundfile.write(folder / "enrol.wav", machine_sound(ENROL_S, 1), RATE_HZ, subtype="PCM_16")
        config = folder / f"{name}.yaml"
        config.write_text(json.dumps({"detector": detector}))
        words = ["enroll", str(folder / "enrol.wav"), "--out", str(bundle), "--config", str(config)]
        subprocess.run([sys.executable, "-m", "edge_asd", *words], check=True, capture_output=True, env=environment())
    return bundle


def unit_variables() -> dict[str, str]:
    """What the service's unit sets for the allocator and threads: what runs for days is measured as it runs there."""
    lines = (Path(service.__file__).with_name("edge-asd.service")).read_text(encoding="utf-8").splitlines()
    words = " ".join(line.removeprefix("Environment=") for line in lines if line.startswith("Environment="))
    pairs = (word.split("=", 1) for word in words.split())
    return {name: value for name, value in pairs if name.startswith(("MALLOC_", "OMP_"))}


def environment() -> dict[str, str]:
    """This process's, without what would configure edge-asd from outside, and with this checkout first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_ASD_")}
    here = str(Path(__file__).parents[2])
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.environ.get("PYTHONPATH") or here}

"""The main job with no microphone: a simulated machine is learnt, then heard, and breaks half way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_asd.audio.block import AudioSource
from edge_asd.audio.generator import GeneratedSource
from edge_asd.detector import Detector
from edge_asd.enrolment import Enrolment
from edge_asd.inference import load_embedder
from edge_asd.model_package import load_model
from edge_asd.simulator import Fault, Machine, Scene, render

SEED = 1
KIND, FAULT = "fan", "belt_squeal"
FAULT_DB = 3.0
"""Power of the fault's sound against the machine's own."""
ENROL_S = 120.0
RUN_S = 20.0
ONSET_S = 10.0


def workshop(rng: np.random.Generator) -> Scene:
    """An ordinary place: some echo, other machines 20 dB below this one, a 16-bit microphone."""
    return Scene(
        level_dbfs=-30.0,
        snr_db=20.0,
        rt60_s=0.4,
        direct_db=6.0,
        room_seed=SEED,
        floor_dbfs=-80.0,
        bits=16,
        background=Scene.random(rng).background,
    )


@dataclass(frozen=True)
class Demo:
    """A machine that has been learnt and one that is about to break.

    description: what is simulated, one line.
    source: the sound to watch; detector: with its normal sound learnt.
    began_at: when the preparation ended, Unix UTC s.
    """

    description: str
    source: AudioSource
    detector: Detector
    began_at: float


def prepare(*, paced: bool, stop: threading.Event | None = None, clock: Callable[[], float] = time.time) -> Demo:
    """Render the machine's normal sound, enrol it with the model that ships, and render the run with its fault.

    paced: the run comes at the speed of sound time; otherwise at once.
    """
    model = load_model()
    embedder = load_embedder(model)
    rate_hz = model.contract.features.rate_hz
    rng = np.random.default_rng(SEED)
    machine, scene = Machine.random(KIND, rng), workshop(rng)
    enrolment = Enrolment(model, embedder)
    for start_s in range(0, int(ENROL_S), 10):
        enrolment.add_samples(render(machine, scene, 10.0, rng, rate_hz), f"simulated {KIND} from {start_s} s")
    bundle = enrolment.finish({"source": f"simulated {KIND}, seed {SEED}"})
    heard = render(machine, scene, RUN_S, rng, rate_hz, fault=Fault(FAULT, level_db=FAULT_DB, onset_s=ONSET_S))
    source = GeneratedSource(heard, rate_hz, name=f"simulated {KIND}", paced=paced, clock=clock, stop=stop)
    description = (
        f"a {KIND} was simulated and {ENROL_S:.0f} s of its normal sound learnt; now it runs for {RUN_S:.0f} s, and "
        f"{ONSET_S:.0f} s in a fault sets in ({FAULT.replace('_', ' ')}, {FAULT_DB:+.0f} dB against the machine)"
    )
    return Demo(description, source, bundle.detector(), clock())

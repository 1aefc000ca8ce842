"""The main job with no microphone: a simulated machine is learnt, then heard, and breaks half way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from edge_asd.audio.block import AudioBlock
from edge_asd.audio.generator import GeneratedSource
from edge_asd.detector import Detector
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.inference import load_embedder, runnable_formats
from edge_asd.model_package import load_model
from edge_asd.simulator import Fault, Machine, Scene, render

SEED = 1
KIND, FAULT = "fan", "belt_squeal"
FAULT_DB = 3.0
"""Power of the fault's sound against the machine's own."""
ENROL_S = 120.0
RUN_S = 20.0
ONSET_S = 10.0
MACHINE = "demo"
NAME = f"simulated {KIND}"
DESCRIPTION = (
    f"no microphone: a {KIND} is simulated. {ENROL_S:.0f} s of its normal sound are learnt first, then it is heard for "
    f"{RUN_S:.0f} s, and {ONSET_S:.0f} s in a fault sets in ({FAULT.replace('_', ' ')})"
)


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


class BreakingMachine:
    """The simulated machine as a source that says when its fault sets in.

    sound: the whole run. onset_position: the fault's first sample.
    on_fault: called with the time of that sample, Unix UTC s, before the block that holds it is given.
    """

    def __init__(self, sound: GeneratedSource, onset_position: int, on_fault: Callable[[float], None]) -> None:
        self.name = sound.name
        self.rate_hz = sound.rate_hz
        self._sound = sound
        self._onset_position = onset_position
        self._on_fault = on_fault

    def blocks(self) -> Iterator[AudioBlock]:
        """The run's blocks."""
        told = False
        for block in self._sound.blocks():
            if not told and block.position + block.samples.size > self._onset_position:
                told = True
                self._on_fault(block.captured_at + (self._onset_position - block.position) / self.rate_hz)
            yield block

    def close(self) -> None:
        """Nothing to release."""
        self._sound.close()


@dataclass(frozen=True)
class Demo:
    """A machine that has been learnt and one that is about to break.

    source: the sound to watch; detector: with its normal sound learnt.
    """

    source: BreakingMachine
    detector: Detector


def prepare(
    *,
    paced: bool,
    on_fault: Callable[[float], None],
    stop: threading.Event | None = None,
    clock: Callable[[], float] = time.time,
) -> Demo:
    """Render the machine's normal sound, enrol it with the model that ships, and render the run with its fault.

    paced: the run comes at the speed of sound; otherwise at once.
    on_fault: told when the fault sets in, Unix UTC s.
    """
    model = load_model(formats=runnable_formats())
    embedder = load_embedder(model)
    rate_hz = model.contract.features.rate_hz
    rng = np.random.default_rng(SEED)
    machine, scene = Machine.random(KIND, rng), workshop(rng)
    enrolment = Enrolment(model, embedder)
    for start_s in range(0, int(ENROL_S), 10):
        enrolment.add_samples(render(machine, scene, 10.0, rng, rate_hz), f"{NAME} from {start_s} s")
    bundle = enrolment.finish({"source": f"{NAME}, seed {SEED}"})
    heard = render(machine, scene, RUN_S, rng, rate_hz, fault=Fault(FAULT, level_db=FAULT_DB, onset_s=ONSET_S))
    sound = GeneratedSource(heard, rate_hz, name=NAME, paced=paced, clock=clock, stop=stop)
    return Demo(BreakingMachine(sound, round(ONSET_S * rate_hz), on_fault), bundle.detector())

"""The sound that goes through the chain: simulated machines, enrolled and tested, healthy and broken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_asd.bundle.bundle import Bundle
from edge_asd.calibration.scale import shown
from edge_asd.contract import ModelContract
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.errors import DataError
from edge_asd.frontend import log_mel
from edge_asd.inference import Embedder
from edge_asd.model_package import Model
from edge_asd.scorers import features_of
from edge_asd.simulator import FAULTS, KINDS, Fault, Machine, Scene, render
from edge_asd.windows import Windows, clip_windows

SEED = 71
ENROL_S, CLIP_S = 40.0, 5.0
CLIPS = 4
"""Normal clips of each machine, and as many broken ones, from faintly to plainly."""
FAULT_LEVELS_DB = (-12.0, 0.0)


class EmbeddingsAlone:
    """What stands in for a model of one graph."""

    def score(self, windows: np.ndarray | Windows, embeddings: np.ndarray | None = None) -> np.ndarray:
        """It has no scorer: DataError."""
        raise DataError("parity compares embeddings, not what a model's own scorer makes of them")


@dataclass(frozen=True)
class MachineSound:
    """One machine as log-mel frames [n, n_mels]: what it is enrolled on, and the clips it is tested with."""

    enrol: np.ndarray
    clips: tuple[np.ndarray, ...]

    @classmethod
    def simulated(cls, kind: str, contract: ModelContract, seed: int = SEED) -> MachineSound:
        """A machine of one of the simulator's kinds."""
        spec = contract.features
        rng = np.random.default_rng([seed, KINDS.index(kind)])
        machine, scene = Machine.random(kind, rng), Scene.random(rng)

        def heard(seconds: float, fault: Fault | None = None) -> np.ndarray:
            return log_mel(render(machine, scene, seconds, rng, rate_hz=spec.rate_hz, fault=fault), spec)

        levels = np.linspace(*FAULT_LEVELS_DB, CLIPS)
        faults = [Fault(str(rng.choice(FAULTS[kind])), level_db=float(level)) for level in levels]
        return cls(
            heard(ENROL_S), (*(heard(CLIP_S) for _ in range(CLIPS)), *(heard(CLIP_S, fault) for fault in faults))
        )

    def windows(self, contract: ModelContract) -> np.ndarray:
        """Every window that `enrolled` and `scored` ask an embedder for, in their order: [n, window_frames, n_mels]."""
        tape = _Tape(contract)
        scored(self, enrolled(self, Model(contract, "fp32", b"", {}), tape), tape)
        return np.concatenate(tape.windows)

    def probes(self, contract: ModelContract) -> np.ndarray:
        """One window of each clip, [n, window_frames, n_mels]: few enough for an emulated processor."""
        return np.stack([clip_windows(frames, contract)[0][0] for frames in self.clips])


class _Tape(EmbeddingsAlone):
    """An embedder that keeps the windows it is asked for; its embeddings mean nothing."""

    runtime = "tape"

    def __init__(self, contract: ModelContract) -> None:
        self.contract = contract
        self.windows: list[np.ndarray] = []

    def embed(self, windows: np.ndarray | Windows) -> np.ndarray:
        self.windows.append(Windows.of(windows).frames)
        made = np.random.default_rng(len(self.windows)).normal(size=(len(windows), self.contract.embedding_size))
        return made.astype(np.float32)


def enrolled(sound: MachineSound, model: Model, embedder: Embedder) -> Bundle:
    """The machine's bundle, fitted on this embedder."""
    enrolment = Enrolment(model, embedder, strict=False)
    enrolment.add_frames(sound.enrol, "simulated sound")
    return enrolment.finish({})


def scored(sound: MachineSound, bundle: Bundle, embedder: Embedder) -> np.ndarray:
    """Scores of the clips on the scale of 0 to 100, [n_clips]."""
    return np.array(
        [_shown(bundle, clip_windows(frames, bundle.contract)[0], len(frames), embedder) for frames in sound.clips]
    )


def scored_probes(probes: np.ndarray, bundle: Bundle, embedder: Embedder) -> np.ndarray:
    """Scores of single windows [n, window_frames, n_mels] on the scale of 0 to 100, [n]."""
    return np.array([_shown(bundle, window[None], len(window), embedder) for window in probes])


def _shown(bundle: Bundle, windows: np.ndarray, n_frames: int, embedder: Embedder) -> float:
    distances = bundle.normal.distances(features_of(bundle.normal.specs, windows, embedder))
    return shown(bundle.score_distances(distances, n_frames).score, bundle.clip_calibration.threshold)

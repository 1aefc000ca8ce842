"""What a changed network does to the score: machines enrolled and tested with its embeddings, against the original's.

The score here is the plainest one, the mean cosine distance of a clip's windows to the nearest enrolled one: what
quantising does to embeddings shows in it undamped by calibration or a second view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edge_asd.clips import read_frames
from edge_asd.contract import ModelContract
from edge_asd.evaluation.cases import read_cases
from edge_asd.evaluation.metrics import roc_auc
from edge_asd.frontend import log_mel
from edge_asd.inference.onnx import OnnxEmbedder
from edge_asd.simulator import FAULTS, KINDS, Fault, Machine, Scene, render
from edge_asd.windows import clip_windows

ENROL_WINDOWS, TEST_CLIPS, CLIP_WINDOWS = 24, 12, 2
FAULT_DB = (-9.0, 3.0)
MOST_WINDOWS_PER_CLIP = 4


@dataclass(frozen=True)
class ScoreLoss:
    """How far a network's results are from the original's.

    cosine_mean, cosine_min: between embeddings of the same windows.
    auc_loss_mean, auc_loss_worst: over the machines, original minus other; below 0 where the other is better.
    score_shift: mean size of the change of a clip's score, in standard deviations of the original's normal scores.
    """

    cosine_mean: float
    cosine_min: float
    auc_loss_mean: float
    auc_loss_worst: float
    score_shift: float

    def to_dict(self) -> dict[str, float]:
        """Rounded, for provenance and reports."""
        return {name: round(value, 5) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class ProbeMachine:
    """One machine of a probe: `enrol` and `test` windows as slices of the probe's windows; the clip each test window
    belongs to, and which clips are anomalous."""

    enrol: slice
    test: slice
    clips: np.ndarray
    anomalous: np.ndarray


class Probe:
    """Machines to compare networks on. windows: float32 [n, frames, mels] in dB."""

    def __init__(self, contract: ModelContract, windows: np.ndarray, machines: Sequence[ProbeMachine]) -> None:
        self.contract, self.windows, self.machines = contract, windows, tuple(machines)

    def embeddings(self, network: bytes) -> np.ndarray:
        """Unit embeddings of all windows, float32 [n, d]."""
        embedded = OnnxEmbedder(network, self.contract).embed(self.windows)
        return embedded / np.maximum(np.linalg.norm(embedded, axis=1, keepdims=True), 1e-12)

    def loss(self, original: np.ndarray, other: np.ndarray) -> ScoreLoss:
        """Compare two networks' unit embeddings."""
        cosines = (original * other).sum(axis=1)
        losses, shifts = [], []
        for machine in self.machines:
            before, after = self._scores(machine, original), self._scores(machine, other)
            normal = ~machine.anomalous
            if normal.any() and machine.anomalous.any():
                losses.append(roc_auc(before[normal], before[~normal]) - roc_auc(after[normal], after[~normal]))
            spread = before[normal].std() if normal.sum() > 1 else before.std()
            shifts.append(np.mean(np.abs(after - before)) / max(float(spread), 1e-9))
        return ScoreLoss(
            float(cosines.mean()),
            float(cosines.min()),
            float(np.mean(losses)) if losses else 0.0,
            float(np.max(losses)) if losses else 0.0,
            float(np.mean(shifts)),
        )

    @staticmethod
    def _scores(machine: ProbeMachine, embeddings: np.ndarray) -> np.ndarray:
        """Score of each test clip, float64 [clips]."""
        distances = 1.0 - (embeddings[machine.test] @ embeddings[machine.enrol].T).max(axis=1)
        return np.bincount(machine.clips, distances) / np.bincount(machine.clips)


def simulated_probe(contract: ModelContract, seed: int, kinds: Sequence[str] = KINDS) -> Probe:
    """One machine of each kind, its faults at -9 to 3 dB; nothing recorded is needed."""
    return _probe(contract, [_simulated(contract, kind, [seed, 7, i]) for i, kind in enumerate(kinds)])


def recorded_probe(cases_csv: Path, contract: ModelContract) -> Probe:
    """The machines of a CASES.csv, at most four windows of each clip. Errors as `read_cases` and `read_frames`."""
    machines = []
    for case in read_cases(cases_csv):
        enrol = [_some(clip.path, contract) for clip in case.enrol]
        test = [_some(clip.path, contract) for clip in case.test]
        machines.append((np.concatenate(enrol), test, np.array([clip.anomalous for clip in case.test])))
    return _probe(contract, machines)


_Heard = tuple[np.ndarray, list[np.ndarray], np.ndarray]
"""Enrolled windows, the windows of each test clip, and which of these are anomalous."""


def _probe(contract: ModelContract, heard: Sequence[_Heard]) -> Probe:
    machines, parts, position = [], [], 0
    for enrol, clips, anomalous in heard:
        counts = [len(clip) for clip in clips]
        middle, end = position + len(enrol), position + len(enrol) + sum(counts)
        numbers = np.repeat(np.arange(len(clips)), counts)
        machines.append(ProbeMachine(slice(position, middle), slice(middle, end), numbers, anomalous))
        parts += [enrol, *clips]
        position = end
    return Probe(contract, np.concatenate(parts), machines)


def _simulated(contract: ModelContract, kind: str, seed: list[int]) -> _Heard:
    spec, rng = contract.features, np.random.default_rng(seed)
    machine, scene = Machine.random(kind, rng), Scene.random(rng)

    def heard(n_windows: int, fault: Fault | None = None) -> np.ndarray:
        seconds = (n_windows * contract.window_frames * spec.hop_samples + spec.n_fft) / spec.rate_hz
        frames = log_mel(render(machine, scene, seconds, rng, rate_hz=spec.rate_hz, fault=fault), spec)[1:]
        frames = frames[: n_windows * contract.window_frames]
        return frames.reshape(n_windows, contract.window_frames, spec.n_mels)

    enrol = heard(ENROL_WINDOWS)
    normal = [heard(CLIP_WINDOWS) for _ in range(TEST_CLIPS)]
    names = FAULTS[kind]
    faulty = [
        heard(CLIP_WINDOWS, Fault(names[i % len(names)], level_db=rng.uniform(*FAULT_DB))) for i in range(TEST_CLIPS)
    ]
    return enrol, normal + faulty, np.repeat((False, True), TEST_CLIPS)


def _some(path: Path, contract: ModelContract) -> np.ndarray:
    windows, _ = clip_windows(read_frames(path, contract.features), contract)
    return windows[np.linspace(0, len(windows) - 1, min(len(windows), MOST_WINDOWS_PER_CLIP)).round().astype(int)]

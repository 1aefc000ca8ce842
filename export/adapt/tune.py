"""Fine-tuning an embedder on transformation labels, held by what it was."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from edge_asd.contract import ModelContract
from edge_asd.errors import DataError
from edge_asd.inference.embedder import normalised
from export.adapt.changes import CHANGE_NAMES, Cutter
from export.adapt.sound import MachineSound
from export.networks.losses import SubClusterAdaCos
from export.networks.mobilefacenet import MobileFaceNet
from export.training.device import memory_told, settle


@dataclass(frozen=True)
class TuneSettings:
    """How far and how fast.

    steps, batch: steps, and windows of the machines' sound in each.
    anchors, simulated: windows of simulated machines beside them, which only hold the network where it was, and how
        many there are to draw from.
    learning_rate: highest; half a cosine to nothing. clip_norm: of the gradient.
    anchor_weight: of the cosine distance to the old embedding. sub_clusters: centres a class has.
    kept: blocks from the input on that stay as they are: they are most of the cost, and hear edges and tones whatever
        the machine.
    """

    steps: int = 100
    batch: int = 40
    anchors: int = 8
    simulated: int = 128
    learning_rate: float = 3e-4
    anchor_weight: float = 5.0
    sub_clusters: int = 4
    clip_norm: float = 5.0
    kept: int = 5


@memory_told()
def tuned(
    network: MobileFaceNet,
    contract: ModelContract,
    machines: Sequence[MachineSound],
    anchors_db: np.ndarray,
    settings: TuneSettings,
    seed: int,
    at_step: Callable[[int], None] = lambda step: None,
    device: str = "cpu",
) -> MobileFaceNet:
    """A copy of the network, in eval mode, that tells changes of these machines' sound and the machines apart.

    network: BatchNorms folded; it stays as it is. machines: with at least a clip each; a class is a machine changed one
    way (`export.adapt.changes`), learnt by sub-cluster AdaCos (Wilkinghoff 2021). The old embedding of every window is
    the other target (distillation to itself), also of anchors_db, float32 [n, frames, mels] of other machines.
    device: to compute on, such as "cuda:0"; the copy is on the CPU.

    The same seed gives the same weights on the same machine with the same number of threads. Raises DataError where the
    loss is no number any more.
    """
    where = torch.device(device)
    settle(where)
    torch.manual_seed(seed)
    network = copy.deepcopy(network).eval()
    network.to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    early, late = (
        network.blocks[: settings.kept],
        nn.Sequential(network.blocks[settings.kept :], network.head),
    )
    learner = copy.deepcopy(late).train()
    head = SubClusterAdaCos(contract.embedding_size, len(machines) * len(CHANGE_NAMES), settings.sub_clusters)
    head.to(where)
    parameters = [*learner.parameters(), *head.parameters()]
    optimiser = torch.optim.Adam(
        [
            {"params": list(learner.parameters()), "scale": 1.0},
            {"params": list(head.parameters()), "scale": HEAD_RATE},
        ],
        lr=settings.learning_rate,
    )
    cutter = Cutter(contract)
    for step in range(settings.steps):
        rng = np.random.default_rng([seed, 41, step])
        windows_db, labels = _batch(machines, cutter, settings.batch, rng)
        chosen = rng.choice(len(anchors_db), min(settings.anchors, len(anchors_db)), replace=False)
        inputs = torch.from_numpy(normalised(np.concatenate((windows_db, anchors_db[chosen])), contract)).to(where)
        with torch.no_grad():
            shared = early(inputs.contiguous(memory_format=torch.channels_last))
            before = late(shared)
        after = learner(shared)
        named = head(after[: len(labels)], torch.from_numpy(labels).to(where))
        moved = 1.0 - functional.cosine_similarity(after, before, dim=1).mean()
        loss = named + settings.anchor_weight * moved
        if not torch.isfinite(loss):
            raise DataError(f"adapting fell apart at step {step}: the loss is {float(loss.detach())}")
        share = min(1.0, (step + 1) / WARMUP_STEPS) * 0.5 * (1.0 + math.cos(math.pi * step / settings.steps))
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * group["scale"] * share
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
        optimiser.step()
        at_step(step + 1)
    late.load_state_dict(learner.state_dict())
    network.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return network


WARMUP_STEPS = 10
HEAD_RATE = 10.0
"""The head starts from nothing and has to be somewhere before its gradients mean anything."""


def _batch(
    machines: Sequence[MachineSound], cutter: Cutter, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """`n` changed windows float32 [n, frames, mels] and their classes int64 [n], machines and changes in turn."""
    order = rng.permutation(n)
    change, machine = order % len(CHANGE_NAMES), rng.integers(len(machines), size=n)
    windows = []
    for m, c in zip(machine, change, strict=True):
        clips = machines[m].clips
        windows.append(cutter.window(clips[int(rng.integers(len(clips)))].samples, int(c), rng))
    return np.stack(windows), (machine * len(CHANGE_NAMES) + change).astype(np.int64)

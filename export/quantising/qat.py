"""Quantisation-aware fine-tuning: the network learns to give its own float embeddings through rounded weights and
activations (Jacob et al. 2018, arXiv 1712.05877; the float network is the teacher, so no labels are needed)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.networks.rewrite import folded, without_prelu
from export.training.device import settle

WEIGHT_STEPS = 63
"""Signed 7-bit weights, as `reduce_range` makes them."""
ACTIVATION_STEPS = 255
RANGE_MOMENTUM = 0.1
BATCH, LEARNING_RATE = 32, 3e-4
GEOMETRY_WEIGHT = 10.0
"""Of the squared error of cosines between windows: a nearest-neighbour score lives on those."""


def rounded(x: Tensor) -> Tensor:
    """Rounding whose slope is taken as 1 (straight-through estimator)."""
    return x + (torch.round(x) - x).detach()


def weights_seen(weight: Tensor) -> Tensor:
    """Weights as int8 holds them: symmetric, one scale an output channel. [out, ...] -> the same shape."""
    scale = weight.detach().flatten(1).abs().amax(dim=1).clamp_min(1e-8) / WEIGHT_STEPS
    scale = scale.reshape(-1, *[1] * (weight.dim() - 1))
    return rounded((weight / scale).clamp(-WEIGHT_STEPS, WEIGHT_STEPS)) * scale


class RoundedInput(nn.Module):
    """Activations as u8 holds them: one range a tensor, a running mean of what training batches showed."""

    low: Tensor
    high: Tensor
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        if self.training:
            low, high = x.detach().amin().clamp_max(0.0), x.detach().amax().clamp_min(0.0)
            share = RANGE_MOMENTUM if self.seen else 1.0
            self.low.lerp_(low, share)
            self.high.lerp_(high, share)
            self.seen.fill_(True)
        scale = (self.high - self.low).clamp_min(1e-8) / ACTIVATION_STEPS
        zero = torch.round(-self.low / scale)
        return (rounded(x / scale + zero).clamp(0, ACTIVATION_STEPS) - zero) * scale


class Rounded(nn.Module):
    """A convolution or linear layer that sees rounded weights and input."""

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        super().__init__()
        self.layer, self.input = layer, RoundedInput()

    def forward(self, x: Tensor) -> Tensor:
        """As the layer."""
        return torch.func.functional_call(self.layer, {"weight": weights_seen(self.layer.weight)}, (self.input(x),))


def fine_tuned(
    model: nn.Module,
    inputs: np.ndarray,
    *,
    steps: int,
    seed: int,
    device: str = "cpu",
    at_step: Callable[[int, float], None] = lambda step, loss: None,
) -> nn.Module:
    """A copy of the network, BatchNorms folded and PReLUs rewritten, whose weights bear being quantised;
    it is on the CPU.

    inputs: windows to fine-tune on, float32 [n, 1, frames, mels], normalised. device: to compute on, such as "cuda:0".
    """
    where = torch.device(device)
    settle(where)
    original = folded(without_prelu(model)).to(where)
    learner = copy.deepcopy(original)
    wrapped = _wrap(learner)
    learner.to(where)
    optimiser = torch.optim.Adam([p for layer in wrapped for p in layer.layer.parameters()], lr=LEARNING_RATE)
    rng = np.random.default_rng([seed, 8])
    learner.train()
    for step in range(steps):
        batch = torch.from_numpy(inputs[rng.choice(len(inputs), min(BATCH, len(inputs)), replace=False)]).to(where)
        with torch.no_grad():
            wanted = functional.normalize(original(batch), dim=1)
        given = functional.normalize(learner(batch), dim=1)
        geometry = (given @ given.T - wanted @ wanted.T).square().mean()
        loss = (1.0 - (given * wanted).sum(dim=1)).mean() + GEOMETRY_WEIGHT * geometry
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1.0 + math.cos(math.pi * step / steps))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        at_step(step + 1, float(loss.detach()))
    _unwrap(learner)
    return learner.cpu().eval()


def _wrap(model: nn.Module) -> list[Rounded]:
    wrapped = []
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d | nn.Linear):
                wrapped.append(Rounded(child))
                setattr(parent, name, wrapped[-1])
    return wrapped


def _unwrap(model: nn.Module) -> None:
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Rounded):
                setattr(parent, name, child.layer)

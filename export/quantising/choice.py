"""Which layers to quantise, chosen by what it does to the score and to the time, not by a cosine alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_asd.inference.onnx import OnnxEmbedder
from export.quantising.probe import Probe, ScoreLoss
from export.quantising.quantise import Quantiser

TIMING_ROUNDS = 25


@dataclass(frozen=True)
class Limits:
    """What int8 may cost: AUC over the machines on average and of the worst one, and the mean cosine of embeddings."""

    auc_mean: float = 0.002
    auc_worst: float = 0.01
    cosine_mean: float = 0.995

    def hold(self, loss: ScoreLoss) -> bool:
        """Whether the loss stays within all of them."""
        return (
            loss.auc_loss_mean <= self.auc_mean
            and loss.auc_loss_worst <= self.auc_worst
            and loss.cosine_mean >= self.cosine_mean
        )


@dataclass(frozen=True)
class Scheme:
    """One way to quantise.

    float_first, float_last: layers from the input and from the output that stay in float.
    activation_bits: 8 or 16. dynamic: ranges measured as it runs (the other three then mean nothing).
    """

    float_first: int = 0
    float_last: int = 0
    activation_bits: int = 8
    dynamic: bool = False

    def __str__(self) -> str:
        if self.dynamic:
            return "dynamic"
        wide = "" if self.activation_bits == 8 else f", activations u{self.activation_bits}"
        return f"static, float layers {self.float_first} first {self.float_last} last{wide}"

    def apply(self, quantiser: Quantiser) -> bytes:
        """The quantised network."""
        if self.dynamic:
            return quantiser.dynamic()
        return quantiser.static(quantiser.ends(self.float_first, self.float_last), self.activation_bits)


CONVOLUTIONAL = tuple(Scheme(first, last) for last in (0, 1, 2) for first in (0, 1, 2))
TRANSFORMER = (Scheme(), Scheme(1, 0), Scheme(0, 1), Scheme(1, 1), Scheme(dynamic=True))
WIDE = Scheme(activation_bits=16)
"""Where nothing else holds: ONNX Runtime multiplies 16-bit activations in float, slower than the float network."""


@dataclass(frozen=True)
class Candidate:
    """A scheme, its network, its loss on the probe and its time a window on this machine."""

    scheme: Scheme
    network: bytes
    loss: ScoreLoss
    cpu_ms: float
    holds: bool


def candidates(
    float_network: bytes,
    quantiser: Quantiser,
    probe: Probe,
    schemes: Sequence[Scheme],
    limits: Limits,
    note: Callable[[str], None] = lambda line: None,
) -> list[Candidate]:
    """Every scheme made and measured, in the order given."""
    original = probe.embeddings(float_network)
    networks = [scheme.apply(quantiser) for scheme in schemes]
    times = cpu_ms(networks, probe)
    measured = []
    for scheme, network, cost in zip(schemes, networks, times, strict=True):
        loss = probe.loss(original, probe.embeddings(network))
        measured.append(Candidate(scheme, network, loss, cost, limits.hold(loss)))
        note(
            f"{scheme}: {cost:.2f} ms a window, AUC loss {100 * loss.auc_loss_mean:.2f} (worst "
            f"{100 * loss.auc_loss_worst:.2f}) points, cosine {loss.cosine_mean:.4f} (least {loss.cosine_min:.3f})"
            f"{'' if measured[-1].holds else ': loses too much'}"
        )
    return measured


CLOSE_ENOUGH = 1.05
"""Times within this factor are the same on a machine that does other things too; then the worst window decides."""


def chosen(measured: Sequence[Candidate]) -> Candidate:
    """The fastest that holds; among the about equally fast the one whose worst window's embedding turns least, for one
    window far off is one false alarm. Where none holds, the one that shifts scores least."""
    holding = [candidate for candidate in measured if candidate.holds]
    if not holding:
        return min(measured, key=lambda candidate: candidate.loss.score_shift)
    fastest = min(candidate.cpu_ms for candidate in holding)
    fast = [candidate for candidate in holding if candidate.cpu_ms <= CLOSE_ENOUGH * fastest]
    return max(fast, key=lambda candidate: candidate.loss.cosine_min)


def cpu_ms(networks: Sequence[bytes], probe: Probe, rounds: int = TIMING_ROUNDS) -> list[float]:
    """Median CPU time of one window of each network, in turn in one process, one thread."""
    embedders = [OnnxEmbedder(network, probe.contract) for network in networks]
    window = probe.windows[:1]
    taken = np.empty((rounds, len(networks)))
    for i in range(rounds):
        for j, embedder in enumerate(embedders):
            before = time.process_time_ns()
            embedder.embed(window)
            taken[i, j] = (time.process_time_ns() - before) / 1e6
    return [float(value) for value in np.median(taken, axis=0)]


@dataclass(frozen=True)
class LayerEffect:
    """What leaving one layer in float changes where all others are quantised."""

    layer: str
    kind: str
    loss: ScoreLoss


def sensitivity(
    float_network: bytes,
    quantiser: Quantiser,
    probe: Probe,
    at_layer: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[ScoreLoss, list[LayerEffect]]:
    """The loss of quantising everything, and of everything but one layer, for each layer from the input on."""
    original = probe.embeddings(float_network)
    everything = probe.loss(original, probe.embeddings(quantiser.static()))
    effects = []
    for i, layer in enumerate(quantiser.layers):
        loss = probe.loss(original, probe.embeddings(quantiser.static([layer])))
        effects.append(LayerEffect(layer, quantiser.kinds[layer], loss))
        at_layer(i + 1, len(quantiser.layers))
    return everything, effects

"""Int8 for models of any inputs and of two graphs, held against their own float results on windows of real sound.

A graph becomes int8 where it then ranks windows as before and that saves something worth having; where none of the
schemes does, it stays float, and why is said. Models whose embedder hears log-mel alone have a finer choice of their
own (`export.packages.make.int8_network`).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_asd.contract import EMBEDDING, LOG_MEL, SECTION, WAVEFORM, ModelContract
from edge_asd.errors import EdgeAsdError
from edge_asd.evaluation.metrics import roc_auc
from edge_asd.inference.embedder import normalised
from edge_asd.inference.engine import Engine
from edge_asd.inference.graph import Ends
from edge_asd.inference.onnx import OnnxGraph
from edge_asd.model_package import EMBEDDER, SCORER, Model, Network
from edge_asd.windows import Windows
from export.formats.integer_ops import onnx_integer_ops
from export.formats.operations import onnx_macs
from export.quantising.choice import Scheme
from export.quantising.quantise import Quantiser

LEAST_RANK_CORRELATION = 0.9
LEAST_MEAN_COSINE = 0.98
MOST_AUC_LOSS = 0.01
"""Between a machine's own windows and those of others that share its network, where there are such."""
LEAST_SAVED = 0.01
"""Share of the float graphs' bytes that int8 saves, or of their multiplications that become integers: for less of both,
int8 is another rounding of the score and nothing else."""
_AT_ONCE = 16
_CONVOLUTIONAL = (Scheme(), Scheme(1, 1), Scheme(2, 2))
_TRANSFORMER = (Scheme(), Scheme(1, 1), Scheme(dynamic=True))


@dataclass(frozen=True)
class HeardWindows:
    """Windows of normal sound. section: the one they are of, where the model tells sections; "" otherwise."""

    windows: Windows
    section: str = ""


@dataclass(frozen=True)
class GraphChoice:
    """What became of a graph.

    graph: its name. network: its file. precision: "int8", or "fp32" for the float one it was. words: how, or why not.
    """

    graph: str
    network: bytes
    precision: str
    words: str


def int8_graphs(
    model: Model, heard: Sequence[HeardWindows], note: Callable[[str], None] = lambda line: None
) -> tuple[Model, list[GraphChoice]]:
    """The model with every graph in int8 that holds its ranking, and what became of each.

    model: its float ONNX graphs. heard: at least 8 windows in all; every second one is calibrated on, the others tell.
    Raises DataError where they are silent.
    """
    calibration, check = _Feeds(model.contract, heard, 0), _Feeds(model.contract, heard, 1)
    contract, graphs = model.contract, {name: network.data for name, network in model.graphs.items()}
    choices = []
    if contract.has_embedder:
        ends, network = Ends.of_embedder(contract), graphs[EMBEDDER]
        calibration.embeddings = _run(network, ends, calibration)
        check.embeddings = truth = _run(network, ends, check)
        expected = _distances(truth, check, calibration.embeddings, calibration)

        def embedder_loss(made: bytes) -> Loss:
            moved = _run(made, ends, check)
            found = _distances(moved, check, _run(made, ends, calibration), calibration)
            return Loss.between(expected, found, _foreign(check, calibration), _cosine(truth, moved))

        choices.append(_chosen(EMBEDDER, graphs, ends, calibration, embedder_loss, note))
    if contract.has_scorer:
        ends, network = Ends.of_scorer(contract), graphs[SCORER]
        scored = _scores(network, ends, check)
        if choices and choices[0].precision == "int8" and EMBEDDING in contract.scorer_inputs:
            own = Ends.of_embedder(contract)
            floats = (calibration.embeddings, check.embeddings)
            calibration.embeddings = _run(choices[0].network, own, calibration)
            check.embeddings = _run(choices[0].network, own, check)
            loss = _scorer_loss(scored, _scores(network, ends, check), check)
            if not loss.holds:
                words = f"stays float: with it in int8 the scorer {loss}"
                choices[0] = GraphChoice(EMBEDDER, graphs[EMBEDDER], "fp32", words)
                note(f"{EMBEDDER}: {words}")
                calibration.embeddings, check.embeddings = floats

        def scorer_loss(made: bytes) -> Loss:
            return _scorer_loss(scored, _scores(made, ends, check), check)

        choices.append(_chosen(SCORER, graphs, ends, calibration, scorer_loss, note))
    return _joined(model, choices), choices


@dataclass(frozen=True)
class Loss:
    """What int8 does to a ranking. correlation: of ranks, before and after. auc: lost between own windows and foreign
    ones; 0 where there are none. cosine: mean, of embeddings."""

    correlation: float
    auc: float
    cosine: float

    @classmethod
    def between(cls, expected: np.ndarray, found: np.ndarray, foreign: np.ndarray, cosine: float = 1.0) -> Loss:
        """Of distances or scores [n]; foreign: which are of windows that are not the machine's own."""
        auc = 0.0
        if foreign.any() and not foreign.all() and np.isfinite(found).all():
            auc = roc_auc(expected[~foreign], expected[foreign]) - roc_auc(found[~foreign], found[foreign])
        return cls(rank_correlation(expected, found), auc, cosine)

    @property
    def holds(self) -> bool:
        """Whether it is small enough."""
        ranks = self.correlation >= LEAST_RANK_CORRELATION and self.auc <= MOST_AUC_LOSS
        return ranks and self.cosine >= LEAST_MEAN_COSINE

    def __str__(self) -> str:
        how = "ranks windows as float does" if self.holds else "ranks windows otherwise"
        lost = f", {100 * self.auc:.1f} points of AUC lost" if self.auc > 0.0 else ""
        return f"{how} (correlation {self.correlation:.3f}{lost}, cosine {self.cosine:.3f})"


def _joined(model: Model, choices: Sequence[GraphChoice]) -> Model:
    made = {choice.graph: choice for choice in choices}
    told = {"int8_graphs": {choice.graph: choice.words for choice in choices}}
    model = dataclasses.replace(model, provenance={**model.provenance, **told})
    if SCORER in made:
        scorer = made[SCORER]
        model = dataclasses.replace(model, scorer=Network(scorer.network, "onnx", scorer.precision))
    leading = made.get(EMBEDDER)
    if leading is not None:
        return dataclasses.replace(model, network=leading.network, precision=leading.precision)
    return dataclasses.replace(model, precision=made[SCORER].precision)


def _chosen(
    graph: str,
    graphs: Mapping[str, bytes],
    ends: Ends,
    calibration: _Feeds,
    loss: Callable[[bytes], Loss],
    note: Callable[[str], None],
) -> GraphChoice:
    """The first scheme that holds; the float graph where none does, or int8 saves too little of all `graphs`."""
    network = graphs[graph]
    quantiser = Quantiser(network, calibration.of(ends))
    if not quantiser.layers:
        return _said(GraphChoice(graph, network, "fp32", "stays float: nothing in it multiplies by weights"), note)
    schemes = _CONVOLUTIONAL if "Conv" in quantiser.kinds.values() else _TRANSFORMER
    best, why = -2.0, ""
    for scheme in schemes:
        if scheme.float_first + scheme.float_last >= len(quantiser.layers):
            continue
        try:
            made = scheme.apply(quantiser)
            found = loss(made)
        except EdgeAsdError:
            raise
        except Exception as error:  # the quantiser and the runtime raise anything for an operation they cannot do
            why = why or f"int8 cannot be made or run: {' '.join(str(error).split())[:120]}"
            continue
        count = onnx_integer_ops(made)
        if found.holds and count.integer:
            if little := _too_little(graph, made, graphs):
                return _said(GraphChoice(graph, network, "fp32", f"stays float: {little}"), note)
            layers = f"{count.integer} of {count.all} layers in integers, {len(made)} bytes of {len(network)}"
            return _said(GraphChoice(graph, made, "int8", f"int8, {scheme}: {layers}; {found}"), note)
        if found.correlation > best:
            best, why = found.correlation, f"int8 ({scheme}) {found}"
    least = f"asked are {LEAST_RANK_CORRELATION}, {100 * MOST_AUC_LOSS:.0f} point and {LEAST_MEAN_COSINE}"
    return _said(GraphChoice(graph, network, "fp32", f"stays float: {why}; {least}"), note)


def _too_little(graph: str, made: bytes, graphs: Mapping[str, bytes]) -> str:
    """Why `made`, the int8 form of one of the float `graphs`, is not worth having; "" where it is."""
    whole = sum(map(len, graphs.values()))
    saved = len(graphs[graph]) - len(made)
    if saved >= LEAST_SAVED * whole:
        return ""
    macs = {name: onnx_macs(network) for name, network in graphs.items()}
    computed = macs[graph] / max(1, sum(macs.values()))
    if computed >= LEAST_SAVED:
        return ""
    return (
        f"int8 would save {max(0, saved)} bytes of {whole} and has {100 * computed:.2g} % of the multiplications; "
        f"{100 * LEAST_SAVED:.0f} % of either is asked"
    )


def _said(choice: GraphChoice, note: Callable[[str], None]) -> GraphChoice:
    note(f"{choice.graph}: {choice.words}")
    return choice


class _Feeds:
    """Every second window as the graphs are fed it. embeddings: float32 [n, d], set once they are known."""

    def __init__(self, contract: ModelContract, heard: Sequence[HeardWindows], first: int) -> None:
        own = [(part, np.arange(first, len(part.windows), 2)) for part in heard]
        frames = np.concatenate([part.windows.frames[rows] for part, rows in own])
        self._fed = {LOG_MEL: normalised(frames, contract)}
        if contract.takes_waveform:
            samples = [part.windows.samples[rows] for part, rows in own if part.windows.samples is not None]
            self._fed[WAVEFORM] = np.ascontiguousarray(np.concatenate(samples), np.float32)
        if SECTION in contract.scorer_inputs:
            one_hot = np.eye(len(contract.sections), dtype=np.float32)
            places = [contract.sections.index(part.section) for part, _ in own]
            self._fed[SECTION] = np.concatenate(
                [np.repeat(one_hot[[place]], len(rows), axis=0) for place, (_, rows) in zip(places, own, strict=True)]
            )
        self.embeddings: np.ndarray | None = None
        self.parts = np.repeat(np.arange(len(own)), [len(rows) for _, rows in own])

    def of_next_section(self) -> _Feeds:
        """The same windows, each said to be of the section after its own."""
        other = copy.copy(self)
        other._fed = {**self._fed, SECTION: np.roll(self._fed[SECTION], 1, axis=1)}
        return other

    def of(self, ends: Ends) -> dict[str, np.ndarray]:
        """The contract's name of each input -> its array."""
        fed = self._fed if self.embeddings is None else {**self._fed, EMBEDDING: self.embeddings}
        return {name: fed[name] for name in ends.inputs}


def _run(network: bytes, ends: Ends, feeds: _Feeds) -> np.ndarray:
    graph, fed = OnnxGraph(network, ends, Engine()), feeds.of(ends)
    n = len(next(iter(fed.values())))
    parts = [slice(start, start + _AT_ONCE) for start in range(0, n, _AT_ONCE)]
    return np.concatenate([graph.run({name: array[part] for name, array in fed.items()}) for part in parts])


def _distances(rows: np.ndarray, of: _Feeds, bank: np.ndarray, banked: _Feeds) -> np.ndarray:
    """Cosine distance of every row to the nearest of each part's own bank, part after part."""
    cosines = _unit(rows) @ _unit(bank).T
    return np.concatenate([1.0 - cosines[:, banked.parts == part].max(axis=1) for part in np.unique(of.parts)])


def _foreign(of: _Feeds, banked: _Feeds) -> np.ndarray:
    """Which of `_distances` are of windows of another part than the bank's."""
    return np.concatenate([of.parts != part for part in np.unique(banked.parts)])


def _scores(network: bytes, ends: Ends, feeds: _Feeds) -> np.ndarray:
    """What a scorer gives, [n, outputs]; where it is told the section, also for the wrong one, after all others."""
    own = _run(network, ends, feeds)
    if SECTION not in ends.inputs or ends.inputs[SECTION] == (1,):
        return own
    return np.concatenate((own, _run(network, ends, feeds.of_next_section())))


def _scorer_loss(expected: np.ndarray, found: np.ndarray, of: _Feeds) -> Loss:
    """Of the output that loses most."""
    foreign = np.arange(len(expected)) >= len(of.parts)
    losses = [Loss.between(a, b, foreign) for a, b in zip(expected.T, found.T, strict=True)]
    return min(losses, key=lambda loss: (loss.holds, loss.correlation))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float((_unit(one) * _unit(other)).sum(axis=1).mean())


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's, of two rows of numbers [n]; 0 where one of them is constant or not finite."""
    if not (np.isfinite(one).all() and np.isfinite(other).all()) or np.ptp(one) == 0.0 or np.ptp(other) == 0.0:
        return 0.0
    ranks = [np.argsort(np.argsort(values, kind="stable"), kind="stable") for values in (one, other)]
    return float(np.corrcoef(np.stack(ranks)).ravel()[1])

"""A model's graphs in a row: windows into the embedder, its embeddings and whatever else into the scorer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edge_asd.contract import EMBEDDING, LOG_MEL, SECTION, WAVEFORM, ModelContract
from edge_asd.errors import DataError
from edge_asd.inference.embedder import normalised
from edge_asd.inference.graph import Graph
from edge_asd.windows import Windows

MOST_VALUES = 2**18
"""Numbers fed at once, at most, where a window does not hold more by itself: activations are many times the input."""


class Chain:
    """An `Embedder` of up to two graphs.

    contract: what they expect. embedder, scorer: started; None where the contract has none, or it is not wanted.
    """

    def __init__(self, contract: ModelContract, embedder: Graph | None, scorer: Graph | None = None) -> None:
        self.contract = contract
        self._embedder, self._scorer = embedder, scorer
        self.runtime = next(graph.runtime for graph in (embedder, scorer) if graph is not None)
        self._window_values = contract.window_frames * contract.features.n_mels
        if contract.takes_waveform:
            self._window_values += contract.window_samples

    def embed(self, windows: np.ndarray | Windows) -> np.ndarray:
        """See `Embedder`."""
        if self._embedder is None:
            raise DataError(f"{self.contract.name} gives no embeddings", remedy="enrol with --scorer scores:column")
        found = [np.empty((0, self.contract.embedding_size), np.float32)]
        for part in self._parts(Windows.of(windows), self._embedder):
            found.append(self._embedder.run(self._fed(self.contract.inputs, part)))
        return np.concatenate(found)

    def score(self, windows: np.ndarray | Windows, embeddings: np.ndarray | None = None) -> np.ndarray:
        """See `Embedder`."""
        if self._scorer is None:
            raise DataError(f"{self.contract.name} gives no scores", remedy="enrol with --scorer embedding:knn")
        windows = Windows.of(windows)
        if EMBEDDING in self.contract.scorer_inputs and embeddings is None:
            embeddings = self.embed(windows)
        found = [np.empty((0, len(self.contract.outputs)), np.float32)]
        done = 0
        for part in self._parts(windows, self._scorer):
            own = None if embeddings is None else embeddings[done : done + len(part)]
            found.append(self._scorer.run(self._fed(self.contract.scorer_inputs, part, own)))
            done += len(part)
        return np.concatenate(found)

    def _parts(self, windows: Windows, graph: Graph) -> Iterator[Windows]:
        return windows.parts(max(1, min(graph.most, MOST_VALUES // self._window_values)))

    def _fed(
        self, inputs: Sequence[str], windows: Windows, embeddings: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """The arrays of these inputs, [n, ...] each."""
        fed: dict[str, np.ndarray] = {}
        for name in inputs:
            if name == LOG_MEL:
                fed[name] = normalised(windows.frames, self.contract)
            elif name == WAVEFORM:
                if windows.samples is None:
                    raise DataError(
                        f"{self.contract.name} hears the waveform, and only log-mel frames are at hand",
                        remedy="give it sound, not frames",
                    )
                fed[name] = np.ascontiguousarray(windows.samples, np.float32)
            elif name == EMBEDDING:
                assert embeddings is not None
                fed[name] = embeddings
            elif name == SECTION:
                fed[name] = np.repeat(self._one_hot(), len(windows), axis=0)
        return fed

    def _one_hot(self) -> np.ndarray:
        """The section that is watched, float32 [1, sections]."""
        sections = self.contract.sections
        if not self.contract.section:
            raise DataError(
                f"{self.contract.name} scores by section, and none was chosen",
                remedy=f"give --section, one of {', '.join(sections)}",
            )
        return np.eye(len(sections), dtype=np.float32)[[sections.index(self.contract.section)]]

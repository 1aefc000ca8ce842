"""Views: windows as rows of features that a measure can compare.

A further view (of what a change of room or microphone leaves alone, say) is one more entry in `VIEWS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edge_asd.contract import ModelContract
from edge_asd.errors import DataError
from edge_asd.inference import Embedder
from edge_asd.spectra import window_spectra
from edge_asd.windows import Windows

EMBEDDING, SPECTRUM, SCORES = "embedding", "spectrum", "scores"


@dataclass(frozen=True)
class View:
    """One way to see a window.

    metric: how its rows compare, see `edge_asd.scorers.space`; "given": they are distances already.
    width: numbers in a row, from the contract.
    statistics: rows from log-mel windows float32 [k, window_frames, n_mels] in dB and parameters; None for what the
        model gives.
    parameters: name -> (default, lowest, highest).
    """

    metric: str
    width: Callable[[ModelContract], int]
    statistics: Callable[..., np.ndarray] | None
    parameters: Mapping[str, tuple[float, float, float]]

    @property
    def uses_network(self) -> bool:
        """Whether the model must run."""
        return self.statistics is None

    def features(
        self,
        windows: np.ndarray | Windows,
        embedder: Embedder | None,
        embeddings: np.ndarray | None = None,
        **parameters: float,
    ) -> np.ndarray:
        """Rows float32 [k, width]; the embedder may be missing where the model is not used.

        embeddings: of these windows, where they are at hand.
        """
        if self.statistics is not None:
            return self.statistics(Windows.of(windows).frames, **parameters)
        if embedder is None:
            raise DataError("embeddings or scores are asked for, but no network was started")
        if self is VIEWS[SCORES]:
            return embedder.score(windows, embeddings)
        return embedder.embed(windows) if embeddings is None else embeddings


def rank_pooled(windows: np.ndarray, r: float) -> np.ndarray:
    """Time-weighted frequency-domain rank pooling: float32 [k, n_mels] in dB.

    The frames of each band are sorted, the loudest first, and averaged with weights r**i: r = 1 is the mean over
    time, r = 0 the maximum; between them short loud events count for more than their length. Guan et al.,
    "Time-weighted frequency domain audio representation with GMM estimator for anomalous sound detection"
    (arXiv 2305.03328). Beyond the paper, r above 1 listens to the quietest moments instead: there a machine that runs
    all the time is heard alone, between whatever else makes noise.
    """
    if r == 1.0:
        return windows.mean(axis=1)
    n_frames = windows.shape[1]
    ranks = np.arange(n_frames, dtype=np.float64)  # 0 ** 0 = 1
    weights = np.power(r, ranks if r < 1.0 else ranks - n_frames)
    ranked = np.sort(windows, axis=1)[:, ::-1]
    return np.einsum("t,ktm->km", (weights / weights.sum()).astype(np.float32), ranked)


VIEWS: Mapping[str, View] = {
    EMBEDDING: View("cosine", lambda contract: contract.embedding_size, None, {}),
    SPECTRUM: View("spread", lambda contract: 2 * contract.features.n_mels, window_spectra, {}),
    "ranked": View("spread", lambda contract: contract.features.n_mels, rank_pooled, {"r": (0.99, 0.0, 2.0)}),
    SCORES: View("given", lambda contract: len(contract.outputs), None, {}),
}
"""embedding: what the network makes of the window. spectrum: mean and deviation over time of every band. ranked:
time-weighted rank pooling of every band. scores: what the model's own scorer makes of the window."""

"""What the rest of edge-asd knows of a model: windows in, embeddings and scores out."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from edge_asd.contract import ModelContract
from edge_asd.windows import Windows


class Embedder(Protocol):
    """A model with its contract, in some runtime.

    Windows are log-mel frames, float32 [n, window_frames, n_mels] in dB, or `Windows` with the waveform where the model
    hears that; DataError where it does and has none.
    """

    contract: ModelContract
    runtime: str
    """Library and version that runs it, for provenance."""

    def embed(self, windows: np.ndarray | Windows) -> np.ndarray:
        """Embeddings float32 [n, embedding_size]. Raises DataError where the model gives none."""

    def score(self, windows: np.ndarray | Windows, embeddings: np.ndarray | None = None) -> np.ndarray:
        """What the model's own scorer gives, float32 [n, len(outputs)]; higher = more anomalous.

        embeddings: of these windows, where they are at hand. Raises DataError where the model has no scorer.
        """


def normalised(windows: np.ndarray, contract: ModelContract) -> np.ndarray:
    """What the network is fed: float32 [n, 1, window_frames, n_mels], offset and scaled as the contract says."""
    windows = np.asarray(windows, np.float32)
    if contract.input_mean == "window":
        offset: np.ndarray | np.float32 = windows.mean(axis=(1, 2), keepdims=True)
    else:
        offset = np.float32(contract.input_offset_db)
    fed = windows - offset
    fed *= np.float32(1.0 / contract.input_scale_db)
    return fed[:, None]

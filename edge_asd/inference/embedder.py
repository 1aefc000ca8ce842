"""What the rest of edge-asd knows of a network: log-mel windows in, embeddings out."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from edge_asd.contract import ModelContract


class Embedder(Protocol):
    """A network with its contract, in some runtime."""

    contract: ModelContract
    runtime: str
    """Library and version that runs it, for provenance."""

    def embed(self, windows: np.ndarray) -> np.ndarray:
        """Log-mel windows float32 [n, window_frames, n_mels] in dB -> embeddings float32 [n, embedding_size]."""


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

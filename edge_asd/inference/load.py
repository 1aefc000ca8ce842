"""Which runtime a model is run by."""

from __future__ import annotations

from edge_asd.inference.embedder import Embedder
from edge_asd.inference.onnx import OnnxEmbedder
from edge_asd.model_package import Model


def load_embedder(model: Model, threads: int = 1) -> Embedder:
    """Start the runtime for `model`. Raises UnavailableError without a runtime, DataError for a network it refuses."""
    return OnnxEmbedder(model.network, model.contract, threads)

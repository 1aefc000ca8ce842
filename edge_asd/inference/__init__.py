"""Running the network: one interface, one module a runtime."""

from edge_asd.inference.embedder import Embedder
from edge_asd.inference.load import load_embedder

__all__ = ["Embedder", "load_embedder"]

"""Running the network: one interface, one module a runtime."""

from edge_asd.inference.embedder import Embedder
from edge_asd.inference.load import load_embedder
from edge_asd.inference.runtimes import AUTO, runnable_formats

__all__ = ["AUTO", "Embedder", "load_embedder", "runnable_formats"]

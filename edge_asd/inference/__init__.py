"""Running the network: one interface, one module a runtime."""

from edge_asd.inference.embedder import Embedder, load_embedder

__all__ = ["Embedder", "load_embedder"]

"""What every network is to the training, the export and the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from edge_asd.model_package import GRAPHS
from export.networks.losses import Head

EMBEDDER, SCORER = GRAPHS
"""Names of the two graphs a network may be exported as."""


class Network(nn.Module):
    """Sound in, embedding out; perhaps a scorer behind it.

    Called with the inputs of the contract in their order (log-mel [n, 1, frames, mels] normalised, waveform [n,
    samples]) it gives [n, embedding_size]. A network that only scores is called by its own objective alone.
    """

    published: Mapping[str, str] = {}
    """Weights others trained that it can start from: name -> what the file is and where it is published."""

    def for_head(self, embeddings: Tensor) -> Tensor:
        """[n, d] -> [n, d]: what classification is trained on; the embedding itself unless a network says otherwise."""
        return embeddings

    def own_head(self) -> Head | None:
        """The classifier where it is part of the network, because its scorer needs it."""
        return None

    def graphs(self) -> dict[str, nn.Module]:
        """What is exported: `EMBEDDER`, `SCORER` or both, each with positional inputs in the contract's order (section
        one-hot [n, sections], embedding [n, d]), traceable by torch.onnx."""
        return {EMBEDDER: self}

    def load_published(self, paths: Mapping[str, Path], note: Callable[[str], None]) -> None:
        """Take over published weights, name -> path, of those `published` names. Raises DataError for other weights."""

"""The torch network back out of a model package, for packages whose training run is no longer at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_asd.errors import DataError
from edge_asd.inference.onnx import OnnxEmbedder
from edge_asd.model_package import Model

if TYPE_CHECKING:
    from torch import nn

LARGEST_DIFFERENCE = 1e-4
"""Between the embeddings of the rebuilt network and of the file it came from."""


def rebuilt(model: Model) -> nn.Module:
    """The network of a float ONNX file, BatchNorms folded, in eval mode.

    The layers come from the recipe in the package's provenance, the weights from the file; what comes out is compared
    with the file on a window of noise.

    Raises DataError where provenance names no MobileFaceNet, or the weights do not fit it.
    """
    import onnx
    import torch
    from onnx import numpy_helper

    from export.networks.mobilefacenet import MobileFaceNet
    from export.networks.rewrite import folded

    contract = model.contract
    settings = model.provenance.get("recipe", {}).get("model", {})
    remedy = "name the training run instead of the package"
    if settings.get("kind", "mobilefacenet") != "mobilefacenet" or not {"table", "width"} <= set(settings):
        raise DataError(f"{contract.name}: its layers cannot be told from its provenance", remedy=remedy)
    if settings.get("activation", "relu6") != "relu6":
        raise DataError(f"{contract.name}: {settings['activation']} was rewritten on export", remedy=remedy)
    network = folded(
        MobileFaceNet(
            window_frames=contract.window_frames,
            n_mels=contract.features.n_mels,
            embedding_size=contract.embedding_size,
            table=settings["table"],
            width=settings["width"],
        )
    )
    stored = onnx.load_from_string(model.network).graph.initializer
    weights = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in stored}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise DataError(f"{contract.name}: its weights do not fit its recipe's layers", remedy=remedy) from error
    noise = np.random.default_rng(0).normal(-40.0, 10.0, (1, contract.window_frames, contract.features.n_mels))
    difference = np.abs(torch_embeddings(network, model, noise) - OnnxEmbedder(model.network, contract).embed(noise))
    if not difference.max() <= LARGEST_DIFFERENCE:
        raise DataError(f"{contract.name}: rebuilt, it differs from its file by {difference.max():.2g}", remedy=remedy)
    return network


def torch_embeddings(network: nn.Module, model: Model, windows: np.ndarray) -> np.ndarray:
    """Log-mel windows float32 [n, window_frames, n_mels] in dB -> float32 [n, d], by torch."""
    import torch

    from edge_asd.inference.embedder import normalised

    with torch.no_grad():
        return network(torch.from_numpy(normalised(windows, model.contract))).numpy()

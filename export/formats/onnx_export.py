"""From torch to the float ONNX network: batch axis free, BatchNorms folded into convolutions, PReLU rewritten."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from torch import nn

from edge_asd.contract import ModelContract, tensor_name
from edge_asd.errors import DataError
from edge_asd.model_package import EMBEDDER, SCORER
from export.networks.network import Network
from export.networks.rewrite import folded, without_prelu

INPUT, OUTPUT = "log_mel", "embedding"
SCORES = "scores"
OPSET = 17


def to_onnx(model: nn.Module, window_frames: int, n_mels: int) -> bytes:
    """An embedder of log-mel as an ONNX file: log_mel [batch, 1, window_frames, n_mels] -> embedding [batch, d]."""
    return _exported(model, {INPUT: (1, window_frames, n_mels)}, OUTPUT)


def graphs_to_onnx(network: Network, contract: ModelContract) -> dict[str, bytes]:
    """Every graph of a network as an ONNX file, by its name in `edge_asd.model_package.GRAPHS`.

    The embedder's output is `embedding` [batch, embedding_size], the scorer's `scores` [batch, len(outputs)]. Raises
    DataError where the network's graphs are not the contract's.
    """
    wanted = {EMBEDDER: contract.inputs} if contract.has_embedder else {}
    if contract.has_scorer:
        wanted[SCORER] = contract.scorer_inputs
    graphs = network.graphs()
    if set(graphs) != set(wanted):
        raise DataError(f"the network has the graphs {', '.join(graphs)}, its contract {', '.join(wanted)}")
    return {
        name: _exported(
            graphs[name],
            {tensor_name(own): contract.shape_of(own) for own in inputs},
            OUTPUT if name == EMBEDDER else SCORES,
        )
        for name, inputs in wanted.items()
    }


def _exported(model: nn.Module, inputs: Mapping[str, tuple[int, ...]], output: str) -> bytes:
    """A module of positional inputs, name -> shape after the batch's axis, as an ONNX file."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # The exporter announces its successor at length; both give the same numbers, this one needs no onnxscript.
        warnings.simplefilter("ignore", DeprecationWarning)
        # InstanceNorm takes its statistics from the window itself: what is warned of is what is meant.
        warnings.filterwarnings("ignore", ".*operator 'instance_norm' is set to train=True")
        path = Path(folder) / "network.onnx"
        torch.onnx.export(
            folded(without_prelu(model)),
            tuple(torch.zeros(2, *shape) for shape in inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=[output],
            dynamic_axes={name: {0: "batch"} for name in (*inputs, output)},
            opset_version=OPSET,
            dynamo=False,
        )
        network = onnx.load(path)
    onnx.checker.check_model(network)
    return network.SerializeToString()

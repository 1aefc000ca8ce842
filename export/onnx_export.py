"""From torch to the float ONNX network: batch axis free, BatchNorms folded into convolutions, PReLU rewritten."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from export.rewrite import folded, without_prelu

INPUT, OUTPUT = "log_mel", "embedding"
OPSET = 17


def to_onnx(model: nn.Module, window_frames: int, n_mels: int) -> bytes:
    """The network as an ONNX file: log_mel [batch, 1, window_frames, n_mels] -> embedding [batch, d]."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # The exporter announces its successor at length; both give the same numbers, this one needs no onnxscript.
        warnings.simplefilter("ignore", DeprecationWarning)
        path = Path(folder) / "network.onnx"
        torch.onnx.export(
            folded(without_prelu(model)),
            (torch.zeros(2, 1, window_frames, n_mels),),
            str(path),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
        network = onnx.load(path)
    onnx.checker.check_model(network)
    return network.SerializeToString()

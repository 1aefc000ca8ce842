"""From torch to the float ONNX network: batch axis free, every BatchNorm folded into its convolution."""

from __future__ import annotations

import copy
import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

INPUT, OUTPUT = "log_mel", "embedding"
OPSET = 17


def folded(model: nn.Module) -> nn.Module:
    """A copy in eval mode whose BatchNorms that follow a convolution live in its weights."""
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if isinstance(module, nn.Sequential):
            for i in range(len(module) - 1):
                conv, norm = module[i], module[i + 1]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[i], module[i + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return model


def to_onnx(model: nn.Module, window_frames: int, n_mels: int) -> bytes:
    """The network as an ONNX file: log_mel [batch, 1, window_frames, n_mels] -> embedding [batch, d]."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # The exporter announces its successor at length; both give the same numbers, this one needs no onnxscript.
        warnings.simplefilter("ignore", DeprecationWarning)
        path = Path(folder) / "network.onnx"
        torch.onnx.export(
            folded(model),
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

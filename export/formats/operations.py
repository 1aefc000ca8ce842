"""How much a network computes: multiplications by weights and between activations, a window."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def torch_macs(module: nn.Module, inputs: Sequence[Tensor]) -> int:
    """Multiply-accumulates of one forward pass: of convolutions and matrix products, nothing else.

    inputs: as the module takes them; give one window.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    training = module.training
    module.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*inputs)
    module.train(training)
    return counter.get_total_flops() // 2


def onnx_macs(network: bytes) -> int:
    """The same of an ONNX file, float or quantised: it is run on one window of zeros, for shapes that depend on others
    are known only then."""
    import numpy as np
    import onnx
    import onnxruntime

    model = onnx.load_from_string(network)
    nodes = [node for node in model.graph.node if node.op_type in (*_CONVOLUTIONS, *_PRODUCTS)]
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    wanted = {name for node in nodes for name in (*_operands(node), node.output[0])} - set(shapes)
    fed = {
        value.name: np.zeros((1, *(d.dim_value for d in value.type.tensor_type.shape.dim[1:])), np.float32)
        for value in model.graph.input
    }
    shapes |= {name: array.shape for name, array in fed.items()}
    told = sorted(wanted - set(fed))
    held = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in told if name not in held)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    if told:
        shapes |= {name: array.shape for name, array in zip(told, session.run(told, fed), strict=True)}
    return sum(_node_macs(node, shapes) for node in nodes)


_CONVOLUTIONS = ("Conv", "QLinearConv", "ConvInteger")
_PRODUCTS = ("MatMul", "Gemm", "QLinearMatMul", "MatMulInteger", "QGemm", "FusedMatMul")
_SECOND = {"QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3}
"""Where an operation's second operand stands, if not at 1."""


def _operands(node: Any) -> tuple[str, str]:
    return node.input[0], node.input[_SECOND.get(node.op_type, 1)]


def _node_macs(node: Any, shapes: Mapping[str, tuple[int, ...]]) -> int:
    first, second = (shapes[name] for name in _operands(node))
    out = shapes[node.output[0]]
    if node.op_type in _CONVOLUTIONS:
        return math.prod(out) * math.prod(second[1:])  # [out, in / groups, kernel...]
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(out) * (first[-2] if transposed else first[-1])

"""How much a network computes: multiplications by weights and between activations, a window."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    """The same of an ONNX file, float or quantised, for a batch of one.

    Raises ValueError where the file leaves a shape open beside the batch.
    """
    import onnx

    model = onnx.load_from_string(network)
    for value in model.graph.input:
        first = value.type.tensor_type.shape.dim[0]
        first.ClearField("dim_param")
        first.dim_value = 1
    for value in model.graph.output:  # their batch is told by the inputs'
        value.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {v.name: _sizes(v) for v in (*graph.value_info, *graph.input, *graph.output)}
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    return sum(_node_macs(node, shapes) for node in graph.node)


_CONVOLUTIONS = ("Conv", "QLinearConv", "ConvInteger")
_PRODUCTS = ("MatMul", "Gemm", "QLinearMatMul", "MatMulInteger", "QGemm", "FusedMatMul")
_SECOND = {"QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3}
"""Where an operation's second operand stands, if not at 1."""


def _node_macs(node: Any, shapes: dict[str, list[int]]) -> int:
    if node.op_type not in (*_CONVOLUTIONS, *_PRODUCTS):
        return 0
    names = node.input[0], node.input[_SECOND.get(node.op_type, 1)], node.output[0]
    if not all(name in shapes for name in names):
        raise ValueError(f"{node.op_type} {node.name}: its shapes are open")
    first, second, out = (shapes[name] for name in names)
    if node.op_type in _CONVOLUTIONS:
        return math.prod(out) * math.prod(second[1:])  # [out, in / groups, kernel...]
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(out) * (first[-2] if transposed else first[-1])


def _sizes(value: Any) -> list[int]:
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]

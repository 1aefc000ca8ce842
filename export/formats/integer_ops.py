"""How much of a network runs in integers: an exporter that silently kept a model float is caught by counting."""

from __future__ import annotations

from dataclasses import dataclass

from edge_asd.errors import DataError

LEAST_INTEGER_SHARE = 0.5
"""Of the multiplying operations (convolutions and matrix products with constant weights) in anything called int8."""


@dataclass(frozen=True)
class OpCount:
    """Operations that multiply by weights: in integers, and all of them."""

    integer: int
    all: int

    @property
    def share(self) -> float:
        """Integer ones of all, 0 where there are none."""
        return self.integer / self.all if self.all else 0.0


def onnx_integer_ops(network: bytes) -> OpCount:
    """Count an ONNX file's multiplying operations, and those whose data and weights come dequantised (QDQ, which the
    runtime fuses to integer kernels) or that are integer by name. Raises DataError for what is no ONNX file."""
    import onnx

    try:
        graph = onnx.load_from_string(network).graph
    except Exception as error:  # protobuf's own, which onnx does not name
        raise DataError("not an ONNX network") from error
    makers = {output: node.op_type for node in graph.node for output in node.output}
    constants = {tensor.name for tensor in graph.initializer}
    integer = total = 0
    for node in graph.node:
        if node.op_type in ("QLinearConv", "ConvInteger", "QLinearMatMul", "MatMulInteger", "DynamicQuantizeMatMul"):
            # Between two activations (attention) nothing is learnt: neither kind of product counts there.
            weights = node.input[3] if node.op_type.startswith("QLinear") else node.input[1]
            integer += weights in constants
            total += weights in constants
        elif node.op_type in ("Conv", "MatMul", "Gemm"):
            weights, made = node.input[1], [makers.get(name) for name in node.input[:2]]
            if weights in constants or (made[1] == "DequantizeLinear" and _constant(graph, weights, constants)):
                total += 1
                integer += made == ["DequantizeLinear", "DequantizeLinear"]
    return OpCount(integer, total)


def _constant(graph, name: str, constants: set[str]) -> bool:
    """Whether a DequantizeLinear's output comes from a stored tensor."""
    return any(name in node.output and node.input[0] in constants for node in graph.node)


def require_integer(count: OpCount, what: str, least_share: float = LEAST_INTEGER_SHARE) -> None:
    """Raise DataError for a network that goes by the name of int8 and multiplies in float."""
    if count.all == 0 or count.share < least_share:
        raise DataError(
            f"{what}: a float model passed as int8: {count.integer} of {count.all} multiplying operations are integer",
            remedy="quantise it: edge-asd export --model DIR --precision int8",
        )

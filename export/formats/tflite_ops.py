"""How much of a TFLite network runs in integers; the counterpart of `integer_ops` for the other format."""

from __future__ import annotations

from typing import Any

from edge_asd.errors import DataError, UnavailableError
from export.formats.integer_ops import OpCount

MULTIPLYING = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL"}
"""Each takes data and weights as its first two inputs."""
INTEGERS = {"INT8", "UINT8", "INT16"}


def tflite_integer_ops(network: bytes) -> OpCount:
    """Count the operations that multiply by stored weights, and those whose data and weights are both integers.

    Weights alone in int8 do not count: such a layer multiplies in float, or quantises anew with every window.
    Raises DataError for what is no TFLite file, UnavailableError without ai-edge-litert, whose schema is used.
    """
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise UnavailableError("ai-edge-litert is not installed", remedy="pip install 'edge-asd[litert]'") from error
    if network[4:8] != b"TFL3":
        raise DataError("not a TFLite network")
    operations = _names(schema.BuiltinOperator)
    types = _names(schema.TensorType)
    try:
        model = schema.ModelT.InitFromPackedBuf(network, 0)
        graph, codes = model.subgraphs[0], [_code(entry) for entry in model.operatorCodes]
        integer = total = 0
        for operation in graph.operators:
            if operations.get(codes[operation.opcodeIndex]) not in MULTIPLYING:
                continue
            data, weights = (graph.tensors[i] for i in operation.inputs[:2])
            stored = model.buffers[weights.buffer]
            if stored.data is None and not stored.size:  # large weights lie behind the tables, at an offset
                continue  # between two activations (attention) nothing is learnt
            total += 1
            integer += types[data.type] in INTEGERS and types[weights.type] in INTEGERS
    except Exception as error:  # whatever an offset beyond the end leads to
        raise DataError(f"a damaged TFLite network: {type(error).__name__}") from error
    return OpCount(integer, total)


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _code(entry: Any) -> int:
    """Files of before 2020 hold the operation in the older of two fields."""
    return max(entry.builtinCode, entry.deprecatedBuiltinCode)

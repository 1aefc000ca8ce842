"""The search as an ONNX graph, written byte by byte: the onnx package is too heavy for a device and the graph is tiny.

Field numbers are those of onnx.proto (github.com/onnx/onnx); the encoding is protobuf's (protobuf.dev, "Encoding").
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_IR_VERSION = 8
_OPSET = 13
_FLOAT, _UINT8, _INT8 = 1, 2, 3
"""TensorProto.DataType."""
_ELEMENT = {np.dtype(np.float32): _FLOAT, np.dtype(np.uint8): _UINT8, np.dtype(np.int8): _INT8}
QUERY = "query"
SIMILARITY = "similarity"


def search_graph(columns: np.ndarray, weights: np.ndarray, digit_weights: np.ndarray, zero_point: int) -> bytes:
    """A model that holds every vector against a query of several digits.

    columns: int8 [d, n], the vectors. weights: float32 [n]. digit_weights: float32 [1, digits].
    The model takes `query` uint8 [digits, d] (zero_point stands for 0) and gives `similarity` float32 [1, n]:
    (sum over digits of digit_weight * (digit - zero_point) @ columns) * weights.
    """
    size, n = columns.shape
    digits = digit_weights.shape[1]
    nodes = (
        _node("MatMulInteger", (QUERY, "columns", "zero_point"), "products"),
        _node("Cast", ("products",), "cast", _message((1, b"to"), (3, _FLOAT), (20, 2))),
        _node("MatMul", ("digit_weights", "cast"), "sums"),
        _node("Mul", ("sums", "weights"), SIMILARITY),
    )
    tensors = (
        _tensor("columns", columns),
        _tensor("zero_point", np.array(zero_point, np.uint8)),
        _tensor("digit_weights", digit_weights),
        _tensor("weights", weights),
    )
    graph = _message(
        *((1, node) for node in nodes),
        (2, b"search"),
        *((5, tensor) for tensor in tensors),
        (11, _value(QUERY, _UINT8, (digits, size))),
        (12, _value(SIMILARITY, _FLOAT, (1, n))),
    )
    return _message((1, _IR_VERSION), (7, graph), (8, _message((1, b""), (2, _OPSET))))


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _message(*fields: tuple[int, int | bytes]) -> bytes:
    """Fields (number, whole number >= 0 or bytes) in protobuf's encoding."""
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts += [_varint(number << 3), _varint(value)]
        else:
            parts += [_varint(number << 3 | 2), _varint(len(value)), value]
    return b"".join(parts)


def _node(operator: str, inputs: Iterable[str], output: str, attribute: bytes | None = None) -> bytes:
    attributes = () if attribute is None else ((5, attribute),)
    return _message(*((1, name.encode()) for name in inputs), (2, output.encode()), (4, operator.encode()), *attributes)


def _tensor(name: str, array: np.ndarray) -> bytes:
    dims = ((1, size) for size in array.shape)
    little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return _message(*dims, (2, _ELEMENT[array.dtype]), (8, name.encode()), (9, little_endian.tobytes()))


def _value(name: str, element: int, shape: tuple[int, ...]) -> bytes:
    dims = _message(*((1, _message((1, size))) for size in shape))
    return _message((1, name.encode()), (2, _message((1, _message((1, element), (2, dims))))))

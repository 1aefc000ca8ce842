"""Static int8 by ONNX Runtime: QDQ, unsigned activations, signed per-channel weights, ranges by MinMax.

`reduce_range` keeps weights to 7 bits, without which a CPU that lacks VNNI saturates and gives other numbers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from edge_asd.errors import DataError
from export.onnx_export import INPUT
from export.recipe import QuantiseSettings

CALIBRATION_BATCH = 16


def quantised(network: bytes, calibration: np.ndarray, settings: QuantiseSettings) -> bytes:
    """The int8 twin of a float ONNX network.

    calibration: inputs the network will see, float32 [n, 1, frames, mels], normalised.
    Raises DataError when the calibration holds nothing to learn ranges from.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if not len(calibration) or not np.isfinite(calibration).all() or np.ptp(calibration) == 0.0:
        raise DataError("the calibration windows are empty, silent or not finite", remedy="calibrate on machine sound")
    with tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (Path(folder) / name for name in ("source.onnx", "prepared.onnx", "target.onnx"))
        source.write_bytes(network)
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        convolutions = [node.name for node in onnx.load(prepared).graph.node if node.op_type == "Conv"]
        floats = convolutions[: settings.float_first] + convolutions[len(convolutions) - settings.float_last :]
        quantize_static(
            str(prepared),
            str(target),
            _Calibration(calibration),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=floats,
        )
        return target.read_bytes()


class _Calibration:
    """ONNX Runtime's calibration reader over an array."""

    def __init__(self, windows: np.ndarray) -> None:
        self._batches: Iterator[np.ndarray] = (
            windows[start : start + CALIBRATION_BATCH] for start in range(0, len(windows), CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch, None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def integer_convolutions(network: bytes) -> tuple[int, int]:
    """(convolutions that run in integers, all convolutions): those fed by DequantizeLinear on data and weights."""
    graph = onnx.load_from_string(network).graph
    makers = {output: node.op_type for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type in ("Conv", "QLinearConv", "ConvInteger")]
    integer = [
        node
        for node in convolutions
        if node.op_type != "Conv" or all(makers.get(name) == "DequantizeLinear" for name in node.input[:2])
    ]
    return len(integer), len(convolutions)

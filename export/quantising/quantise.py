"""Int8 by ONNX Runtime: static QDQ with unsigned activations, signed per-channel weights and ranges by MinMax, or
dynamic, where ranges are measured as it runs.

`reduce_range` keeps weights to 7 bits, without which a CPU that lacks VNNI saturates and gives other numbers.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx

from edge_asd.contract import LOG_MEL, SECTION, tensor_name
from edge_asd.errors import ConfigError, DataError

CALIBRATION_BATCH = 16
WEIGHTED = ("Conv", "MatMul", "Gemm")
"""Operations that can multiply by stored weights."""
ATTENTION = "Softmax"
"""Its presence tells a transformer: there only products are quantised, for LayerNorm and Gelu stay float anyway and
every border between float and integers costs time."""


class Quantiser:
    """A float ONNX network with the ranges of its activations, measured once, quantised as often as asked.

    network: the float network.
    inputs: what it will see, normalised log-mel float32 [n, 1, frames, mels], or each of its inputs by the contract's
        name, [n, ...].
    layers: names of the operations that multiply by weights, in order from the input.
    Raises DataError when the inputs hold nothing to learn ranges from.
    """

    def __init__(self, network: bytes, inputs: np.ndarray | Mapping[str, np.ndarray]) -> None:
        from onnxruntime.quantization import CalibrationMethod
        from onnxruntime.quantization.calibrate import create_calibrator
        from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
        from onnxruntime.quantization.shape_inference import quant_pre_process

        fed = inputs if isinstance(inputs, Mapping) else {LOG_MEL: inputs}
        for name, array in fed.items():
            if name != SECTION:
                check_inputs(array)
        with tempfile.TemporaryDirectory() as folder:
            source, prepared, augmented = (str(Path(folder) / name) for name in ("source", "prepared", "augmented"))
            Path(source).write_bytes(network)
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            self._prepared = onnx.load(prepared)
            graph = self._prepared.graph
            transformer = any(node.op_type == ATTENTION for node in graph.node)
            every = sorted({*QLinearOpsRegistry, *QDQRegistry})
            self._operations = list(WEIGHTED) if transformer else every
            calibrator = create_calibrator(
                prepared, self._operations, augmented_model_path=augmented, calibrate_method=CalibrationMethod.MinMax
            )
            calibrator.collect_data(_Calibration({tensor_name(name): array for name, array in fed.items()}))
            self._ranges = calibrator.compute_data()
        stored = {tensor.name for tensor in graph.initializer}
        self.layers = [n.name for n in graph.node if n.op_type in WEIGHTED and stored.intersection(n.input[:2])]
        self.kinds = {node.name: node.op_type for node in graph.node if node.name in self.layers}

    def static(self, floats: Collection[str] = (), activation_bits: int = 8) -> bytes:
        """The int8 twin; the layers in `floats` stay in float."""
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        model = onnx.ModelProto()
        model.CopyFrom(self._prepared)
        quantizer = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=True,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8 if activation_bits == 8 else QuantType.QUInt16,
            tensors_range=self._ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=list(floats),
            op_types_to_quantize=self._operations,
            # The standard's own 16-bit operators came with opset 21, which older runtimes on boards do not read.
            extra_options={"UseQDQContribOps": activation_bits == 16},
        )
        with _quiet():
            quantizer.quantize_model()
        return quantizer.model.model.SerializeToString()

    def dynamic(self) -> bytes:
        """The network with int8 weights whose activations are quantised as it runs: matrix products only."""
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "source.onnx", Path(folder) / "target.onnx"
            onnx.save(self._prepared, source)
            quantize_dynamic(
                str(source),
                str(target),
                op_types_to_quantize=["MatMul", "Gemm"],
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
            )
            return target.read_bytes()

    def ends(self, first: int, last: int) -> list[str]:
        """Names of the first and last layers. Raises ConfigError where that would leave nothing to quantise."""
        if first + last >= len(self.layers):
            raise ConfigError(f"{first} + {last} float layers leave nothing of {len(self.layers)} to quantise")
        return self.layers[:first] + self.layers[len(self.layers) - last :]


def check_inputs(inputs: np.ndarray) -> None:
    """Raise DataError for calibration windows that are empty, silent or not finite."""
    if not len(inputs) or not np.isfinite(inputs).all() or np.ptp(inputs) == 0.0:
        raise DataError("the calibration windows are empty, silent or not finite", remedy="calibrate on machine sound")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's warnings of weights of one axis (of norms), which have no channels to tell apart."""
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


class _Calibration:
    """ONNX Runtime's calibration reader over arrays, the graph's name of each input -> [n, ...]."""

    def __init__(self, inputs: Mapping[str, np.ndarray]) -> None:
        n = len(next(iter(inputs.values())))
        starts = range(0, n, CALIBRATION_BATCH)
        self._batches: Iterator[dict[str, np.ndarray]] = (
            {name: array[start : start + CALIBRATION_BATCH] for name, array in inputs.items()} for start in starts
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch, None at the end."""
        return next(self._batches, None)

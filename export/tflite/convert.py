"""From torch to TFLite: float by litert-torch, then int8 by ai-edge-quantizer. Both stay in an extra of their own.

Activation ranges are the widest any calibration window shows. The quantiser by itself averages them from window to
window, which cuts off what is loud and rare: on a MobileFaceNet the worst embedding's cosine to the float one fell from
0.99 to 0.93.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd.errors import DataError, UnavailableError
from export.networks.rewrite import folded

SIGNATURE, INPUT = "serving_default", "args_0"
"""What litert-torch calls the only signature and its only input."""
CONVOLUTIONS, FULLY_CONNECTED = (3, 4), (9,)
"""CONV_2D and DEPTHWISE_CONV_2D, and FULLY_CONNECTED, in TFLite's schema."""


def to_tflite(model: Any, window_frames: int, n_mels: int) -> bytes:
    """A torch network as a float TFLite file: [1, 1, window_frames, n_mels] -> [1, d], BatchNorms folded.

    Raises UnavailableError without the extra, DataError for what cannot be converted.
    """
    import torch

    with _needs_the_extra(), _quiet():
        import litert_torch

        try:
            converted = litert_torch.convert(folded(model), (torch.zeros(1, 1, window_frames, n_mels),))
        except Exception as error:  # the converter's own, torch's and MLIR's have no common class
            raise DataError(f"the network cannot be converted to TFLite: {_first_line(error)}") from error
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.tflite"
            converted.export(str(path))
            return path.read_bytes()


def quantised_tflite(network: bytes, calibration: np.ndarray, *, float_first: int = 0, float_last: int = 0) -> bytes:
    """The int8 twin of a float TFLite network: int8 activations, int8 weights per channel.

    A network without convolutions is taken for a transformer: only its fully-connected layers become int8, since
    LayerNorm and softmax lose much and gain nothing; both ends of the file stay float.

    calibration: inputs the network will see, float32 [n, 1, frames, mels], normalised.
    float_first, float_last: the network up to and with its first so many convolutions, and from its last so many on,
        stays float (of a transformer, so many fully-connected layers). With 0 for both, input and output of a
        convolutional network's file are int8 as well.

    Raises UnavailableError without the extra, DataError when the calibration holds nothing to learn ranges from.
    """
    if not len(calibration) or not np.isfinite(calibration).all() or np.ptp(calibration) == 0.0:
        raise DataError("the calibration windows are empty, silent or not finite", remedy="calibrate on machine sound")
    with _needs_the_extra(), _quiet():
        from ai_edge_quantizer import quantizer
        from ai_edge_quantizer.algorithm_manager import AlgorithmName
        from ai_edge_quantizer.calibrator import Calibrator
        from ai_edge_quantizer.qtyping import TFLOperationName
        from ai_edge_quantizer.recipe_manager import RecipeManager

        layers = _Layers.of(network)
        recipe, float_ = RecipeManager(), {"algorithm_key": AlgorithmName.NO_QUANTIZE}
        all_ = TFLOperationName.ALL_SUPPORTED if layers.convolutional else TFLOperationName.FULLY_CONNECTED
        recipe.add_static_config(".*", all_, activation_num_bits=8, weight_num_bits=8)
        for scope in layers.first(float_first) + layers.last(float_last):
            recipe.add_quantization_config(re.escape(scope), TFLOperationName.ALL_SUPPORTED, **float_)
        if float_first:
            recipe.add_quantization_config(".*", TFLOperationName.INPUT, **float_)
        if float_last:
            recipe.add_quantization_config(".*", TFLOperationName.OUTPUT, **float_)
        calibrator = Calibrator(network, num_threads=1, qsv_update_func=_widest)
        calibrator.calibrate({SIGNATURE: [{INPUT: window[None]} for window in calibration]}, recipe)
        result = quantizer.Quantizer(network, recipe.get_quantization_recipe()).quantize(
            calibrator.get_model_qsvs(), enable_progress_bar=False, enable_progress_report=False
        )
        return bytes(result.quantized_model)


def _widest(known: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Ranges that hold both."""
    if not known:
        return new
    return {"min": np.minimum(known["min"], new["min"]), "max": np.maximum(known["max"], new["max"])}


@dataclass(frozen=True)
class _Layers:
    """A network's operations in order, by the quantiser's names for them.

    scopes: of all. at: places of those that multiply by weights. convolutional: whether these are convolutions.
    """

    scopes: list[str]
    at: list[int]
    convolutional: bool

    @classmethod
    def of(cls, network: bytes) -> _Layers:
        from ai_edge_quantizer.utils.tfl_flatbuffer_utils import get_op_scope, read_model

        model = read_model(network)
        graph = model.subgraphs[0]
        codes = [model.operatorCodes[operation.opcodeIndex].builtinCode for operation in graph.operators]
        convolutional = any(code in CONVOLUTIONS for code in codes)
        wanted = CONVOLUTIONS if convolutional else FULLY_CONNECTED
        scopes = [get_op_scope(operation, graph.tensors) for operation in graph.operators]
        return cls(scopes, [i for i, code in enumerate(codes) if code in wanted], convolutional)

    def first(self, n: int) -> list[str]:
        """Everything up to the n-th layer; nothing with 0."""
        return self.scopes[: self._place(n - 1) + 1] if n else []

    def last(self, n: int) -> list[str]:
        """Everything from the n-th last layer on."""
        return self.scopes[self._place(len(self.at) - n) :] if n else []

    def _place(self, layer: int) -> int:
        if not 0 <= layer < len(self.at):
            raise DataError(f"more layers are to stay float than the network's {len(self.at)}")
        return self.at[layer]


@contextlib.contextmanager
def _needs_the_extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise UnavailableError(
            f"{error.name} is not installed", remedy="pip install 'edge-asd[tflite-export]'"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The converter and the quantiser tell of every step, on both streams."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)

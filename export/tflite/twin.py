"""A network's TFLite twin as a package takes it: converted, quantised, its integer operations counted, compared."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_asd.errors import DataError
from edge_asd.inference.onnx import OnnxEmbedder
from edge_asd.inference.tflite import TfliteEmbedder
from export.formats.integer_ops import OpCount, require_integer
from export.formats.tflite_ops import tflite_integer_ops
from export.networks.rewrite import without_prelu
from export.packages.make import Source, fed_windows
from export.parity.compare import cosines
from export.quantising.calibration import simulated_windows
from export.tflite.convert import quantised_tflite, to_tflite

TOOLS = ("litert-torch", "ai-edge-quantizer", "ai-edge-litert", "torch")
CHECK_WINDOWS = 256


@dataclass(frozen=True)
class Twin:
    """A TFLite file. count: of operations that multiply by weights. cosine_mean, cosine_min: of its embeddings to the
    float ONNX network's, over simulated windows it was not calibrated on. provenance: how it was made."""

    network: bytes
    count: OpCount
    cosine_mean: float
    cosine_min: float
    provenance: dict[str, Any]


def float_twin(source: Source) -> Twin:
    """The float TFLite file. Raises UnavailableError without the extra, DataError."""
    return _compared(source, _converted(source), {}, seed=1)


def int8_twin(
    source: Source, windows_db: np.ndarray, calibrated_on: str, *, float_first: int, float_last: int, seed: int = 1
) -> Twin:
    """The int8 TFLite file.

    windows_db: to calibrate on, float32 [n, frames, mels] in dB; windows with bands cut away are added. calibrated_on:
    what they are, in words. float_first, float_last: see `export.tflite.convert.quantised_tflite`.
    Raises UnavailableError without the extra, DataError (silent calibration, a result that multiplies in float).
    """
    fed = fed_windows(source, windows_db, seed)
    network = quantised_tflite(_converted(source), fed, float_first=float_first, float_last=float_last)
    require_integer(tflite_integer_ops(network), "the TFLite twin")
    made = {"calibration": calibrated_on, "float_first": float_first, "float_last": float_last}
    return _compared(source, network, made, seed)


def _converted(source: Source) -> bytes:
    if source.model is None:
        raise DataError(
            f"{source.contract.name}: its torch network cannot be had from this package",
            remedy="name the training run: RUN/best",
        )
    contract = source.contract
    return to_tflite(without_prelu(source.model), contract.window_frames, contract.features.n_mels)


def _compared(source: Source, network: bytes, made: dict[str, Any], seed: int) -> Twin:
    contract = source.contract
    windows = simulated_windows(contract, CHECK_WINDOWS, seed + 1)
    found = cosines(
        TfliteEmbedder(network, contract).embed(windows), OnnxEmbedder(source.network, contract).embed(windows)
    )
    mean, least = round(float(found.mean()), 5), round(float(found.min()), 5)
    count = tflite_integer_ops(network)
    provenance = {
        **made,
        "tools": {name: importlib.metadata.version(name) for name in TOOLS},
        "integer_operations": [count.integer, count.all],
        "cosine_to_fp32": {"mean": mean, "min": least},
    }
    return Twin(network, count, mean, least, provenance)

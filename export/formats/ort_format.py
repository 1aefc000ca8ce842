"""ONNX Runtime's own file format: the graph already optimised, so that starting takes a third of the time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from edge_asd.contract import ModelContract
from edge_asd.inference.onnx import OnnxEmbedder

STARTS = 9

PORTABLE_WITHOUT = ("NchwcTransformer",)
"""This optimiser lays tensors out for the vector width of the machine it runs on; its files suit no other."""


def as_ort(network: bytes) -> bytes:
    """An ONNX network as an .ort file that runs on any processor."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "network.ort"
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(target)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        options.add_session_config_entry("session.save_model_format", "ORT")
        onnxruntime.InferenceSession(
            network, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(PORTABLE_WITHOUT)
        )
        return target.read_bytes()


def start_ms(networks: Sequence[bytes], contract: ModelContract) -> list[float]:
    """Median CPU time from a network's bytes to a session ready to run, in turn."""
    taken: list[list[float]] = [[] for _ in networks]
    for _ in range(STARTS):
        for times, network in zip(taken, networks, strict=True):
            before = time.process_time_ns()
            OnnxEmbedder(network, contract)
            times.append((time.process_time_ns() - before) / 1e6)
    return [sorted(times)[STARTS // 2] for times in taken]

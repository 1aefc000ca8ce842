"""How much of a board the network may use: threads, and the accelerator of a Jetson."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ACCELERATORS = ("none", "cuda", "tensorrt")
Provider = tuple[str, dict[str, Any]]
"""Name and options of an ONNX Runtime execution provider."""
CPU: Provider = ("CPUExecutionProvider", {})


@dataclass(frozen=True)
class Engine:
    """What a runtime is started with.

    threads: of its own; one leaves the board's other cores alone.
    accelerator: "none", "cuda" or "tensorrt". Where ONNX Runtime has no such provider the CPU does the work.
    cache: directory where TensorRT keeps the engines it builds, which takes minutes on a Jetson; "": nowhere.
    """

    threads: int = 1
    accelerator: str = "none"
    cache: str = ""


def providers(engine: Engine, available: Sequence[str]) -> list[Provider]:
    """ONNX Runtime's execution providers, the preferred first, always ending with the CPU.

    available: the providers this build of ONNX Runtime has.

    The int8 networks are QDQ models: TensorRT takes scales from the graph when int8 is on, and may use fp16 for what
    was left in float (ONNX Runtime's documentation of the TensorRT provider).
    """
    cuda: Provider = ("CUDAExecutionProvider", {"device_id": 0, "arena_extend_strategy": "kSameAsRequested"})
    options: dict[str, Any] = {"device_id": 0, "trt_int8_enable": True, "trt_fp16_enable": True}
    if engine.cache:
        options |= {"trt_engine_cache_enable": True, "trt_engine_cache_path": engine.cache}
        options |= {"trt_timing_cache_enable": True, "trt_timing_cache_path": engine.cache}
    tensorrt: Provider = ("TensorrtExecutionProvider", options)
    wanted = {"none": [], "cuda": [cuda], "tensorrt": [tensorrt, cuda]}[engine.accelerator]
    return [*(provider for provider in wanted if provider[0] in available), CPU]

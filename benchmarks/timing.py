"""Fair timing on a noisy machine: the contenders take turns in one process, and CPU time is compared, not wall time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """CPU milliseconds of one call: median and the 5th, 10th and 95th percentile."""

    median_ms: float
    p5_ms: float
    p95_ms: float
    p10_ms: float


def take_turns(contenders: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 3) -> dict[str, Timing]:
    """CPU time of each contender over `rounds` rounds in which every contender runs once."""
    for call in contenders.values():
        for _ in range(warm_up):
            call()
    spent_ms: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            before = time.process_time_ns()
            call()
            spent_ms[name].append((time.process_time_ns() - before) / 1e6)
    return {
        name: Timing(*(float(np.percentile(times, p)) for p in (50, 5, 95, 10))) for name, times in spent_ms.items()
    }


def machine() -> str:
    """One line naming the processor and the versions that decide the speed."""
    import platform
    from pathlib import Path

    import onnxruntime

    cpu = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith(("model name", "flags"))]
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
        extensions = [f for f in ("avx2", "avx512f", "avx512_vnni") if any(f in line for line in lines)]
        cpu = f"{cpu} {name} ({', '.join(extensions)})"
    return f"{cpu}, Python {platform.python_version()}, numpy {np.__version__}, onnxruntime {onnxruntime.__version__}"

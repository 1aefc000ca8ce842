"""One measurement in a process of its own: `python -m edge_asd.bench.child`, request on standard input, result on
standard output, both JSON.

A process of its own, because peak memory and start-up belong to a process, and runtimes must not disturb each other.
The request is {"task": "enrol", "package", "precision", "runtime", "sound", "bundle"} or
{"task": "listen", "runtime", "sound", "bundle", "seconds"}; sound is a .npy of float32 samples at the model's rate.
"""

from __future__ import annotations

import json
import sys
import time

BEGAN_NS = time.process_time_ns()  # before anything heavy is imported

import functools  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

from edge_asd.errors import EdgeAsdError  # noqa: E402

WARM_UP_STEPS = 3
WINDOWS = 16
"""Different ones that the stages are measured on in turn."""
STAGES = ("feature", "model", "score", "step")


def enrol(request: dict[str, Any]) -> dict[str, Any]:
    """Write a bundle fitted by the runtime that will be measured."""
    from edge_asd.bundle.bundle import save_bundle
    from edge_asd.enrolment.enrol import Enrolment
    from edge_asd.inference import load_embedder, runnable_formats
    from edge_asd.model_package import load_model

    model = load_model(Path(request["package"]), request["precision"], runnable_formats(request["runtime"]))
    if model.contract.sections:
        model = model.for_section(model.contract.sections[0])  # all cost the same
    enrolment = Enrolment(model, load_embedder(model, request["runtime"]), strict=False)
    enrolment.add_samples(np.load(request["sound"]), "bench")
    save_bundle(enrolment.finish({"source": "bench"}), Path(request["bundle"]))
    n_bytes = sum(len(network.data) for network in model.graphs.values())
    return {"format": model.network_format, "model_bytes": n_bytes}


def listen(request: dict[str, Any]) -> dict[str, Any]:
    """Play the sound through the pipe a device runs, step by step, as often as fills the time."""
    from edge_asd.audio.block import AudioBlock
    from edge_asd.bench.board import EnergyMeter
    from edge_asd.bundle.bundle import load_bundle

    bundle = load_bundle(Path(request["bundle"]))
    detector = bundle.detector()
    contract = bundle.contract
    step = contract.step_frames * contract.features.hop_samples
    sound = np.load(request["sound"])
    steps = [sound[start : start + step] for start in range(0, sound.size - step + 1, step)]
    window = contract.window_samples
    detector.push(AudioBlock(sound[:window], 0, 0.0))
    start_up_ms = (time.process_time_ns() - BEGAN_NS) / 1e6
    rss_mib = _peak_rss_mib()
    stages = _stages(bundle, sound, window, step)
    meter = EnergyMeter.find()
    wall_ms: dict[str, list[float]] = {name: [] for name in STAGES}
    position, cpu_ns, heard_s, energy_j = window, 0, 0.0, 0.0
    ends_at = time.monotonic() + request["seconds"]
    n = 0
    while time.monotonic() < ends_at or n < WARM_UP_STEPS + 20:
        samples = steps[n % len(steps)]
        for name, call in stages.items():
            wall_ms[name].append(_timed(functools.partial(call, n)))
        before_uj, before_ns = meter.read() if meter else 0.0, time.process_time_ns()
        block = AudioBlock(samples, position, 0.0)
        wall_ms["step"].append(_timed(functools.partial(detector.push, block)))
        if n >= WARM_UP_STEPS:
            cpu_ns += time.process_time_ns() - before_ns
            energy_j += meter.joules_since(before_uj) if meter else 0.0
            heard_s += samples.size / contract.features.rate_hz
        position += samples.size
        n += 1
    kept = {name: times[WARM_UP_STEPS:] for name, times in wall_ms.items()}
    mean_step_s = float(np.mean(kept["step"])) / 1000.0
    return {
        **_percentiles(kept["step"]),
        "stages": {name: _percentiles(kept[name]) for name in STAGES[:-1]},
        "cpu_ms_per_audio_s": cpu_ns / 1e6 / heard_s,
        "real_time_factor": mean_step_s / (step / contract.features.rate_hz),
        "rss_mib": rss_mib,
        "start_up_cpu_ms": start_up_ms,
        "energy_mj_per_audio_s": 1000.0 * energy_j / heard_s if meter else None,
        "steps": len(kept["step"]),
    }


def _stages(bundle: Any, sound: np.ndarray, window: int, step: int) -> dict[str, Callable[[int], object]]:
    """The pipe's three stages, each by itself on the n-th step of the sound."""
    from edge_asd.clips import Clip
    from edge_asd.frontend import LogMel
    from edge_asd.scorers import features_of
    from edge_asd.windows import Windows

    spec, contract = bundle.contract.features, bundle.contract
    few = sound[: window + (WINDOWS - 1) * step]
    clip = Clip(LogMel(spec, padded=False).push(few), few if bundle.uses_waveform else None)
    parts = list(Windows.of(clip.windows(contract)).parts(1))
    windows = parts if bundle.uses_waveform else [part.frames for part in parts]
    streaming = LogMel(spec, padded=False)
    streaming.push(sound[:window])
    specs, embedder = bundle.normal.specs, bundle.embedder
    of_network = [known for known in specs if known.view_of.uses_network]
    features = [features_of(specs, chosen, embedder) for chosen in windows]
    steps = [sound[start : start + step] for start in range(0, sound.size - step + 1, step)]
    return {
        "feature": lambda n: streaming.push(steps[n % len(steps)]),
        "model": lambda n: features_of(of_network, windows[n % len(windows)], embedder),
        "score": lambda n: bundle.normal.distances(features[n % len(windows)]),
    }


def _peak_rss_mib() -> float:
    """Of this program alone: the figure of getrusage would begin with the parent's memory."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _timed(call: Callable[[], object]) -> float:
    before = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - before) / 1e6


def _percentiles(times_ms: list[float]) -> dict[str, float]:
    p50, p95, p99 = np.percentile(times_ms, (50, 95, 99))
    return {"p50_ms": float(p50), "p95_ms": float(p95), "p99_ms": float(p99)}


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    try:
        json.dump({"enrol": enrol, "listen": listen}[asked["task"]](asked), sys.stdout)
    except EdgeAsdError as failure:
        sys.exit(str(failure))  # the row's "error": what happened, in one line

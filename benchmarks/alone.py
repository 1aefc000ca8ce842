"""The network and the log-mel kernel, each by itself with a warm cache: int8 against float32, C against numpy.

    python -m benchmarks.alone [--rounds N] [--json]

One thread, CPU time. In `benchmarks.pipeline` every contender finds the cache emptied by the others, as on a board that
does other things too. Here each runs a stretch of calls at a time and the stretches take turns: the fastest tenth of
them shows what the work itself takes, even while other programs run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import numpy as np

from benchmarks.timing import machine, take_turns
from edge_asd.contract import LogMelSpec
from edge_asd.frontend import LogMel, hann_periodic, log_mel, mel_weights
from edge_asd.inference import load_embedder
from edge_asd.model_package import load_model
from edge_asd.native import library
from edge_asd.native.logmel import NativeKernel
from edge_asd.simulator import Machine, Scene, render
from edge_asd.windows import clip_windows

CALLS = 8
"""In a stretch."""
SOUND_S = 30.0
NETWORK, LOG_MEL = "network, ms a window", "log-mel, us a second of audio"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alone", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=200, help="stretches of each contender (200)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = parser.parse_args()
    result = measure(args.rounds)
    if args.json:
        json.dump(result, sys.stdout, indent=1)
        print()
        return 0
    print(result["machine"])
    for what in (NETWORK, LOG_MEL):
        first = next(iter(result[what].values()))
        print(f"\n| {what} | fastest tenth | median | times the first row |\n|---|---|---|---|")
        for name, row in result[what].items():
            times = f"{row['p10'] / first['p10']:.2f} / {row['median'] / first['median']:.2f}"
            print(f"| {name} | {row['p10']:.3f} | {row['median']:.3f} | {times} |")
    print(f"\nlargest difference of log-mel in C from numpy's: {result['kernels_apart_db']:.1e} dB")
    return 0


def measure(rounds: int) -> dict:
    """CPU time by contender of what is named by `NETWORK` and `LOG_MEL`, and how far the kernels are apart."""
    contract = load_model().contract
    spec = contract.features
    rng = np.random.default_rng(7)
    sound = render(Machine.random("fan", rng), Scene.random(rng), SOUND_S, rng, rate_hz=spec.rate_hz)
    window = clip_windows(log_mel(sound, spec), contract)[0][:1]
    embedders = {precision: load_embedder(load_model(precision=precision)) for precision in ("int8", "fp32")}
    step = sound[: contract.step_frames * spec.hop_samples]
    fronts = {"numpy": LogMel(spec, padded=False, kernel="numpy").push}
    native = LogMel(spec, padded=False, kernel="native")
    fronts[f"C ({library.load().detail})"] = native.push
    kernel = plain_kernel(spec)
    apart_db = np.abs(LogMel(spec, padded=False, kernel="numpy").push(sound) - native.push(sound)).max()
    native.reset()
    log_mels: dict[str, Callable[[], object]] = {name: partial(push, step) for name, push in fronts.items()}
    n_frames = (step.size - spec.n_fft) // spec.hop_samples + 1
    if library.load().detail == "avx2":
        log_mels["C (without AVX2)"] = lambda: kernel.frames(step, n_frames)
    return {
        "machine": machine(),
        NETWORK: _timed({name: partial(e.embed, window) for name, e in embedders.items()}, rounds, 1.0),
        LOG_MEL: _timed(log_mels, rounds, 1e3 / contract.step_s),
        "kernels_apart_db": float(apart_db),
    }


def plain_kernel(spec: LogMelSpec) -> NativeKernel:
    """The C kernel without AVX2, as processors that lack it load it."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(library.FOLDER / "liblogmel.so", folder)
        functions = library.load(Path(folder)).functions
    assert functions is not None, "the kernel that is loaded here was copied"
    return NativeKernel(functions, spec, hann_periodic(spec.n_fft), mel_weights(spec))


def _timed(calls: Mapping[str, Callable[[], object]], rounds: int, scale: float) -> dict[str, dict[str, float]]:
    """CPU time of one call, by contender: median and fastest tenth of the stretches."""

    def stretch(call: Callable[[], object]) -> None:
        for _ in range(CALLS):
            call()

    taken = take_turns({name: partial(stretch, call) for name, call in calls.items()}, rounds)
    scale /= CALLS
    return {name: {"p10": t.p10_ms * scale, "median": t.median_ms * scale} for name, t in taken.items()}


if __name__ == "__main__":
    sys.exit(main())

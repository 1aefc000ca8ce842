"""The published systems at their published sizes: parameters, work, one training step, one exported inference, and
what a training on a set of the size of DCASE 2022's would take.

    python -m benchmarks.systems [--recipes A,B] [--seconds N] [--json]

One thread, CPU time, so that a busy machine costs patience and no truth. The batch of a step is noise of the recipe's
shape; a small one is timed and scaled to the recipe's.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import numpy as np
import torch

from benchmarks.timing import machine
from edge_asd.contract import SECTION, ModelContract
from edge_asd.errors import EdgeAsdError
from edge_asd.model_package import EMBEDDER
from export.formats.onnx_export import graphs_to_onnx
from export.networks.network import Network
from export.networks.registry import build_network, count_parameters
from export.recipe import Recipe
from export.recipes.load import load_recipe
from export.systems.plan import measured_step_s, window_macs

SYSTEMS = ("vit-knn", "panns-clvae", "w2v-ast-bank", "mfn-dual", "maf", "stgram-mfn", "stgram-mnv3")
SECTIONS, CLIPS = 21, 1000
"""Of the development set of DCASE 2022: seven machines, three sections each, and their training clips."""
CLIP_S = 10.0
GPU_TERA = 20.0
"""Assumed, not measured: 10^12 floating-point operations a second that a training step of such small networks draws
from one present GPU; its data sheet says several times as much."""
PASSES = 3
"""A training step is one forward pass and about two more for the gradients."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.systems", description=__doc__.split("\n")[0])
    parser.add_argument("--recipes", default=",".join(SYSTEMS), help="which (all of the published sizes)")
    parser.add_argument("--seconds", type=float, default=3.0, help="CPU time spent on inferences of each (3)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in args.recipes.split(","):
        try:
            rows.append(measured(load_recipe(name), args.seconds))
        except EdgeAsdError as error:
            print(f"{name}: {error}", file=sys.stderr)
        gc.collect()
    if args.json:
        json.dump({"machine": machine(), "gpu_tera_assumed": GPU_TERA, "systems": rows}, sys.stdout, indent=1)
        print()
        return 0
    print(machine())
    print(f"{'':14s} {'param M':>8s} {'GMAC/clip':>9s} {'step s':>7s} {'infer ms':>8s} {'h 2 cores':>9s} {'h GPU':>6s}")
    for row in rows:
        times = f"{row['step_cpu_s']:7.2f} {row['inference_cpu_ms']:8.2f} {row['hours_2_cores']:9.1f}"
        work = f"{row['parameters'] / 1e6:8.2f} {row['gmac_per_clip']:9.2f}"
        print(f"{row['recipe']:14s} {work} {times} {row['hours_gpu']:6.2f}")
    return 0


def measured(recipe: Recipe, seconds: float) -> dict[str, Any]:
    """One system's row; see the module."""
    if SECTION in recipe.model.scorer_inputs:
        names = tuple(f"machine/{i:02d}" for i in range(SECTIONS // 7))
        recipe = dataclasses.replace(recipe, contract=dataclasses.replace(recipe.contract, sections=names))
    torch.manual_seed(0)
    network = build_network(recipe)
    contract, settings = recipe.model_contract(), recipe.train
    macs = sum(window_macs(network, contract).values())
    windows = max(1, -(-(round(CLIP_S / _hop_s(contract)) + 1 - contract.window_frames) // contract.step_frames))
    batch = settings.groups_per_batch * settings.windows_per_group
    step_s = measured_step_s(recipe, network, max(2, len(contract.sections)), clock=time.process_time)
    steps = settings.epochs * -(-SECTIONS * CLIPS // settings.groups_per_batch) if settings.epochs else settings.steps
    return {
        "recipe": recipe.name,
        "parameters": count_parameters(network),
        "macs_per_window": macs,
        "windows_per_clip": windows,
        "gmac_per_clip": macs * windows / 1e9,
        "windows_per_step": batch,
        "step_cpu_s": step_s,
        "inference_cpu_ms": inference_cpu_ms(network, contract, seconds),
        "steps": steps,
        "hours_2_cores": steps * step_s / 2 / 3600.0,
        "hours_gpu": steps * batch * macs * 2 * PASSES / (GPU_TERA * 1e12) / 3600.0,
    }


def inference_cpu_ms(network: Network, contract: ModelContract, seconds: float) -> float:
    """Median CPU time of one window through the exported float graphs in ONNX Runtime, one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    calls: list[Callable[[], object]] = []
    rng = np.random.default_rng(0)
    for name, graph in graphs_to_onnx(network.eval(), contract).items():
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        inputs = contract.inputs if name == EMBEDDER else contract.scorer_inputs
        fed = {
            tensor.name: rng.standard_normal((1, *contract.shape_of(own))).astype(np.float32)
            for tensor, own in zip(session.get_inputs(), inputs, strict=True)
        }
        calls.append(lambda session=session, fed=fed: session.run(None, fed))  # type: ignore[misc]
    spent: list[float] = []
    began = time.process_time()
    while len(spent) < 3 or time.process_time() - began < seconds:
        before = time.process_time()
        for call in calls:
            call()
        spent.append(time.process_time() - before)
    return float(np.median(spent)) * 1e3


def _hop_s(contract: ModelContract) -> float:
    return contract.features.hop_samples / contract.features.rate_hz


if __name__ == "__main__":
    sys.exit(main())

"""What each family of variety, each target and loss, and each shape of network is worth to an embedder.

    python -m benchmarks.embedder_ablation CASES.csv --teacher yamnet_int8.tflite --work DIR [--only NAME ...]

FAMILIES: a third of the default's width, 120 machines, 300 steps, taught the teacher of the clip with its bands apart.
TARGETS: the default network, 560 machines, 500 steps, no masks, taught the mean of the teacher's bands. Both on windows
of two seconds. SHAPES: the default recipe with 560 machines; 500 steps on windows of two seconds, or as many as make
the same number of multiply-accumulates where the network or its window is another. Each is measured as
`benchmarks.embedder` does: 1-NN alone on recordings, and its cosine to the teacher of the clip (its bands as they were
taught), whatever part of the clip the teacher heard in training. Generated sound and what recordings sound like to the
teacher are kept under --work, so a stopped run goes on with the row it was at; a row trained before has no seconds. One
seed: differences of .02 in AUC are noise.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import numpy as np

from benchmarks.embedder import alike, changed, generated, hard_cases, heard, nearest
from edge_asd.evaluation.cases import Case
from edge_asd.inference.embedder import normalised
from export.recipe import Recipe
from export.recipes.load import load_recipe
from export.teacher.yamnet import Teacher, without_bands

BASE = "mfn-128"
TWO_SECONDS: dict[str, Any] = {"contract.window_frames": 64, "contract.step_frames": 32, "data.windows_per_clip": 4}
UNMASKED: dict[str, Any] = {"augment.time_masks": 0, "augment.mel_masks": 0}
SMALL: dict[str, Any] = (
    TWO_SECONDS
    | UNMASKED
    | {
        "data.machines": 120,
        "data.teacher_hears": ("clip",),
        "model.width": 0.25,
        "train.steps": 300,
        "train.warmup_steps": 80,
        "train.teacher_bands": True,
        "train.centred_targets": False,
    }
)
LARGE: dict[str, Any] = {"data.machines": 560, "train.steps": 500, "train.warmup_steps": 60}
PROBABILITY = 0.5
FAMILY_NAMES = ("profile", "coupled", "structure", "walls", "factory", "microphone")
SUBTLE_DB = (-20.0, 6.0)
PLAIN = SMALL | {f"data.{name}_probability": 0.0 for name in FAMILY_NAMES} | {"data.fault_level_db": (-12.0, 6.0)}
EVERY = SMALL | {f"data.{name}_probability": PROBABILITY for name in FAMILY_NAMES} | {"data.fault_level_db": SUBTLE_DB}
FAMILIES: dict[str, dict[str, Any]] = {
    "simulator alone": PLAIN,
    **{f"+ {name}": PLAIN | {f"data.{name}_probability": PROBABILITY} for name in FAMILY_NAMES},
    "+ subtle faults": PLAIN | {"data.fault_level_db": SUBTLE_DB},
    "all": EVERY,
    "all, centred targets": EVERY | {"train.centred_targets": True},
    "all, no identity": EVERY | {"train.identity_weight": 0.0},
    "all, no relation": EVERY | {"train.relation_weight": 0.0},
    "all, relation 0.5": EVERY | {"train.relation_weight": 0.5},
}
LARGE_TWO_SECONDS = LARGE | TWO_SECONDS
MEAN = LARGE_TWO_SECONDS | UNMASKED | {"train.teacher_bands": False}
TARGETS: dict[str, dict[str, Any]] = {
    f"teacher hears {' and '.join(hearings)}": MEAN | {"data.teacher_hears": hearings}
    for hearings in (("clip",), ("room",), ("machine",), ("clip", "room"), ("clip", "machine"))
} | {
    "teacher hears room, uncentred": MEAN | {"data.teacher_hears": ("room",), "train.centred_targets": False},
}
VIT: dict[str, Any] = {
    "model.kind": "frame-vit",
    "model.depth": 4,
    "train.learning_rate": 3e-4,  # of recipe vit-192, which a transformer wants
    "train.clip_norm": 1.0,
}
SHAPES: dict[str, dict[str, Any]] = {
    "2-s windows": LARGE_TWO_SECONDS,
    "width 0.7": LARGE_TWO_SECONDS | {"model.width": 0.7},
    "width 1": LARGE_TWO_SECONDS | {"model.width": 1.0},
    "256 numbers": LARGE_TWO_SECONDS | {"model.embedding_size": 256},
    "frame ViT, 96 wide": LARGE_TWO_SECONDS | VIT | {"model.size": 96, "model.heads": 3, "model.mlp_size": 384},
    "frame ViT, 128 wide": LARGE_TWO_SECONDS | VIT | {"model.size": 128, "model.heads": 4, "model.mlp_size": 512},
    "1-s windows": LARGE,
}
ROWS = FAMILIES | TARGETS | SHAPES


def main() -> int:
    """Measure and print, a row at a time."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedder_ablation", description=__doc__.split("\n")[0])
    parser.add_argument("cases", type=Path, metavar="CASES.csv")
    parser.add_argument("--teacher", type=Path, required=True, metavar="FILE", help="the int8 YAMNet")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="for generated sound and checkpoints")
    parser.add_argument("--peers", type=Path, metavar="PEERS.csv", help="tells which cases everyone solves")
    parser.add_argument("--only", action="append", choices=ROWS, metavar="NAME", help="this row; again for more")
    args = parser.parse_args()
    cases = hard_cases(args.cases, args.peers)
    args.work.mkdir(parents=True, exist_ok=True)
    print(
        "| | parameters | MMAC a window | steps | AUC / pAUC | cosine, recordings / generated | seconds of CPU |\n"
        "|---|---|---|---|---|---|---|",
        flush=True,
    )
    for name in args.only or ROWS:
        print(_row(name, cases, args.teacher, args.work), flush=True)
    return 0


def row_recipe(name: str) -> Recipe:
    """What a row of the table trains."""
    recipe = changed(load_recipe(BASE), ROWS[name])
    steps = recipe.train.steps
    if name in SHAPES:
        steps = round(steps * _macs(changed(load_recipe(BASE), LARGE_TWO_SECONDS)) / _macs(recipe))
    return changed(recipe, {"train.steps": steps, "train.checkpoint_steps": steps})


def _macs(recipe: Recipe) -> int:
    """Multiply-accumulates of the network on one window."""
    from export.networks.registry import build_network
    from export.systems.plan import window_macs

    return sum(window_macs(build_network(recipe), recipe.model_contract()).values())


def _row(name: str, cases: list[Case], teacher: Path, work: Path) -> str:
    import torch

    from export.sound.sources import generated as source
    from export.training.train import run_key, train

    torch.set_num_threads(1)
    recipe = row_recipe(name)
    windows, taught, made, made_taught = _listened(recipe, cases, teacher, work)
    batches, data_key = source(recipe, teacher, work, processes=1, note=lambda line: None)
    key, started = run_key(recipe, data_key), time.process_time()
    folder, contract = work / f"run-{key}", recipe.model_contract()
    fresh = not folder.exists()
    network, _ = train(recipe, batches, folder, key=key)
    seconds = f"{time.process_time() - started:.0f}" if fresh else "-"

    def embed(windows_db: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            inputs = torch.from_numpy(normalised(windows_db, contract))
            return torch.cat([network(part) for part in inputs.split(64)]).numpy()

    student = {path: embed(w) for path, w in windows.items()}
    auc, pauc = np.mean([nearest(case, student) for case in cases], axis=0)
    seen = (lambda features: features) if recipe.train.teacher_bands else without_bands
    real, unreal = alike(embed(made), made_taught, student, taught, cases, seen)
    parameters = sum(p.numel() for p in network.parameters())
    shape = f"{parameters / 1e6:.2f} M | {_macs(recipe) / 1e6:.0f} | {recipe.train.steps}"
    return f"| {name} | {shape} | {auc:.3f} / {pauc:.3f} | {real:.3f} / {unreal:.3f} | {seconds} |"


def _listened(recipe: Recipe, cases: list[Case], teacher_path: Path, work: Path) -> tuple:
    """Recordings and generated machines as windows and as the teacher hears them, from --work where they were kept."""
    files = sorted({clip.file for case in cases for clip in (*case.enrol, *case.test)})
    listened = hashlib.sha256("\n".join(files).encode()).hexdigest()[:12]
    kept = work / f"listened-{recipe.contract.window_frames}-{listened}.pickle"
    if not kept.exists():
        teacher, contract = Teacher(teacher_path), recipe.model_contract()
        made = generated(contract, teacher)
        with kept.open("wb") as file:
            pickle.dump((*heard(cases, contract, teacher), *made), file)
    with kept.open("rb") as file:
        return pickle.load(file)


if __name__ == "__main__":
    sys.exit(main())

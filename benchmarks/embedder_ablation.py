"""What each family of variety, each loss and each shape of network is worth to an embedder, by many small trainings.

    python -m benchmarks.embedder_ablation CASES.csv --teacher yamnet_int8.tflite --work DIR [--only NAME ...]

A network of a quarter of the width (or the one named) is trained for a few hundred steps on few machines: every row the
same number of windows and of steps, unless its name says otherwise. It is then measured as `benchmarks.embedder` does:
1-NN alone on recordings, and its cosine to the teacher there. Generated sound and what recordings sound like to the
teacher are kept under --work, so a stopped run goes on with the row it was at. One seed: differences of .01 in AUC and
in cosine are noise.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import numpy as np

from benchmarks.accuracy import TRIVIAL_AUC, read_peers
from benchmarks.embedder import alike, generated, heard, nearest
from edge_asd.evaluation.cases import Case, read_cases
from edge_asd.inference.embedder import normalised
from export.recipe import Recipe
from export.recipes.load import load_recipe
from export.teacher.yamnet import Teacher

MACHINES, STEPS, WIDTH = 120, 300, 0.25
PROBABILITY = 0.5
FAMILIES = ("profile", "coupled", "structure", "walls", "factory", "microphone")
SUBTLE_DB = (-20.0, 6.0)
PLAIN: dict[str, Any] = {f"data.{family}_probability": 0.0 for family in FAMILIES} | {
    "data.fault_level_db": (-12.0, 6.0)
}
EVERY: dict[str, Any] = {f"data.{family}_probability": PROBABILITY for family in FAMILIES} | {
    "data.fault_level_db": SUBTLE_DB
}
ROWS: dict[str, dict[str, Any]] = {
    "simulator alone": PLAIN,
    **{f"+ {family}": PLAIN | {f"data.{family}_probability": PROBABILITY} for family in FAMILIES},
    "+ subtle faults": PLAIN | {"data.fault_level_db": SUBTLE_DB},
    "all": EVERY,
    "all, centred targets": EVERY | {"train.centred_targets": True},
    "all, no identity": EVERY | {"train.identity_weight": 0.0},
    "all, no relation": EVERY | {"train.relation_weight": 0.0},
    "all, relation 0.5": EVERY | {"train.relation_weight": 0.5},
    "all, 256 numbers": EVERY | {"model.embedding_size": 256},
    "all, frame ViT": EVERY | {"model.kind": "frame-vit", "model.size": 64, "model.heads": 2, "model.mlp_size": 128},
    "all, half width": EVERY | {"model.width": 0.5},
    "all, half width, half the steps": EVERY | {"model.width": 0.5, "train.steps": STEPS // 2},
}


def main() -> int:
    """Measure and print, a row at a time."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedder_ablation", description=__doc__.split("\n")[0])
    parser.add_argument("cases", type=Path, metavar="CASES.csv")
    parser.add_argument("--teacher", type=Path, required=True, metavar="FILE", help="the int8 YAMNet")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="for generated sound and checkpoints")
    parser.add_argument("--peers", type=Path, metavar="PEERS.csv", help="tells which cases everyone solves")
    parser.add_argument("--only", action="append", choices=ROWS, metavar="NAME", help="this row; again for more")
    args = parser.parse_args()
    cases = [case for case in read_cases(args.cases) if {clip.anomalous for clip in case.test} == {False, True}]
    if args.peers:
        peers = read_peers(args.peers)
        cases = [c for c in cases if any(float(r["auc"]) < TRIVIAL_AUC for r in peers[c.name].values() if r["auc"])]
    args.work.mkdir(parents=True, exist_ok=True)
    print(
        "| | parameters | AUC / pAUC | cosine, recordings / generated | seconds of CPU |\n|---|---|---|---|---|",
        flush=True,
    )
    for name in args.only or ROWS:
        print(_row(name, cases, args.teacher, args.work), flush=True)
    return 0


def changed(recipe: Recipe, settings: dict[str, Any]) -> Recipe:
    """The recipe with "section.key" settings replaced."""
    for name, value in settings.items():
        section, key = name.split(".")
        recipe = dataclasses.replace(recipe, **{section: dataclasses.replace(getattr(recipe, section), **{key: value})})
    return recipe


def row_recipe(name: str) -> Recipe:
    """What a row of the table trains."""
    small = {"data.machines": MACHINES, "model.width": WIDTH, "train.steps": STEPS, "train.checkpoint_steps": STEPS}
    return changed(load_recipe("mfn-128-varied"), small | ROWS[name])


def _row(name: str, cases: list[Case], teacher: Path, work: Path) -> str:
    import torch

    from export.sound.sources import generated as source
    from export.training.train import run_key, train

    torch.set_num_threads(1)
    recipe = row_recipe(name)
    windows, taught, made, made_taught = _listened(recipe, cases, teacher, work)
    batches, data_key = source(recipe, teacher, work, processes=1, note=lambda line: None)
    key, started = run_key(recipe, data_key), time.process_time()
    network, _ = train(recipe, batches, work / f"run-{key}", key=key)
    seconds, contract = time.process_time() - started, recipe.model_contract()

    def embed(windows_db: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            inputs = torch.from_numpy(normalised(windows_db, contract))
            return torch.cat([network(part) for part in inputs.split(64)]).numpy()

    student = {path: embed(w) for path, w in windows.items()}
    auc, pauc = np.mean([nearest(case, student) for case in cases], axis=0)
    real, unreal = alike(embed(made), made_taught, student, taught, cases, lambda features: features)
    parameters = sum(p.numel() for p in network.parameters())
    return f"| {name} | {parameters / 1e6:.2f} M | {auc:.3f} / {pauc:.3f} | {real:.3f} / {unreal:.3f} | {seconds:.0f} |"


def _listened(recipe: Recipe, cases: list[Case], teacher_path: Path, work: Path) -> tuple:
    """Recordings and generated machines as windows and as the teacher hears them, from --work where they were kept."""
    kept = work / "listened.pickle"
    if not kept.exists():
        teacher, contract = Teacher(teacher_path), recipe.model_contract()
        made = generated(contract, teacher)
        with kept.open("wb") as file:
            pickle.dump((*heard(cases, contract, teacher), *made), file)
    with kept.open("rb") as file:
        return pickle.load(file)


if __name__ == "__main__":
    sys.exit(main())

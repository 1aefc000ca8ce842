"""`edge-asd train`: a recipe and sound become a trained embedder."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edge_asd.cli.parsing import Subparsers, new_command
from edge_asd.cli.progress import Progress, note
from edge_asd.errors import UsageError
from export.cli.adapt import ABOUT, add_adapt_flags, run_adapt
from export.cli.extra import need

if TYPE_CHECKING:
    from export.recipe import Recipe

DESCRIPTION = (
    """\
Trains the network a recipe describes: on recordings (--data: each subfolder is a class, or a DCASE Task 2 dataset, of
which the training clips are taken), or, without --data, on machine sound the recipe generates.

Killed at any moment, the same command goes on from the last checkpoint and ends with the very same numbers. RUN/best
is the state with the best validation, RUN/last the final one; RUN/metrics.jsonl and RUN/summary.json say how it went.
Make a model package of it with edge-asd export --model RUN/best.

"""
    + ABOUT
)


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = new_command(
        subparsers,
        "train",
        summary="train an embedder on a workstation",
        description=DESCRIPTION,
        examples=(
            "edge-asd train --recipe mfn-classes --data recordings/ --out run/",
            "edge-asd train --recipe vit-192 --data dcase2022/ --out run/ --dry-run",
            "edge-asd train --recipe mfn-128 --teacher yamnet_int8.tflite --out run/",
            "edge-asd train --adapt fan.asd --data fan/ --out fan-adapted.asd",
            "edge-asd train --adapt fan.asd --adapt pump.asd --data machines/ --out adapted/ --json",
        ),
    )
    parser.add_argument("--recipe", metavar="NAME|PATH", help="a shipped recipe or a YAML file")
    add_adapt_flags(parser)
    parser.add_argument("--data", type=Path, metavar="DIR", help="recordings (default: the recipe's generated sound)")
    parser.add_argument(
        "--out", type=Path, metavar="RUN", help="directory of the run; the adapted bundle (default NAME-adapted.asd)"
    )
    parser.add_argument("--teacher", type=Path, metavar="FILE", help="int8 YAMNet, for recipes that follow a teacher")
    parser.add_argument("--seed", type=_seed, metavar="N", help="of everything random (default: the recipe's)")
    parser.add_argument("--processes", type=_count, default=2, metavar="N", help="that generate sound (2)")
    parser.add_argument(
        "--threads", type=_count, default=1, metavar="N", help="of torch; other counts may round differently (1)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print model, parameters and plan; train nothing")
    parser.add_argument("--json", action="store_true", help="print the plan or the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Train, show the plan, or adapt bundles."""
    if args.adapt is not None:
        return run_adapt(args)
    if args.recipe is None:
        raise UsageError("no recipe was named", remedy="give --recipe NAME|PATH, or --adapt FILE.asd")
    need()
    import torch

    from export.recipe_file import load_recipe
    from export.sources import generated, recorded
    from export.train import run_key, train

    recipe = load_recipe(args.recipe)
    if args.seed is not None:
        recipe = dataclasses.replace(recipe, seed=args.seed)
    if args.data is not None and args.teacher is not None:
        raise UsageError("a teacher listens to generated sound only", remedy="give --data or --teacher")
    if args.dry_run:
        return _show_plan(recipe, args)
    if args.out is None:
        raise UsageError("nowhere to write to", remedy="give --out RUN")
    torch.set_num_threads(args.threads)
    if args.data is not None:
        batches, data_key = recorded(recipe, args.data)
    else:
        batches, data_key = generated(recipe, args.teacher, args.out, processes=args.processes, note=note)
    note(batches.described)
    progress = Progress(recipe.train.steps)
    clock = _Clock(recipe.train.steps)

    def at_step(step: int, losses: dict[str, float]) -> None:
        progress.at(step, f"step {step} of {recipe.train.steps}, loss {losses['total']:.4f}, {clock.left(step)}")

    def say(line: str) -> None:
        progress.end()
        note(line)

    _, summary = train(recipe, batches, args.out, key=run_key(recipe, data_key), at_step=at_step, note=say)
    progress.end()
    if args.json:
        json.dump(summary, sys.stdout, indent=1)
        print()
    else:
        best = summary["best"]
        figures = best.get("validation") or best["train"]
        shown = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
        print(f"{args.out / 'best'}: step {best['step']} of {summary['steps']}, {shown}")
    return 0


def plan(recipe: Recipe, data: Path | None) -> dict[str, object]:
    """What a training would do. Reads names of recordings, no sound."""
    from export.networks.registry import build_network, count_parameters
    from export.objectives.registry import build_objective
    from export.recipe import AugmentSettings
    from export.recordings import clip_classes

    network = build_network(recipe)
    if data is not None:
        clips = clip_classes(data)
        n_classes, sound = len(clips.names), f"{len(clips.paths)} recordings of {len(clips.names)} classes"
    else:
        n_classes = 2 * recipe.data.machines
        windows = recipe.data.machines * recipe.data.scenes_per_machine * 2 * recipe.data.windows_per_clip
        sound = f"generated: {windows} windows of {recipe.data.machines} machines, healthy and faulty"
    contract, settings = recipe.model_contract(), recipe.train
    left_behind = count_parameters(build_objective(recipe, network, n_classes))
    classifies = recipe.objective.kind == "classification" and bool(settings.identity_weight)
    augment = dataclasses.asdict(recipe.augment)
    plain = dataclasses.asdict(AugmentSettings())
    return {
        "recipe": recipe.name,
        "model": recipe.model.kind,
        "parameters": count_parameters(network),
        "objective": recipe.objective.kind,
        "head": recipe.head.kind if classifies else None,
        "head_parameters": left_behind,
        "classes": n_classes,
        "window_s": round(contract.window_s, 3),
        "window_frames": contract.window_frames,
        "embedding_size": contract.embedding_size,
        "data": sound,
        "steps": settings.steps,
        "windows_per_step": settings.groups_per_batch * settings.windows_per_group,
        "losses": {
            name: weight
            for name, weight in (
                ("distil", settings.distil_weight),
                ("relation", settings.relation_weight),
                ("identity", settings.identity_weight),
            )
            if weight and recipe.objective.kind == "classification"
        },
        "augment": {name: value for name, value in augment.items() if value != plain[name]},
        "validation_share": settings.validation_share,
        "patience": settings.patience,
        "seed": recipe.seed,
    }


def _show_plan(recipe: Recipe, args: argparse.Namespace) -> int:
    from export.sources import check_generated

    shown = plan(recipe, args.data)
    if args.data is None and args.teacher is not None:
        check_generated(recipe, args.teacher)
    if args.json:
        json.dump(shown, sys.stdout, indent=1)
        print()
        return 0
    for name, value in shown.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) or "none" if isinstance(value, dict) else value
        print(f"{name.replace('_', ' '):17} {text}")
    return 0


class _Clock:
    """Time left, judged by the steps this process has done."""

    def __init__(self, steps: int) -> None:
        self._steps, self._began = steps, time.monotonic()
        self._first: int | None = None

    def left(self, step: int) -> str:
        """In words."""
        if self._first is None:
            self._first = step
        done = step - self._first
        if not done:
            return "time left unknown yet"
        left_s = (time.monotonic() - self._began) / (done + 1) * (self._steps - step)
        return f"{left_s / 60:.0f} min left" if left_s >= 90 else f"{left_s:.0f} s left"


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; give 1 or more")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; give a whole number of 0 or more")
    return int(text)

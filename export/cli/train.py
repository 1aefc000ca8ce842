"""`edge-asd train`: a recipe and sound become a trained embedder."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from edge_asd.cli.parsing import Subparsers, new_command
from edge_asd.cli.progress import Progress, note
from edge_asd.errors import UsageError
from export.cli.adapt import ABOUT, add_adapt_flags, run_adapt
from export.cli.clock import Clock
from export.cli.device import add_device_flag
from export.extra import need

DESCRIPTION = (
    """\
Trains the network a recipe describes: on recordings (--data: each subfolder is a class, or a DCASE Task 2 dataset, of
which the training clips are taken), or, without --data, on machine sound the recipe generates.

Of a dataset (clips named as in DCASE Task 2 or MIMII) a whole system is made: RUN/model is the model package and
RUN/bundles holds a bundle for each machine's section, <machine>_<section>.asd, enrolled with its training clips.

Trains on a GPU where torch sees one (--device); sound is read, and everything enrolled, on the CPU.

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
            "edge-asd train --recipe vit-knn-edge --data dcase2022/ --out run/",
            "edge-asd train --recipe vit-knn --data dcase2022/ --dry-run",
            "edge-asd train --recipe panns-clvae --weights panns=ResNet38.pth --data dcase2021/ --out run/",
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
    parser.add_argument(
        "--weights",
        action="append",
        type=_named_path,
        default=[],
        metavar="NAME=PATH",
        help="published weights the recipe's network starts from; without them it starts from random ones",
    )
    parser.add_argument("--teacher", type=Path, metavar="FILE", help="int8 YAMNet, for recipes that follow a teacher")
    parser.add_argument("--seed", type=_seed, metavar="N", help="of everything random (default: the recipe's)")
    parser.add_argument("--processes", type=_count, default=2, metavar="N", help="that generate sound, or adapt (2)")
    parser.add_argument(
        "--threads", type=_count, default=1, metavar="N", help="of torch; other counts may round differently (1)"
    )
    add_device_flag(parser)
    parser.add_argument("--dry-run", action="store_true", help="print model, parameters and plan; train nothing")
    parser.add_argument("--json", action="store_true", help="print the plan or the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Train, show the plan, or adapt bundles."""
    if args.adapt is not None:
        return run_adapt(args)
    if args.model is not None or args.channel is not None or args.force:
        raise UsageError(
            "--model, --channel and --force go with --adapt", remedy="leave them out, or give --adapt FILE.asd"
        )
    if args.recipe is None:
        raise UsageError("no recipe was named", remedy="give --recipe NAME|PATH, or --adapt FILE.asd")
    need()
    import torch

    from export.cli.plan import show_plan
    from export.cli.system import train_system
    from export.networks.published import published_weights
    from export.networks.registry import build_network
    from export.recipes.load import load_recipe
    from export.sound.recordings import machine_clips
    from export.sound.sources import generated, recorded
    from export.training.device import chosen_device
    from export.training.parallel import Processes, started
    from export.training.run_folder import check_place
    from export.training.train import run_key, train

    recipe = load_recipe(args.recipe)
    if args.seed is not None:
        recipe = dataclasses.replace(recipe, seed=args.seed)
    if args.data is not None and args.teacher is not None:
        raise UsageError("a teacher listens to generated sound only", remedy="give --data or --teacher")
    recipe = dataclasses.replace(recipe, weights={**recipe.weights, **dict(args.weights)})
    if args.out is not None:
        check_place(args.out)
    if args.dry_run:
        return show_plan(recipe, args)
    if args.out is None:
        raise UsageError("nowhere to write to", remedy="give --out RUN")
    torch.set_num_threads(args.threads)
    found = machine_clips(args.data, recipe.recordings) if args.data is not None else None
    if found is not None:
        with started(args.device) as processes:
            return train_system(recipe, found, args, processes)
    processes = Processes(device=chosen_device(args.device))
    published = published_weights(build_network(recipe).published, recipe.weights, note)
    if args.data is not None:
        batches, data_key = recorded(recipe, args.data)
    else:
        batches, data_key = generated(recipe, args.teacher, args.out, processes=args.processes, note=note)
    note(batches.described)
    progress = Progress(recipe.train.steps)
    clock = Clock(recipe.train.steps)

    def at_step(step: int, losses: dict[str, float]) -> None:
        progress.at(step, f"step {step} of {recipe.train.steps}, loss {losses['total']:.4f}, {clock.left(step)}")

    def say(line: str) -> None:
        progress.end()
        note(line)

    _, summary = train(
        recipe,
        batches,
        args.out,
        key=run_key(recipe, data_key, published.sha256),
        processes=processes,
        start=lambda network: network.load_published(published.paths, say),
        at_step=at_step,
        note=say,
    )
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


def _named_path(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not name or not equals or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, path


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; give 1 or more")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; give a whole number of 0 or more")
    return int(text)

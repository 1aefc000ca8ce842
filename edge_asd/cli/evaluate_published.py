"""What `edge-asd evaluate` has to do with published systems: the workstation's part knows them, and nothing here may
import it, so it is found by its entry point."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_asd.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from edge_asd.evaluation.plan import Plan

REPRODUCTION = "edge_asd.reproduction"
"""Entry-point group of the module whose `run(args)` reproduces published systems and whose `beside(recipes, document)`
gives a report's table."""


def add_reproduction_flags(parser: argparse.ArgumentParser) -> None:
    """Declare --reproduce and what goes with it."""
    group = parser.add_argument_group("published systems, trained and measured anew (on a workstation)")
    group.add_argument("--reproduce", type=Path, metavar="DIR", help="a DCASE Task 2 dataset to train and measure on")
    group.add_argument(
        "--recipes", metavar="A,B", help="only these, their -edge forms, or SYSTEM=RECIPE (all, at published size)"
    )
    group.add_argument("--out", type=Path, metavar="DIR", help="runs and results, kept to go on with (reproduced/)")
    group.add_argument(
        "--page", type=Path, metavar="FILE", help="to fill (benchmarks/SEEDS.md if there is one, else OUT/SEEDS.md)"
    )
    group.add_argument(
        "--weights", action="append", default=[], metavar="NAME=PATH", help="published weights, as `edge-asd train`"
    )
    group.add_argument("--about", metavar="TEXT", help="what to call the dataset on the page (its folder's name)")


def refuse_reproduction_flags(args: argparse.Namespace) -> None:
    """Raise UsageError for a flag that needs --reproduce, and for nothing to measure on."""
    for name in ("recipes", "out", "page", "weights", "about"):
        if vars(args)[name]:
            raise UsageError(f"--{name} is for --reproduce", remedy="add --reproduce DIR, or leave it out")
    if not args.inputs and not args.print_config:
        raise UsageError("nothing to measure on", remedy="give a CASES.csv or a DATASET_DIR")


def reproduce(args: argparse.Namespace) -> int:
    """Hand over to the workstation's part. Raises UsageError, and UnavailableError where it is not installed."""
    if args.inputs or args.bundle is not None:
        raise UsageError("--reproduce takes its dataset itself", remedy="leave CASES.csv, DATASET_DIR and --bundle out")
    found = _workstation()
    if found is None:
        raise UnavailableError("the workstation's part is not installed", remedy="pip install 'edge-asd[export]'")
    return found.load().run(args)


def published_table(plan: Plan, made: dict[str, Any]) -> str:
    """The table of the report whose system the evaluated bundles reproduce, beside the result `made`; "" where they are
    of no such system, or the workstation's part is not there to know."""
    told = [listener.model.provenance.get("recipe") for listener in plan.listeners]
    recipes = {_names(recipe) for recipe in told}
    found = _workstation()
    if found is None or len(recipes) != 1 or len(made["datasets"]) != 1:
        return ""
    return found.load().beside(recipes.pop(), made)


def _names(recipe: object) -> tuple[str, ...]:
    """Of a model's recipe and those it extends, the nearest first, as its provenance has them."""
    if not isinstance(recipe, dict):
        return ()
    return (str(recipe.get("name")), *map(str, recipe.get("lineage", ())))


def _workstation() -> EntryPoint | None:
    from importlib.metadata import entry_points

    return next(iter(entry_points(group=REPRODUCTION)), None)

"""`edge-asd evaluate --reproduce DIR`: every published system trained on a data set, evaluated, and put on one page.

Each recipe is trained and evaluated by the commands a person would give, each in a process of its own, so that one that
fails or is killed takes nothing with it. What is done is kept: the same command goes on where it was interrupted.

OUT/<recipe>/              the training run and its bundles
OUT/<recipe>/result.json   what `edge-asd evaluate --json` printed, with the key of recipe, data and weights
OUT/SEEDS.md               the page, unless --page names another
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_asd.atomic import write_atomically
from edge_asd.audio.files import find_clips
from edge_asd.cli.progress import note
from edge_asd.config.nearest import nearest
from edge_asd.errors import DataError, EdgeAsdError, MissingInputError, UsageError
from export.extra import need
from export.recipe import Recipe
from export.recipes.load import load_recipe
from export.reproduce.beside import beside
from export.reproduce.page import Outcome, figures_part, filled
from export.reproduce.published import EDGE, Published, published_systems

__all__ = ["beside", "run"]  # what `edge-asd evaluate` asks of the entry point

RESULT, PAGE = "result.json", "SEEDS.md"
DEFAULT_OUT = Path("reproduced")
HOUSE_PAGE = Path("benchmarks") / PAGE
EDGE_ASD = (sys.executable, "-m", "edge_asd")


def run(args: argparse.Namespace) -> int:
    """Reproduce and fill the page, whose path goes to stdout; the exit code of the last system that failed, or 0.

    Raises UsageError (a recipe of no system, weights of no system), MissingInputError (no data), UnavailableError.
    """
    need()
    chosen = chosen_systems(args.recipes)
    weights = _weights(args.weights, [published for published, _ in chosen])
    if not args.reproduce.is_dir():
        raise MissingInputError(f"{args.reproduce}: no such directory", remedy="give a data set's folder")
    out = args.out or DEFAULT_OUT
    page = args.page or (HOUSE_PAGE if args.out is None and HOUSE_PAGE.is_file() else out / PAGE)
    data_key = _data_key(args.reproduce)
    title = f"{args.about or args.reproduce.absolute().name} ({datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d})"
    outcomes, code = [], 0
    for i, (published, name) in enumerate(chosen, 1):
        note(f"{i} of {len(chosen)}: {published.system}, recipe {name}")
        own = {key: weights[key] for key in published.weights if key in weights}
        outcome, failed = reproduced(published, name, args.reproduce, out / Path(name).stem, own, data_key)
        code = failed or code
        outcomes.append(outcome)
        # After each system, so that a stop leaves a page of what was done.
        write_page(page, figures_part(outcomes, title))
    print(page)
    return code


def write_page(page: Path, part: str) -> None:
    """Fill the page's marked part; its folder is made."""
    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(page, filled(page, part).encode())


def chosen_systems(text: str | None) -> list[tuple[Published, str]]:
    """Systems and the recipes to use for them: all with their own, or as --recipes says.

    text: "vit-knn,maf-edge,stgram-mfn=mine.yaml": names of recipes, their -edge forms, or SYSTEM=RECIPE.
    Raises UsageError for a recipe of no published system.
    """
    systems = {published.recipe: published for published in published_systems()}
    if text is None:
        return [(published, name) for name, published in systems.items()]
    chosen = []
    for word in text.split(","):
        own, equals, name = word.strip().partition("=")
        system = own if equals else own.removesuffix(EDGE)
        if system not in systems or (equals and not name):
            raise UsageError(
                f"--recipes: {own!r} is no recipe of a published system",
                remedy=f"did you mean {nearest(system, systems)!r}? Another recipe is given as SYSTEM=RECIPE",
            )
        chosen.append((systems[system], name if equals else own))
    return chosen


def _weights(given: Sequence[str], chosen: Sequence[Published]) -> dict[str, str]:
    known = sorted({name for published in chosen for name in published.weights})
    weights = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or name not in known:
            raise UsageError(
                f"--weights {text!r}: no chosen system takes them",
                remedy=f"they take {', '.join(known)}" if known else "leave it out",
            )
        weights[name] = path
    return weights


def reproduced(
    published: Published, name: str, data: Path, folder: Path, weights: Mapping[str, str], data_key: str
) -> tuple[Outcome, int]:
    """Train and evaluate one system, unless that is done; the outcome, and the exit code of what failed (0: nothing).

    folder: of its run. weights: name -> path. data_key: names the recordings.
    """
    try:
        recipe = load_recipe(name)
    except EdgeAsdError as error:
        note(error)
        return Outcome(published, name, None, reason=_one_line(str(error))), error.exit_code
    key = hashlib.sha256(repr((recipe, data_key, sorted(weights.items()))).encode()).hexdigest()[:16]
    kept = _kept(folder / RESULT, key)
    if kept is None:
        named = [f"{own}={path}" for own, path in weights.items()]
        command = ["train", "--recipe", name, "--data", str(data), "--out", str(folder)]
        for pair in named:
            command += ["--weights", pair]
        code, words = _told(command, keep_stdout=False)
        if code:
            return Outcome(published, name, None, reason=f"training failed (exit code {code})"), code
        code, words = _told(["evaluate", str(data), "--bundle", str(folder / "bundles"), "--json"], keep_stdout=True)
        kept = _evaluation(words, code)
        if kept is None:
            return Outcome(published, name, None, reason=f"evaluating failed (exit code {code})"), code or 1
        write_atomically(folder / RESULT, json.dumps({"key": key, "evaluation": kept}, indent=1).encode())
    else:
        note(f"{folder / RESULT}: done before")
    return Outcome(published, name, kept, about=_about(recipe, published, weights, kept)), 0


def _told(command: Sequence[str], keep_stdout: bool) -> tuple[int, str]:
    """Exit code and stdout of one edge-asd command; what it says on stderr goes on to ours."""
    done = subprocess.run([*EDGE_ASD, *command], stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout if keep_stdout else ""


def _evaluation(words: str, code: int) -> dict[str, Any] | None:
    """The document, also where clips were left out (they are named in it), if it has a figure for any section."""
    if code not in (0, DataError.exit_code):
        return None
    try:
        made = json.loads(words)
    except ValueError:
        return None
    return made if made.get("datasets") and any(case["components"] for case in made["cases"]) else None


def _kept(path: Path, key: str) -> dict[str, Any] | None:
    """The evaluation of an earlier run of the very same recipe, data and weights."""
    try:
        held = json.loads(path.read_text("utf-8"))
        return held["evaluation"] if held["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _about(recipe: Recipe, published: Published, weights: Mapping[str, str], evaluation: dict[str, Any]) -> str:
    settings = recipe.train
    said = f"Trained for {f'{settings.epochs} epochs' if settings.epochs else f'{settings.steps} steps'}"
    said += f", scored in {evaluation['settings'].get('precision', 'fp32')}."
    missing = [name for name in published.weights if name not in weights]
    if missing:
        said += f" It started from random weights: {' and '.join(missing)} were not given."
    if evaluation["failed"]:
        said += f" {len(evaluation['failed'])} clips could not be used."
    return said


def _data_key(data: Path) -> str:
    """Names the recordings: changes with their names and sizes."""
    listed = [f"{path.relative_to(data).as_posix()}:{path.stat().st_size}" for path in find_clips([data])]
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()[:16]


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")

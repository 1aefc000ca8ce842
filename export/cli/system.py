"""`edge-asd train` on a data set: every network of the recipe is trained, every machine's section enrolled."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from edge_asd.atomic import write_atomically
from edge_asd.cli.progress import Once, Progress, note

if TYPE_CHECKING:
    from export.recipe import Recipe
    from export.sound.recordings import MachineClips
    from export.training.parallel import Processes


def train_system(recipe: Recipe, found: MachineClips, args: argparse.Namespace, processes: Processes) -> int:
    """Train and enrol; the directory of bundles on stdout. Errors as `export.systems.system`'s."""
    from export.cli.clock import Clock
    from export.networks.published import published_weights
    from export.networks.registry import build_network
    from export.sound.recordings import remarks
    from export.systems.bundles import DATA
    from export.systems.system import BUNDLES, enrol_unit, train_unit
    from export.systems.units import strange_machines, units, unserved

    clips = [clip.file for own in found.by_section.values() for clip in own]
    tell = note if processes.first else _silent
    for remark in (*remarks(clips, recipe.model_contract()), *strange_machines(recipe, found)):
        tell(remark)
    made = units(recipe, found, args.data)
    left_out = unserved(made, found)
    if left_out:
        tell(f"{len(left_out)} machines' sections are served by no network of this recipe: {', '.join(left_out[:4])}")
    published = published_weights(build_network(made[0].recipe).published, recipe.weights, tell)
    args.out.mkdir(parents=True, exist_ok=True)
    write_atomically(args.out / DATA, f"{args.data.absolute()}\n".encode())
    progress, once = Progress(1.0), Once()

    def say(line: str) -> None:
        if processes.first:
            progress.end()
            once(line)

    summaries, bundles = {}, []
    for unit in made:
        name = f"{unit.name}: " if unit.name else ""
        clock: list[Clock] = []

        def at_step(step: int, steps: int, losses: dict[str, float], name: str = name, clock: list = clock) -> None:
            if not clock:
                clock.append(Clock(steps))
            left = clock[0].left(step)
            progress.at(step / steps, f"{name}step {step} of {steps}, loss {losses['total']:.4f}, {left}")

        def say_of(line: str, name: str = name) -> None:
            say(name + line)

        told = at_step if processes.first else _nothing
        trained = train_unit(unit, args.out, published, processes=processes, at_step=told, note=say_of)
        progress.end()
        if not processes.first:
            continue
        bundles += enrol_unit(unit, trained, found, args.out, note=say)
        summaries[unit.name or recipe.name] = trained.summary
    if not processes.first:
        return 0
    if args.json:
        json.dump({"networks": summaries, "bundles": [str(path) for path in bundles]}, sys.stdout, indent=1)
        print()
    else:
        print(f"{args.out / BUNDLES}: {len(bundles)} bundles")
    return 0


def _nothing(step: int, steps: int, losses: dict[str, float]) -> None:
    """What the other processes tell of a step."""


def _silent(line: str) -> None:
    """What the other processes say."""

"""`edge-asd train --dry-run`: the plan of a training, for a person or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from edge_asd.cli.progress import note

if TYPE_CHECKING:
    from export.recipe import Recipe


def show_plan(recipe: Recipe, args: argparse.Namespace) -> int:
    """Print what the training would do; the model is built and a few steps are timed, nothing is written."""
    import torch

    from export.networks.published import published_weights
    from export.networks.registry import build_network
    from export.sound.recordings import machine_clips, remarks
    from export.sound.sources import check_generated
    from export.systems.plan import plan
    from export.systems.units import strange_machines
    from export.training.device import chosen_device

    torch.set_num_threads(args.threads)
    device = chosen_device(args.device)
    if args.data is None:
        check_generated(recipe, args.teacher)
    published_weights(build_network(recipe).published, recipe.weights, note)
    found = machine_clips(args.data, recipe.recordings) if args.data is not None else None
    if found is not None:
        clips = [clip.file for own in found.by_section.values() for clip in own]
        for remark in (*remarks(clips, recipe.model_contract()), *strange_machines(recipe, found)):
            note(remark)
    shown = plan(recipe, args.data, found, device=device)
    if args.json:
        json.dump(shown, sys.stdout, indent=1)
        print()
        return 0
    for name, value in shown.items():
        lines = value if name == "networks" else [_words(value)]
        for i, line in enumerate(lines):
            print(f"{name.replace('_', ' ') if i == 0 else '':20} {line}")
    return 0


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {v}" for key, v in value.items()) or "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

"""What a training would do and how long it would take, from a few steps measured on this machine."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from edge_asd.contract import ModelContract
from edge_asd.model_package import EMBEDDER
from export.formats.operations import torch_macs
from export.networks.network import Network
from export.networks.registry import build_network, count_parameters
from export.objectives.registry import build_objective
from export.recipe import AugmentSettings, Recipe
from export.sound.batches import VALIDATION_BATCH, Batch
from export.sound.clip_batches import ClipBatches
from export.sound.recordings import MachineClips, clip_classes
from export.systems.system import prepared
from export.systems.units import Unit, units
from export.training.device import CPU, described, finished, memory_told, settle
from export.training.train import Learnt

MOST_TIMED_WINDOWS = 8
"""On a CPU, whose time goes with their number; a GPU takes a whole batch in hardly more time than this."""
TIMED_STEPS = 2


def plan(
    recipe: Recipe, data: Path | None, found: MachineClips | None, *, timed: bool = True, device: torch.device = CPU
) -> dict[str, Any]:
    """What a training would do, as plain JSON types. Reads names of recordings, and with `timed` a few clips.

    found: the data set's training clips, where `data` holds one. device: to time steps on. Raises what sorting the
    clips raises.
    """
    timed_on = device if timed else None
    if found is not None and data is not None:
        made = units(recipe, found, data)
        return _described(recipe, [prepared(unit) for unit in made], made, timed_on)
    if data is not None:
        clips = clip_classes(data)
        sound = f"{len(clips.paths)} recordings of {len(clips.names)} classes"
        return _described(recipe, [(recipe, ClipBatches(recipe, clips))], [], timed_on, sound)
    windows = recipe.data.machines * recipe.data.scenes_per_machine * 2 * recipe.data.windows_per_clip
    sound = f"generated: {windows} windows of {recipe.data.machines} machines, healthy and faulty"
    return _described(recipe, [(recipe, None)], [], timed_on, sound)


def _described(
    recipe: Recipe,
    runs: list[tuple[Recipe, ClipBatches | None]],
    made: list[Unit],
    timed_on: torch.device | None,
    sound: str = "",
) -> dict[str, Any]:
    first, batches = runs[0]
    n_classes = 2 * first.data.machines if batches is None else batches.n_classes
    network = build_network(first)
    objective = build_objective(first, network, n_classes)
    contract, settings = first.model_contract(), first.train
    classifies = first.objective.kind == "classification"
    augment, plain = dataclasses.asdict(first.augment), dataclasses.asdict(AugmentSettings())
    left_behind = {id(p) for p in objective.parameters()} - {id(p) for p in network.parameters()}
    shown: dict[str, Any] = {
        "recipe": recipe.name,
        "model": first.model.kind,
        "parameters": count_parameters(network),
        "frozen_parameters": sum(p.numel() for p in network.parameters() if not p.requires_grad) or None,
        "objective": first.objective.kind,
        "head": first.head.kind if classifies and settings.identity_weight else None,
        "head_parameters": sum(p.numel() for p in objective.parameters() if id(p) in left_behind),
        "classes": n_classes,
        "inputs": list(first.sound_inputs),
        "window_s": round(contract.window_s, 3),
        "window_frames": contract.window_frames,
        "step_s": round(contract.step_s, 3),
        "embedding_size": contract.embedding_size,
        "macs_per_window": sum(window_macs(network, contract).values()),
        "data": sound or _sound(made),
        "networks": [_network(unit, own) for unit, (own, _) in zip(made, runs, strict=True)] if len(made) > 1 else None,
        "steps": sum(own.train.steps for own, _ in runs),
        "windows_per_step": settings.groups_per_batch * settings.windows_per_group,
        "losses": {
            name: weight
            for name, weight in (
                ("distil", settings.distil_weight),
                ("relation", settings.relation_weight),
                ("identity", settings.identity_weight),
            )
            if weight
        }
        if classifies
        else None,
        "augment": {name: value for name, value in augment.items() if value != plain[name]},
        "validation_share": settings.validation_share,
        "patience": settings.patience,
        "bundles": sum(len(unit.serves) for unit in made) or None,
        "scorer": _scorers(recipe) if made else None,
        "seed": recipe.seed,
    }
    if timed_on is not None:
        step_s = measured_step_s(first, network, n_classes, device=timed_on)
        sound_s = 0.0 if batches is None else _sound_s(batches)
        hearing_s = 0.0
        if objective.hears_once and batches is not None:
            n_clips = sum(len(unit.clips.paths) for unit in made)
            hearing_s = n_clips * settings.windows_per_group * measured_hearing_s(first, network, timed_on)
            hearing_s += n_clips * sound_s / batches.clips_per_batch
            sound_s = 0.0
            shown["hearing_hours"] = round(hearing_s / 3600.0, 2)
        shown["step_seconds"] = round(step_s + sound_s, 3)
        shown["sound_share_of_step"] = round(sound_s / (step_s + sound_s), 2)
        shown["device"] = described(timed_on)
        shown["threads"] = torch.get_num_threads()
        shown["training_hours"] = round(((step_s + sound_s) * shown["steps"] + hearing_s) / 3600.0, 2)
    return {name: value for name, value in shown.items() if value is not None}


def window_macs(network: Network, contract: ModelContract) -> dict[str, int]:
    """Multiply-accumulates of each graph on one window."""
    found = {}
    for name, graph in network.graphs().items():
        inputs = contract.inputs if name == EMBEDDER else contract.scorer_inputs
        found[name] = torch_macs(graph, [torch.zeros(1, *contract.shape_of(own)) for own in inputs])
    return found


@memory_told()
def measured_step_s(
    recipe: Recipe,
    network: Network,
    n_classes: int,
    clock: Callable[[], float] = time.perf_counter,
    device: torch.device = CPU,
) -> float:
    """Seconds of one training step without its sound, by `clock`: a small batch of noise is timed and scaled up. The
    network is left on `device`."""
    settle(device)
    settings, contract = recipe.train, recipe.model_contract()
    whole = settings.groups_per_batch * settings.windows_per_group
    most = MOST_TIMED_WINDOWS if device == CPU else whole
    group = min(settings.windows_per_group, most)
    n = max(2, group * max(1, min(settings.groups_per_batch, most // group)))
    small = dataclasses.replace(recipe, train=dataclasses.replace(settings, windows_per_group=group))
    learnt = Learnt(network, build_objective(small, network, n_classes)).to(device).train()
    optimiser = torch.optim.AdamW(learnt.parameters())
    random = torch.Generator().manual_seed(0)
    inputs = tuple(torch.randn(n, *contract.shape_of(name), generator=random) for name in recipe.sound_inputs)
    taught = torch.randn(n, max(1, contract.embedding_size), generator=random) if recipe.needs_teacher else None
    zeros = torch.zeros(n, dtype=torch.int64)
    batch = Batch(inputs, zeros, targets=taught, sections=zeros, target=zeros.bool())
    if learnt.objective.hears_once:  # what is left is so little that the whole batch can be timed
        with torch.no_grad():
            features = network(*(x.to(device) for x in inputs))[torch.arange(whole) % n]
        batch, n = Batch((features,), torch.zeros(whole), sections=torch.zeros(whole, dtype=torch.int64)), whole
    taken = []
    for _ in range(TIMED_STEPS + 1):  # the first finds its kernels and memory
        began = clock()
        learnt(batch)["total"].backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        finished(device)
        taken.append(clock() - began)
    return min(taken[1:]) * whole / n


def measured_hearing_s(recipe: Recipe, network: Network, device: torch.device) -> float:
    """Seconds a frozen network on `device` takes to hear one window, as it does once before the training."""
    contract, n = recipe.model_contract(), 1 if device == CPU else VALIDATION_BATCH
    inputs = [torch.zeros(n, *contract.shape_of(name)).to(device) for name in recipe.sound_inputs]
    began = time.perf_counter()
    with torch.no_grad():
        network.eval()(*inputs)
    finished(device)
    return (time.perf_counter() - began) / n


def _sound_s(batches: ClipBatches) -> float:
    """Seconds a batch's sound takes to read and to cut."""
    began = time.perf_counter()
    n_clips = batches.first_windows(MOST_TIMED_WINDOWS)
    return (time.perf_counter() - began) / n_clips * batches.clips_per_batch


def _sound(made: list[Unit]) -> str:
    paths = {path for unit in made for path in unit.clips.paths}
    n_sections = len({section for unit in made for section in unit.clips.section_names})
    return f"{len(paths)} recordings of {n_sections} machines' sections"


def _network(unit: Unit, recipe: Recipe) -> str:
    serves = f"serves {len(unit.serves)} machines' sections"
    clips = f"{len(unit.clips.paths)} clips, {len(unit.clips.names)} classes"
    return f"{unit.name}: {clips}, {recipe.train.steps} steps, {serves}"


def _scorers(recipe: Recipe) -> str:
    settings = recipe.scoring
    others = [f"{machine}: {scorer}" for machine, scorer in settings.machines.items()]
    usual = settings.scorer or "the default"
    return "; ".join([usual, *others]) + f"; aggregation {settings.aggregation}, percentile {settings.percentile:g}"

"""The training loop for every network, head and source of sound: seeded, resumable, the same weights either way."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edge_asd.errors import DataError
from export.networks.network import Network
from export.networks.registry import build_network
from export.networks.rewrite import clamp_slopes
from export.objectives.objective import Objective
from export.objectives.registry import build_objective
from export.recipe import ObjectiveSettings, Recipe
from export.sound.batches import Batch, Batches
from export.training.device import described, device_of, memory_told, settle
from export.training.parallel import ALONE, Processes
from export.training.run_folder import Progression, RunFolder

REPORT_STEPS = 20
"""Steps the reported losses are averaged over."""


def learning_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then half a cosine to nothing at the last step, or what it has come to."""
    settings = recipe.train
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    if settings.schedule == "constant":
        return settings.learning_rate * warm
    return settings.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * step / settings.steps))


def run_key(recipe: Recipe, data_key: str, weights: Mapping[str, str] | None = None, processes: int = 1) -> str:
    """Names one training run: the data it reads and the settings that shape the weights.

    weights: SHA-256 of the published weights it starts from, by name. processes: that share its batches. What came
    later than runs begun without it counts only where it is not left at its default, so that those runs can be gone on
    with.
    """
    seen = recipe.contract
    inputs = (seen.window_frames, seen.input_mean, seen.input_offset_db, seen.input_scale_db)
    shaping = (recipe.features, recipe.model, recipe.head, recipe.augment, recipe.train)
    unsaid: tuple[object, ...] = (ObjectiveSettings(), (), None, {}, 1)
    later = [part for part in (recipe.objective, recipe.contract.sections, weights, processes) if part not in unsaid]
    settings = ", ".join((repr(data_key), repr(recipe.seed), repr(inputs), *map(_said, (*shaping, *later))))
    return hashlib.sha256(f"({settings})".encode()).hexdigest()[:12]


def _said(part: object) -> str:
    """As `repr`, without settings that came later and are left at their defaults."""
    if not dataclasses.is_dataclass(part):
        return repr(part)
    fields = [
        f for f in dataclasses.fields(part) if not (f.metadata.get("later") and getattr(part, f.name) == f.default)
    ]
    return f"{type(part).__qualname__}({', '.join(f'{f.name}={getattr(part, f.name)!r}' for f in fields)})"


@memory_told()
def train(
    recipe: Recipe,
    batches: Batches,
    folder: Path,
    *,
    key: str,
    stop_after: int | None = None,
    processes: Processes = ALONE,
    start: Callable[[Network], None] = lambda network: None,
    at_step: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
    note: Callable[[str], None] = lambda line: None,
) -> tuple[Network, dict[str, Any]]:
    """Train from scratch, or on from the checkpoint in `folder`; give the best network and the summary.

    The network is in eval mode and on the CPU, wherever it was trained.

    key: names recipe and data, see `run_key`.
    stop_after: leave off after this step with a checkpoint, as a stop from outside would.
    processes: that share the work, and where; the first writes the files.
    start: what a fresh network takes over before its first step, such as published weights.
    at_step: told of each step and its losses. note: told in words what happens now and then.

    Raises DataError where the folder belongs to another run or the loss is no number any more, UnavailableError where a
    GPU's memory is too small.
    """
    settings = recipe.train
    settle(processes.device)
    torch.manual_seed(recipe.seed)
    run = RunFolder(folder, recipe, key, writes=processes.first)
    model = build_network(recipe)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    objective = build_objective(recipe, model, batches.n_classes)
    learnt = Learnt(model, objective).to(processes.device)
    optimiser = torch.optim.AdamW(learnt.parameters(), weight_decay=settings.weight_decay)
    state = run.restore(learnt, optimiser)
    before, state.device = state.device, described(processes.device)
    if state.step:
        note(f"goes on from step {state.step}")
        if before != state.device:
            note(f"until now on {before}, from here on {state.device}: the last digits will differ")
    else:
        note(f"trains on {state.device}")
        start(model)
    if processes.first:  # what it computes once it keeps, for the others to find
        batches = objective.prepared(model, batches, folder, note)
    processes.wait()
    if not processes.first:
        batches = objective.prepared(model, batches, folder, note)
    joined = processes.joined(learnt)
    end = settings.steps if stop_after is None else min(stop_after, settings.steps)
    learnt.train()
    while state.step < end and not state.over:
        rate = learning_rate(state.step, recipe)
        for group in optimiser.param_groups:
            group["lr"] = rate
        processes.seed_step(recipe.seed, state.step)
        losses = joined(processes.share(batches[state.step]))
        told = processes.mean(losses)
        if not math.isfinite(told["total"]):
            raise DataError(
                f"training fell apart at step {state.step}: the loss is {told['total']}",
                remedy="lower train.learning_rate",
            )
        optimiser.zero_grad(set_to_none=True)
        losses["total"].backward()
        nn.utils.clip_grad_norm_(learnt.parameters(), settings.clip_norm)
        optimiser.step()
        clamp_slopes(model)
        state.step += 1
        state.recent.append(told)
        del state.recent[: -max(REPORT_STEPS, settings.steps // 10)]
        at_step(state.step, state.recent[-1])
        if state.step % settings.checkpoint_steps == 0 or state.step in (stop_after, settings.steps):
            validation = processes.agreed(_validated(learnt, batches) if processes.first else {})
            _checkpoint(run, recipe, batches, learnt, state, rate, validation, note)
            run.save(learnt, optimiser, state)
    summary = _summary(recipe, batches, state)
    if state.over:
        run.keep("last", model, {"step": state.step, "train": _mean(state.recent), "provenance": batches.provenance})
        run.summarise(summary)
        processes.wait()
        model.load_state_dict(torch.load(folder / "best" / "weights.pt", map_location="cpu", weights_only=True))
    return model.cpu().eval(), summary


class Learnt(nn.Module):
    """All that is trained: the network and what its objective holds. Batches are brought to where it is."""

    def __init__(self, model: Network, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The losses of a batch."""
        here = device_of(self)
        batch = batch.each(lambda part: part.to(here))
        inputs = tuple(x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for x in batch.inputs)
        return self.objective(self.model, dataclasses.replace(batch, inputs=inputs))


def _checkpoint(
    run: RunFolder,
    recipe: Recipe,
    batches: Batches,
    learnt: Learnt,
    state: Progression,
    rate: float,
    validation: dict[str, float],
    note: Callable[[str], None],
) -> None:
    """Note the metrics, keep the state if it is the best so far, and see whether the run is over."""
    line = {"step": state.step, "learning_rate": rate, "train": _mean(state.recent[-REPORT_STEPS:])}
    if validation:
        line["validation"] = validation
    better = not validation or state.best is None or validation["total"] < state.best["validation"]["total"]
    line["best"] = better
    if better:
        state.best, state.waited = line, 0
        run.keep("best", learnt.model, {**line, "provenance": batches.provenance})
    else:
        state.waited += 1
    run.log(line)
    out_of_patience = bool(recipe.train.patience) and state.waited >= recipe.train.patience
    state.over = out_of_patience or state.step >= recipe.train.steps
    shown = "  ".join(
        f"{name} {value:.4f}" for name, value in (validation or _mean(state.recent[-REPORT_STEPS:])).items()
    )
    note(f"step {state.step}/{recipe.train.steps}  {'validation  ' if validation else ''}{shown}")
    if out_of_patience:
        note(f"no better validation since step {state.best['step'] if state.best else 0}: stopped")


def _validated(learnt: Learnt, batches: Batches) -> dict[str, float]:
    """Mean losses and accuracy over what was kept from training, weighed by windows; {} where nothing was."""
    rows, weights = [], []
    learnt.eval()
    with torch.no_grad():
        for batch in batches.validation():
            rows.append({name: float(value) for name, value in learnt(batch).items()})
            weights.append(len(batch.labels))
    learnt.train()
    return {name: float(np.average([row[name] for row in rows], weights=weights)) for name in rows[0]} if rows else {}


def _summary(recipe: Recipe, batches: Batches, state: Progression) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "data": batches.described,
        "steps": state.step,
        "of_steps": recipe.train.steps,
        "stopped_early": state.over and state.step < recipe.train.steps,
        "final_losses": _mean(state.recent),
        "best": state.best,
    }


def _mean(losses: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in losses])) for name in losses[0]} if losses else {}

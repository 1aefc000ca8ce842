"""The training loop for every network, head and source of sound: seeded, resumable, the same weights either way."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edge_asd.errors import DataError
from export.batches import Batch, Batches
from export.losses import Head, build_head, distillation_loss, relation_loss
from export.networks.registry import Network, build_network
from export.recipe import Recipe
from export.rewrite import clamp_slopes
from export.run_folder import Progression, RunFolder

REPORT_STEPS = 20
"""Steps the reported losses are averaged over."""


def learning_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then half a cosine to nothing at the last step."""
    settings = recipe.train
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    return settings.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * step / settings.steps))


def run_key(recipe: Recipe, data_key: str) -> str:
    """Names one training run: the data it reads and the settings that shape the weights."""
    seen = recipe.contract
    inputs = (seen.window_frames, seen.input_mean, seen.input_offset_db, seen.input_scale_db)
    shaping = (recipe.features, recipe.model, recipe.head, recipe.augment, recipe.train)
    settings = repr((data_key, recipe.seed, inputs, *shaping))
    return hashlib.sha256(settings.encode()).hexdigest()[:12]


def train(
    recipe: Recipe,
    batches: Batches,
    folder: Path,
    *,
    key: str,
    stop_after: int | None = None,
    at_step: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
    note: Callable[[str], None] = lambda line: None,
) -> tuple[Network, dict[str, Any]]:
    """Train from scratch, or on from the checkpoint in `folder`; give the best network, in eval mode, and the summary.

    key: names recipe and data, see `run_key`.
    stop_after: leave off after this step with a checkpoint, as a stop from outside would.
    at_step: told of each step and its losses. note: told in words what happens now and then.

    Raises DataError where the folder belongs to another run or the loss is no number any more.
    """
    settings = recipe.train
    torch.manual_seed(recipe.seed)
    run = RunFolder(folder, recipe, key)
    model = build_network(recipe)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    learnt = nn.ModuleDict({"model": model})
    head = None
    if settings.identity_weight:
        head = build_head(recipe.head, recipe.model.embedding_size, batches.n_classes)
        learnt["head"] = head
    optimiser = torch.optim.AdamW(learnt.parameters(), weight_decay=settings.weight_decay)
    state = run.restore(learnt, optimiser)
    if state.step:
        note(f"goes on from step {state.step}")
    end = settings.steps if stop_after is None else min(stop_after, settings.steps)
    learnt.train()
    while state.step < end and not state.over:
        rate = learning_rate(state.step, recipe)
        for group in optimiser.param_groups:
            group["lr"] = rate
        losses = _losses(model, head, batches[state.step], recipe)
        if not torch.isfinite(losses["total"]):
            raise DataError(
                f"training fell apart at step {state.step}: the loss is {float(losses['total'].detach())}",
                remedy="lower train.learning_rate",
            )
        optimiser.zero_grad(set_to_none=True)
        losses["total"].backward()
        nn.utils.clip_grad_norm_(learnt.parameters(), settings.clip_norm)
        optimiser.step()
        clamp_slopes(model)
        state.step += 1
        state.recent.append({name: float(value.detach()) for name, value in losses.items()})
        del state.recent[: -max(REPORT_STEPS, settings.steps // 10)]
        at_step(state.step, state.recent[-1])
        if state.step % settings.checkpoint_steps == 0 or state.step in (stop_after, settings.steps):
            _checkpoint(run, recipe, batches, model, head, state, rate, note)
            run.save(learnt, optimiser, state)
    summary = _summary(recipe, batches, state)
    if state.over:
        run.keep("last", model, {"step": state.step, "train": _mean(state.recent), "provenance": batches.provenance})
        run.summarise(summary)
        model.load_state_dict(torch.load(folder / "best" / "weights.pt", map_location="cpu", weights_only=True))
    model.eval()
    return model, summary


def _losses(model: Network, head: Head | None, batch: Batch, recipe: Recipe) -> dict[str, Tensor]:
    """Every loss with weight, and their weighted sum as "total"."""
    settings = recipe.train
    embeddings = model(batch.inputs.contiguous(memory_format=torch.channels_last))
    losses = {}
    total = embeddings.new_zeros(())
    if batch.targets is not None and settings.distil_weight:
        losses["distil"] = distillation_loss(embeddings, batch.targets)
        total = total + settings.distil_weight * losses["distil"]
    if batch.targets is not None and settings.relation_weight:
        losses["relation"] = relation_loss(embeddings, batch.targets, settings.windows_per_group)
        total = total + settings.relation_weight * losses["relation"]
    if head is not None:
        for_head = model.for_head(embeddings)
        losses["identity"] = head(for_head, batch.labels, batch.partners, batch.shares)
        total = total + settings.identity_weight * losses["identity"]
        if not model.training:
            losses["accuracy"] = (head.class_cosines(for_head).argmax(dim=1) == batch.labels).float().mean()
    losses["total"] = total
    return losses


def _checkpoint(
    run: RunFolder,
    recipe: Recipe,
    batches: Batches,
    model: Network,
    head: Head | None,
    state: Progression,
    rate: float,
    note: Callable[[str], None],
) -> None:
    """Validate, note the metrics, keep the state if it is the best so far, and see whether the run is over."""
    validation = _validated(model, head, batches, recipe)
    line = {"step": state.step, "learning_rate": rate, "train": _mean(state.recent[-REPORT_STEPS:])}
    if validation:
        line["validation"] = validation
    better = not validation or state.best is None or validation["total"] < state.best["validation"]["total"]
    line["best"] = better
    if better:
        state.best, state.waited = line, 0
        run.keep("best", model, {**line, "provenance": batches.provenance})
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


def _validated(model: Network, head: Head | None, batches: Batches, recipe: Recipe) -> dict[str, float]:
    """Mean losses and accuracy over what was kept from training, weighed by windows; {} where nothing was."""
    rows, weights = [], []
    model.eval()
    if head is not None:
        head.eval()
    with torch.no_grad():
        for batch in batches.validation():
            rows.append({name: float(value) for name, value in _losses(model, head, batch, recipe).items()})
            weights.append(len(batch.labels))
    model.train()
    if head is not None:
        head.train()
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

"""The training loop: seeded, resumable at any checkpoint, the same weights either way."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edge_asd.contract import ModelContract
from edge_asd.errors import ConfigError, DataError
from edge_asd.inference.embedder import normalised
from export.generate import Dataset, decoded
from export.losses import SubClusterAdaCos, distillation_loss, relation_loss
from export.mobilefacenet import MobileFaceNet
from export.recipe import Recipe

CLIP_NORM = 5.0
REPORT_STEPS = 20
"""Steps the reported losses are averaged over."""


def build_model(recipe: Recipe) -> MobileFaceNet:
    """The recipe's network with fresh weights from torch's generator."""
    return MobileFaceNet(
        window_frames=recipe.contract.window_frames,
        n_mels=recipe.features.n_mels,
        embedding_size=recipe.model.embedding_size,
        table=recipe.model.table,
        width=recipe.model.width,
    )


@dataclass(frozen=True)
class TeacherSpace:
    """The teacher centred per dimension and turned onto its leading principal axes.

    Turning keeps every cosine but for what the axes left out hold, so the embedding itself can be the target and no
    projection stands between the two geometries.

    mean: [256]; axes: [256, d], orthonormal columns; kept: share of the variance the axes hold.
    """

    mean: np.ndarray
    axes: np.ndarray
    kept: float

    @classmethod
    def fit(cls, features: np.ndarray, size: int) -> TeacherSpace:
        """From float32 [n, 256] features. `size` above 256 is refused with ConfigError."""
        if size > features.shape[1]:
            raise ConfigError(f"model.embedding_size {size} is above the teacher's {features.shape[1]}")
        mean = features.mean(axis=0, dtype=np.float64)
        centred = features - mean
        power, axes = np.linalg.eigh(centred.T @ centred)
        return cls(mean, axes[:, ::-1][:, :size], float(power[::-1][:size].sum() / max(power.sum(), 1e-30)))

    def apply(self, features: np.ndarray) -> np.ndarray:
        """[..., 256] -> float32 [..., d]."""
        return ((features - self.mean) @ self.axes).astype(np.float32)


class Batches:
    """Batches by number: which groups and windows make batch `step` depends on nothing but the seed."""

    def __init__(self, recipe: Recipe, contract: ModelContract, data: Dataset, targets: np.ndarray) -> None:
        self._seed, self._settings = recipe.seed, recipe.train
        self._contract, self._data, self._targets = contract, data, targets
        n_groups, n_windows = data.states.shape
        if self._settings.groups_per_batch > n_groups or self._settings.windows_per_group > n_windows:
            raise ConfigError(
                f"train: batches of {self._settings.groups_per_batch} groups x {self._settings.windows_per_group} "
                f"windows need more data than {n_groups} x {n_windows}"
            )
        self._per_epoch = n_groups // self._settings.groups_per_batch

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs [n, 1, frames, mels], targets [n, d] and states [n], group after group."""
        epoch, position = divmod(step, self._per_epoch)
        n_groups, n_windows = self._data.states.shape
        size = self._settings.groups_per_batch
        order = np.random.default_rng([self._seed, 1, epoch]).permutation(n_groups)
        groups = order[position * size : (position + 1) * size, None]
        rng = np.random.default_rng([self._seed, 2, step])
        windows = rng.permuted(np.tile(np.arange(n_windows), (size, 1)), axis=1)
        windows = windows[:, : self._settings.windows_per_group]
        flat = decoded(self._data.windows[groups, windows]).reshape(-1, *self._data.windows.shape[2:])
        return (
            torch.from_numpy(normalised(flat, self._contract)),
            torch.from_numpy(self._targets[groups, windows]).flatten(0, 1),
            torch.from_numpy(self._data.states[groups, windows]).flatten(),
        )


def learning_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then half a cosine to nothing at the last step."""
    settings = recipe.train
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    return settings.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * step / settings.steps))


def train(
    recipe: Recipe,
    data: Dataset,
    checkpoint: Path,
    *,
    run_key: str,
    stop_after: int | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[MobileFaceNet, dict[str, float]]:
    """Train from scratch or from `checkpoint`; give the network in eval mode and the mean losses of the last tenth.

    run_key: names recipe and data; a checkpoint of another key is refused with DataError.
    stop_after: leave off after this step with a checkpoint, as a stop from outside would.
    """
    settings = recipe.train
    torch.manual_seed(recipe.seed)
    space = TeacherSpace.fit(data.teacher.reshape(-1, data.teacher.shape[-1]), recipe.model.embedding_size)
    progress(f"{space.kept:.1%} of the teacher's variance in {recipe.model.embedding_size} axes")
    contract = recipe.model_contract()
    batches = Batches(recipe, contract, data, space.apply(data.teacher))
    model = build_model(recipe)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    identity = SubClusterAdaCos(recipe.model.embedding_size, data.n_states, settings.sub_clusters)
    learnt = nn.ModuleDict({"model": model, "identity": identity})
    optimiser = torch.optim.AdamW(learnt.parameters(), weight_decay=settings.weight_decay)
    first_step, recent = _restore(checkpoint, run_key, learnt, optimiser)
    learnt.train()
    for step in range(first_step, settings.steps if stop_after is None else min(stop_after, settings.steps)):
        inputs, targets, states = batches[step]
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, recipe)
        embeddings = model(inputs.contiguous(memory_format=torch.channels_last))
        losses = {
            "distil": distillation_loss(embeddings, targets),
            "relation": relation_loss(embeddings, targets, settings.windows_per_group),
            "identity": identity(embeddings, states),
        }
        total = (
            settings.distil_weight * losses["distil"]
            + settings.relation_weight * losses["relation"]
            + settings.identity_weight * losses["identity"]
        )
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(learnt.parameters(), CLIP_NORM)
        optimiser.step()
        recent.append({name: float(value.detach()) for name, value in losses.items()})
        del recent[: -max(REPORT_STEPS, settings.steps // 10)]
        if (step + 1) % settings.checkpoint_steps == 0 or step + 1 in (stop_after, settings.steps):
            _save(checkpoint, run_key, step + 1, recent, learnt, optimiser)
            report = "  ".join(f"{name} {value:.4f}" for name, value in _mean(recent[-REPORT_STEPS:]).items())
            progress(f"step {step + 1}/{settings.steps}  {report}")
    return model.eval(), _mean(recent)


def run_key(recipe: Recipe, data_key: str) -> str:
    """Names one training run: the data it reads and the settings that shape the weights."""
    seen = recipe.contract
    inputs = (seen.window_frames, seen.input_mean, seen.input_offset_db, seen.input_scale_db)
    settings = repr((data_key, recipe.seed, inputs, recipe.model, recipe.train))
    return hashlib.sha256(settings.encode()).hexdigest()[:12]


def _mean(losses: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in losses])) for name in losses[0]}


def _save(
    path: Path, key: str, step: int, recent: list[dict[str, float]], learnt: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    state = {"key": key, "step": step, "recent": recent}
    torch.save({**state, "learnt": learnt.state_dict(), "optimiser": optimiser.state_dict()}, unfinished)
    unfinished.replace(path)


def _restore(
    path: Path, key: str, learnt: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[int, list[dict[str, float]]]:
    """Load a checkpoint when there is one; give the step to go on with and the latest losses."""
    if not path.exists():
        return 0, []
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises anything from KeyError to UnpicklingError for a damaged file
        raise DataError(f"{path} is not a checkpoint", remedy="delete it and run again") from error
    if state.get("key") != key:
        raise DataError(f"{path} belongs to other settings or data", remedy="delete it or choose another directory")
    learnt.load_state_dict(state["learnt"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"]), list(state["recent"])

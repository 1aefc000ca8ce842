"""Batches by number: what is in batch `step` depends on nothing but the seed, so a stopped run loses no order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from edge_asd.contract import LOG_MEL, WAVEFORM
from edge_asd.errors import ConfigError
from edge_asd.inference.embedder import normalised
from edge_asd.windows import Windows
from export.generated.generate import Dataset, decoded
from export.recipe import Recipe
from export.sound.augment import masked, mixture

ORDER, CHOICE, CHANGE, SPLIT = 1, 2, 4, 5
"""Purposes random numbers are drawn for; each (seed, purpose, ...) is a stream of its own."""
VALIDATION_BATCH = 64


@dataclass(frozen=True)
class Batch:
    """Windows, group after group.

    inputs: the sound, in the order of `Recipe.sound_inputs`: log-mel [n, 1, frames, mels], waveform [n, samples].
    labels: [n], class numbers. partners, shares: [n], label of whom each is mixed with and its own share, or None.
    targets: [n, d], the teacher's embeddings, or None.
    sections: [n], index into `Batches.sections`, or None. target: [n], whether it is of the target domain, or None.
    """

    inputs: tuple[Tensor, ...]
    labels: Tensor
    partners: Tensor | None = None
    shares: Tensor | None = None
    targets: Tensor | None = None
    sections: Tensor | None = None
    target: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with every tensor changed."""
        parts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "inputs"}
        changed = {name: None if part is None else change(part) for name, part in parts.items()}
        return Batch(tuple(map(change, self.inputs)), **changed)  # type: ignore[arg-type]


class Batches(Protocol):
    """Where training gets its sound from."""

    n_classes: int
    sections: tuple[str, ...]
    """Machines' sections by name ("fan/00"), where the sound names such."""
    described: str
    """In words, for people."""
    provenance: dict[str, str]
    """What a model package should say of it."""

    def __getitem__(self, step: int) -> Batch:
        """The batch of training step `step`, groups_per_batch x windows_per_group windows."""

    def once(self) -> Iterator[Batch]:
        """All that is trained on, as it is and in order: windows_per_group windows spread evenly over each group."""

    def validation(self) -> Iterator[Batch]:
        """Everything kept from training, whole groups in each batch, always the same; nothing where nothing is."""


def batch_of(
    windows: Windows | np.ndarray, labels: np.ndarray, recipe: Recipe, rng: np.random.Generator | None
) -> Batch:
    """Windows as a batch: stripes and mixtures where `rng` is given. windows: with samples where the recipe wants the
    waveform, otherwise log-mel alone, float32 [n, frames, mels] in dB, will do."""
    windows_db, samples = Windows.of(windows).frames, Windows.of(windows).samples
    if rng is not None:
        windows_db = masked(windows_db, recipe.augment, rng)
    sound = {LOG_MEL: normalised(windows_db, recipe.model_contract())}
    if samples is not None:
        sound[WAVEFORM] = samples
    inputs = [sound[name] for name in recipe.sound_inputs]
    partners = shares = None
    if rng is not None and recipe.augment.mixup_probability > 0.0:
        partners, shares = mixture(len(windows_db), recipe.augment, rng)
        inputs = [_mixed(x, partners, shares) for x in inputs]
    return Batch(
        tuple(torch.from_numpy(x) for x in inputs),
        torch.from_numpy(labels),
        None if partners is None else torch.from_numpy(labels[partners]),
        None if shares is None else torch.from_numpy(shares),
    )


def _mixed(x: np.ndarray, partners: np.ndarray, shares: np.ndarray) -> np.ndarray:
    own = shares.reshape(-1, *(1,) * (x.ndim - 1))
    return own * x + (1.0 - own) * x[partners]


def groups_of_step(step: int, groups: np.ndarray, recipe: Recipe) -> np.ndarray:
    """The groups of one batch: each epoch goes once through all of `groups`, in an order of its own."""
    size = recipe.train.groups_per_batch
    epoch, position = divmod(step, len(groups) // size)
    order = np.random.default_rng([recipe.seed, ORDER, epoch]).permutation(groups)
    return order[position * size : (position + 1) * size]


class GeneratedBatches:
    """Batches of generated sound; a group is one machine in one scene, a class one machine's state.

    targets: float32 [groups, windows, d], the teacher in the embedding's space; None without a teacher.
    """

    def __init__(self, recipe: Recipe, data: Dataset, targets: np.ndarray | None, provenance: dict[str, str]) -> None:
        if recipe.sound_inputs != (LOG_MEL,):
            raise ConfigError(
                f"recipe {recipe.name!r} hears {', '.join(recipe.sound_inputs)}, but generated sound is log-mel only",
                remedy="give recordings with --data",
            )
        self._recipe, self._data, self._targets = recipe, data, targets
        self.provenance = provenance
        n_groups, n_windows = data.states.shape
        self._training, self._kept = self._split()
        settings = recipe.train
        if settings.groups_per_batch > len(self._training) or settings.windows_per_group > n_windows:
            raise ConfigError(
                f"train: batches of {settings.groups_per_batch} groups x {settings.windows_per_group} "
                f"windows need more data than {len(self._training)} x {n_windows}"
            )
        self.n_classes = data.n_states
        self.sections: tuple[str, ...] = ()
        self.described = (
            f"generated sound: {n_groups * n_windows} windows of {data.n_states // 2} machines, "
            f"{len(self._kept)} of {n_groups} scenes kept for validation"
        )

    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        """Groups to train on and to keep: the last scene of some machines, whose other scenes are trained on."""
        scenes = self._recipe.data.scenes_per_machine
        n_groups = len(self._data.states)
        n_machines, share = n_groups // scenes, self._recipe.train.validation_share
        if share and scenes == 1 and not self._recipe.needs_teacher:
            raise ConfigError("train.validation_share needs data.scenes_per_machine of 2: a class must be trained on")
        n_kept = min(n_machines, max(1, round(n_groups * share))) if share else 0
        rng = np.random.default_rng([self._recipe.seed, SPLIT])
        machines = np.sort(rng.choice(n_machines, n_kept, replace=False))
        kept = machines * scenes + scenes - 1
        return np.setdiff1d(np.arange(n_groups), kept), kept

    def __getitem__(self, step: int) -> Batch:
        """See `Batches`."""
        groups = groups_of_step(step, self._training, self._recipe)[:, None]
        n_windows = self._data.states.shape[1]
        rng = np.random.default_rng([self._recipe.seed, CHOICE, step])
        windows = rng.permuted(np.tile(np.arange(n_windows), (len(groups), 1)), axis=1)
        windows = windows[:, : self._recipe.train.windows_per_group]
        return self._batch(groups, windows, np.random.default_rng([self._recipe.seed, CHANGE, step]))

    def once(self) -> Iterator[Batch]:
        """See `Batches`."""
        return self._evenly(self._training)

    def validation(self) -> Iterator[Batch]:
        """See `Batches`."""
        return self._evenly(self._kept)

    def _evenly(self, chosen: np.ndarray) -> Iterator[Batch]:
        size = min(self._data.states.shape[1], self._recipe.train.windows_per_group)
        at_once = max(1, VALIDATION_BATCH // size)
        every = np.linspace(0, self._data.states.shape[1] - 1, size).round().astype(int)
        for start in range(0, len(chosen), at_once):
            groups = chosen[start : start + at_once, None]
            yield self._batch(groups, np.tile(every, (len(groups), 1)), None)

    def _batch(self, groups: np.ndarray, windows: np.ndarray, rng: np.random.Generator | None) -> Batch:
        heard = decoded(self._data.windows[groups, windows]).reshape(-1, *self._data.windows.shape[2:])
        made = batch_of(heard, self._data.states[groups, windows].ravel(), self._recipe, rng)
        if self._targets is None:
            return made
        targets = torch.from_numpy(self._targets[groups, windows]).flatten(0, 1)
        return replace(made, targets=targets)

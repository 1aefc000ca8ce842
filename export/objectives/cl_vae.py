"""Training a VAE over features of a frozen listener, which hears every recording once."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from edge_asd.atomic import write_atomically
from edge_asd.errors import ConfigError
from export.networks.network import Network
from export.networks.panns_clvae import PannsClVae
from export.objectives.objective import Objective, one_hot_sections
from export.recipe import AugmentSettings, ObjectiveSettings, Recipe
from export.sound.batches import Batch, Batches, groups_of_step
from export.training.device import device_of

Settings = ObjectiveSettings
CACHE = "features.npz"
PARTS = ("training", "kept")


@dataclass(frozen=True)
class Heard:
    """Features float32 [n, d], labels and sections int64 [n]."""

    features: np.ndarray
    labels: np.ndarray
    sections: np.ndarray

    def batch(self, rows: np.ndarray) -> Batch:
        """Some of them."""
        features, labels, sections = (torch.from_numpy(x[rows]) for x in (self.features, self.labels, self.sections))
        return Batch((features,), labels, sections=sections)


class FeatureBatches:
    """Batches of features in place of sound; each epoch goes once through all, in an order of its own."""

    def __init__(self, recipe: Recipe, sound: Batches, training: Heard, kept: Heard) -> None:
        self._recipe, self._training, self._kept = recipe, training, kept
        self.n_classes, self.sections = sound.n_classes, sound.sections
        self.described, self.provenance = sound.described, sound.provenance

    def __getitem__(self, step: int) -> Batch:
        """See `export.sound.batches.Batches`."""
        n = self._recipe.train.windows_per_group
        groups = groups_of_step(step, np.arange(len(self._training.labels) // n), self._recipe)
        return self._training.batch((groups[:, None] * n + np.arange(n)).ravel())

    def once(self) -> Iterator[Batch]:
        """See `export.sound.batches.Batches`."""
        yield self._training.batch(np.arange(len(self._training.labels)))

    def validation(self) -> Iterator[Batch]:
        """See `export.sound.batches.Batches`."""
        if len(self._kept.labels):
            yield self._kept.batch(np.arange(len(self._kept.labels)))


class ClVaeObjective(Objective):
    """Losses "reconstruction", "divergence", "centre" and their sum by eq. (8), "total"."""

    hears_once: ClassVar[bool] = True

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self._recipe = recipe

    def prepared(
        self, network: Network, batches: Batches, folder: Path, note: Callable[[str], None] = lambda line: None
    ) -> Batches:
        """Features of all recordings, computed once and kept in `folder`."""
        assert isinstance(network, PannsClVae)
        path, key = folder / CACHE, self._key(network, batches)
        kept = _read(path, key)
        if kept is None:
            note(f"hearing every recording once: {batches.described}")
            kept = _heard(network, batches.once()), _heard(network, batches.validation())
            _write(path, key, *kept)
        return FeatureBatches(self._recipe, batches, *kept)

    def forward(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """See `Objective`."""
        assert isinstance(network, PannsClVae)
        (features,) = batch.inputs
        if features.dim() > 2:  # sound, where nothing was prepared
            features = network(features)
        return network.vae.loss(features, one_hot_sections(batch, len(network.vae.centres)))

    def _key(self, network: PannsClVae, batches: Batches) -> str:
        """Names who listens, how, and to what."""
        said = (self._recipe.seed, self._recipe.features, self._recipe.contract, self._recipe.train.validation_share)
        digest = hashlib.sha256(repr((said, batches.provenance)).encode())
        for value in network.listener.state_dict().values():
            digest.update(value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def _heard(network: PannsClVae, batches: Iterable[Batch]) -> Heard:
    features = [np.empty((0, network.listener.feature_size), np.float32)]
    labels, sections = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    with torch.no_grad():
        for batch in batches:
            sections.append(one_hot_sections(batch, len(network.vae.centres)).argmax(dim=1).numpy())
            features.append(network(*(x.to(device_of(network)) for x in batch.inputs)).cpu().numpy())
            labels.append(batch.labels.numpy())
    return Heard(np.concatenate(features), np.concatenate(labels), np.concatenate(sections))


def _write(path: Path, key: str, training: Heard, kept: Heard) -> None:
    arrays = {
        f"{part}_{name}": array
        for part, heard in zip(PARTS, (training, kept), strict=True)
        for name, array in vars(heard).items()
    }
    file = io.BytesIO()
    np.savez(file, key=np.array(key), **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, file.getvalue())


def _read(path: Path, key: str) -> tuple[Heard, Heard] | None:
    """What was heard before, if by the same listener and of the same recordings."""
    if not path.is_file():
        return None
    try:
        with np.load(path) as held:
            if str(held["key"]) != key:
                return None
            parts = ([held[f"{part}_{name}"] for name in ("features", "labels", "sections")] for part in PARTS)
            training, kept = (Heard(*arrays) for arrays in parts)
            return training, kept
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # damaged: heard again


def build(recipe: Recipe, network: Network, n_classes: int) -> ClVaeObjective:
    """See `export.objectives.registry`."""
    if not isinstance(network, PannsClVae):
        raise ConfigError(f"objective.kind 'cl-vae' needs model.kind 'panns-clvae', not {recipe.model.kind!r}")
    if recipe.augment != AugmentSettings():
        raise ConfigError("augment: 'cl-vae' hears every recording once and unchanged: leave the section away")
    return ClVaeObjective(recipe)

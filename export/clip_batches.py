"""Batches of recordings: a group is a clip, a class what its place and name say of the machine."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_asd.audio.files import find_clips, read_clip
from edge_asd.contract import ModelContract
from edge_asd.errors import ConfigError, DataError, MissingInputError
from edge_asd.evaluation.clip_names import NamedClip, parse_clip
from edge_asd.frontend import LogMel, log_mel
from edge_asd.windows import lengthened
from export.augment import at_speed, changed, speed_factor
from export.batches import CHANGE, SPLIT, VALIDATION_BATCH, Batch, batch_of, groups_of_step
from export.recipe import Recipe

CLIPS_KEPT_IN_MEMORY = 256
MOST_VALIDATION_CLIPS = 512


@dataclass(frozen=True)
class ClipClasses:
    """Recordings sorted into classes.

    paths: of the clips, in order of their names; labels: int64 [clips], indices into `names`.
    """

    paths: tuple[Path, ...]
    labels: np.ndarray
    names: tuple[str, ...]

    @property
    def key(self) -> str:
        """Names these recordings: changes with their names, sizes and classes."""
        listed = [
            f"{self.names[label]}/{path.name}:{path.stat().st_size}"
            for path, label in zip(self.paths, self.labels, strict=True)
        ]
        return hashlib.sha256("\n".join(listed).encode()).hexdigest()[:12]


def clip_classes(folder: Path) -> ClipClasses:
    """Sort the clips below a folder into classes.

    Clips named as in DCASE Task 2 or MIMII: the normal training clips, a class for each machine, section, domain and
    set of attributes. Others: each subfolder that holds clips is a class.

    Raises MissingInputError (no folder, no clip), DataError (one class only: nothing to tell apart).
    """
    if not folder.is_dir():
        raise MissingInputError(f"{folder}: no such directory")
    paths = find_clips([folder])
    named = [parse_clip(str(path.absolute())) for path in paths]
    if 2 * sum(clip is not None for clip in named) >= len(paths):  # a few stray files do not unmake a dataset
        usable = [(path, clip) for path, clip in zip(paths, named, strict=True) if clip is not None and _trains(clip)]
        paths, classes = [path for path, _ in usable], [_dcase_class(clip) for _, clip in usable]
        if not paths:
            raise DataError(f"{folder}: no normal training clip", remedy="their folders or names say train and normal")
    else:
        classes = [str(path.parent.relative_to(folder)) for path in paths]
    names = tuple(sorted(set(classes)))
    if len(names) < 2:
        raise DataError(
            f"{folder}: all {len(paths)} clips belong to one class, nothing to learn from",
            remedy="put the sounds of each machine (or state) into a subfolder of its own",
        )
    index = {name: i for i, name in enumerate(names)}
    return ClipClasses(tuple(paths), np.array([index[name] for name in classes], np.int64), names)


def _trains(clip: NamedClip) -> bool:
    """Whether a clip may be learnt from: never a test clip, never an anomaly (MIMII brings no split)."""
    return clip.role in ("train", "") and clip.label == "normal"


def _dcase_class(clip: NamedClip) -> str:
    attributes = [f"{name}_{value}" for name, value in sorted(clip.attributes)]
    return "/".join(part for part in (clip.machine, clip.section, clip.domain, *attributes) if part)


class ClipBatches:
    """Windows cut from recordings at random places, changed as the recipe says, through the device's front end."""

    def __init__(self, recipe: Recipe, clips: ClipClasses) -> None:
        if recipe.needs_teacher:
            raise ConfigError(
                f"recipe {recipe.name!r} follows a teacher, which listens to generated sound only",
                remedy="leave --data away, or take a recipe with distil_weight and relation_weight 0",
            )
        self._recipe, self._clips = recipe, clips
        self._contract = recipe.model_contract()
        self._front_end = LogMel(recipe.features, padded=False)
        self._read = functools.lru_cache(CLIPS_KEPT_IN_MEMORY)(
            functools.partial(read_clip, rate_hz=recipe.features.rate_hz)
        )
        self._training, self._kept = self._split()
        if recipe.train.groups_per_batch > len(self._training):
            raise ConfigError(
                f"train: batches of {recipe.train.groups_per_batch} clips need more than {len(self._training)}"
            )
        self.n_classes = len(clips.names)
        self.sections: tuple[str, ...] = ()
        self.described = (
            f"{len(clips.paths)} recordings of {len(clips.names)} classes, {len(self._kept)} kept for validation"
        )
        self.provenance = {"data": f"{len(clips.paths)} recordings of {len(clips.names)} classes; key {clips.key}"}

    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        """Clips to train on and to keep: a share of each class that has at least two."""
        share, kept = self._recipe.train.validation_share, []
        rng = np.random.default_rng([self._recipe.seed, SPLIT])
        for label in range(len(self._clips.names)):
            members = np.flatnonzero(self._clips.labels == label)
            if share and len(members) > 1:
                kept.append(rng.choice(members, max(1, round(share * len(members))), replace=False))
        chosen = np.sort(np.concatenate(kept)) if kept else np.empty(0, np.intp)
        training = np.setdiff1d(np.arange(len(self._clips.paths)), chosen)
        if len(chosen) > MOST_VALIDATION_CLIPS:
            chosen = np.sort(rng.choice(chosen, MOST_VALIDATION_CLIPS, replace=False))
        return training, chosen

    def __getitem__(self, step: int) -> Batch:
        """See `export.batches.Batches`."""
        clips = groups_of_step(step, self._training, self._recipe)
        rng = np.random.default_rng([self._recipe.seed, CHANGE, step])
        n = self._recipe.train.windows_per_group
        windows = [self._random_windows(self._read(self._clips.paths[clip]), n, rng) for clip in clips]
        return batch_of(np.concatenate(windows), np.repeat(self._clips.labels[clips], n), self._recipe, rng)

    def validation(self) -> Iterator[Batch]:
        """See `export.batches.Batches`."""
        n = self._recipe.train.windows_per_group
        at_once = max(1, VALIDATION_BATCH // n)
        for start in range(0, len(self._kept), at_once):
            clips = self._kept[start : start + at_once]
            windows = [even_windows(self._read(self._clips.paths[clip]), n, self._contract) for clip in clips]
            yield batch_of(np.concatenate(windows), np.repeat(self._clips.labels[clips], n), self._recipe, None)

    def _random_windows(self, samples: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        """`n` windows of one clip, each at a place, speed, room and level of its own, float32 [n, frames, mels] dB."""
        needed, rate_hz = window_samples(self._contract), self._recipe.features.rate_hz
        windows = []
        for _ in range(n):
            factor = speed_factor(self._recipe.augment, rng)
            # A resampler's last samples are short of neighbours: two more than needed cost nothing.
            source = math.ceil(needed * factor) + 2
            start = int(rng.integers(max(1, samples.size - source + 1)))
            heard = at_speed(samples[start : start + source], factor)
            heard = changed(heard, rate_hz, self._recipe.augment, rng)
            windows.append(one_window(heard, self._contract, self._front_end))
        return np.stack(windows)


def window_samples(contract: ModelContract) -> int:
    """Samples one window covers."""
    return (contract.window_frames - 1) * contract.features.hop_samples + contract.features.n_fft


def one_window(samples: np.ndarray, contract: ModelContract, front_end: LogMel) -> np.ndarray:
    """The first window of a sound as a live stream shows it, or a short clip made long, float32 [frames, mels] dB."""
    if samples.size >= window_samples(contract):
        front_end.reset()
        return front_end.push(samples)[: contract.window_frames]
    return lengthened(log_mel(samples, contract.features), contract.window_frames, contract.short_clip)[
        : contract.window_frames
    ]


def even_windows(samples: np.ndarray, n: int, contract: ModelContract) -> np.ndarray:
    """`n` windows spread evenly over a clip, float32 [n, frames, mels] dB."""
    front_end = LogMel(contract.features, padded=False)
    needed = window_samples(contract)
    starts = np.linspace(0, max(0, samples.size - needed), n).round().astype(int)
    return np.stack([one_window(samples[start : start + needed], contract, front_end) for start in starts])

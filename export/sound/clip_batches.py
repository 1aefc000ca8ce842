"""Batches of recordings: a group is a clip, a class what its place and name say of the machine."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from edge_asd.audio.files import read_clip
from edge_asd.contract import ModelContract
from edge_asd.errors import ConfigError
from edge_asd.frontend import LogMel, log_mel
from edge_asd.windows import Windows, clip_samples, lengthened, padded
from export.recipe import Recipe
from export.sound.augment import at_speed, changed, speed_factor
from export.sound.batches import CHANGE, SPLIT, VALIDATION_BATCH, Batch, batch_of, groups_of_step
from export.sound.recordings import ClipClasses

CLIPS_KEPT_IN_MEMORY = 256
MOST_VALIDATION_CLIPS = 512


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
        self.sections = clips.section_names
        self.described = (
            f"{len(clips.paths)} recordings of {len(clips.names)} classes, {len(self._kept)} kept for validation"
        )
        self.provenance = {"data": f"{len(clips.paths)} recordings of {len(clips.names)} classes; key {clips.key}"}

    @property
    def clips_per_batch(self) -> int:
        """Clips whose windows make a batch."""
        return self._recipe.train.groups_per_batch

    def first_windows(self, n: int) -> int:
        """Read and cut the windows of the first `n` clips, as batches do; tells how many clips there were."""
        clips, rng = self._clips.paths[:n], np.random.default_rng(self._recipe.seed)
        windows = self._recipe.train.windows_per_group
        batch_of(stacked([self._random_windows(self._read(clip), windows, rng) for clip in clips]),
                 np.zeros(len(clips) * windows, np.int64), self._recipe, rng)  # fmt: skip
        return len(clips)

    @property
    def steps_per_epoch(self) -> int:
        """Batches that go once through all clips trained on, but for a rest too small for one."""
        return len(self._training) // self._recipe.train.groups_per_batch

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
        """See `export.sound.batches.Batches`."""
        clips = groups_of_step(step, self._training, self._recipe)
        rng = np.random.default_rng([self._recipe.seed, CHANGE, step])
        n = self._recipe.train.windows_per_group
        windows = [self._random_windows(self._read(self._clips.paths[clip]), n, rng) for clip in clips]
        return self._batch(windows, clips, rng)

    def once(self) -> Iterator[Batch]:
        """See `export.sound.batches.Batches`."""
        return self._evenly(self._training)

    def validation(self) -> Iterator[Batch]:
        """See `export.sound.batches.Batches`."""
        return self._evenly(self._kept)

    def _evenly(self, chosen: np.ndarray) -> Iterator[Batch]:
        n = self._recipe.train.windows_per_group
        at_once = max(1, VALIDATION_BATCH // n)
        for start in range(0, len(chosen), at_once):
            clips = chosen[start : start + at_once]
            windows = [even_windows(self._read(self._clips.paths[clip]), n, self._contract) for clip in clips]
            yield self._batch(windows, clips, None)

    def _batch(self, windows: Sequence[Windows], clips: np.ndarray, rng: np.random.Generator | None) -> Batch:
        each = np.repeat(clips, self._recipe.train.windows_per_group)
        made = batch_of(stacked(windows), self._clips.labels[each], self._recipe, rng)
        if not self.sections:
            return made
        sections, target = self._clips.sections[each], self._clips.target[each]
        return replace(made, sections=torch.from_numpy(sections), target=torch.from_numpy(target))

    def _random_windows(self, samples: np.ndarray, n: int, rng: np.random.Generator) -> Windows:
        """`n` windows of one clip, each at a place, speed, room and level of its own."""
        needed, rate_hz = self._contract.window_samples, self._recipe.features.rate_hz
        windows = []
        for _ in range(n):
            factor = speed_factor(self._recipe.augment, rng)
            # A resampler's last samples are short of neighbours: two more than needed cost nothing.
            source = math.ceil(needed * factor) + 2
            start = int(rng.integers(max(1, samples.size - source + 1)))
            heard = at_speed(samples[start : start + source], factor)
            heard = changed(heard, rate_hz, self._recipe.augment, rng)
            windows.append(one_window(heard, self._contract, self._front_end))
        return stacked(windows)


def one_window(samples: np.ndarray, contract: ModelContract, front_end: LogMel) -> Windows:
    """The first window of a sound as a live stream shows it, or a short clip made long; one window, with its samples
    where the contract takes a waveform."""
    if samples.size >= contract.window_samples:
        front_end.reset()
        frames, heard = front_end.push(samples)[: contract.window_frames], samples[: contract.window_samples]
        return Windows(frames[None], heard[None] if contract.takes_waveform else None)
    frames = log_mel(samples, contract.features)
    windows = lengthened(frames, contract.window_frames, contract.short_clip)[None]
    if not contract.takes_waveform:
        return Windows(windows)
    return Windows(windows, clip_samples(padded(samples, contract.features), len(frames), contract)[:1])


def even_windows(samples: np.ndarray, n: int, contract: ModelContract) -> Windows:
    """`n` windows spread evenly over a clip."""
    front_end = LogMel(contract.features, padded=False)
    needed = contract.window_samples
    starts = np.linspace(0, max(0, samples.size - needed), n).round().astype(int)
    return stacked([one_window(samples[start : start + needed], contract, front_end) for start in starts])


def stacked(windows: Sequence[Windows]) -> Windows:
    """Windows of several sounds, one after the other; at least one."""
    samples = [part.samples for part in windows if part.samples is not None]
    return Windows(np.concatenate([part.frames for part in windows]), np.concatenate(samples) if samples else None)

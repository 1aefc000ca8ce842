"""Generated machine sound as training windows, cached in shards so that a stopped run goes on where it was.

Each machine has random numbers of its own, so the data do not depend on how many processes made them.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import hashlib
import inspect
import json
import multiprocessing
import os
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import edge_asd.frontend
import edge_asd.simulator
import export.generated.channel
import export.generated.factory
import export.generated.variety
import export.teacher.yamnet
from edge_asd.errors import ConfigError, DataError, UnavailableError
from edge_asd.frontend import log_mel
from edge_asd.simulator import FAULTS, KINDS, Fault, Machine, Scene, render
from export.generated.channel import at_level, coloured_noise, equalised, mixed, recorded
from export.generated.variety import varied, weathered
from export.recipe import Recipe
from export.teacher.yamnet import PATCH_SAMPLES, RATE_HZ, TEACHER_SIZE, Teacher

MACHINES_PER_SHARD = 16
VARIETY = 7
"""Marks the random numbers of `export.generated.variety`: without it, the rest draws what it always drew."""
CODE_STEP_DB, CODE_LOWEST_DB = 0.5, -100.0
"""Log-mel is cached as bytes of half a decibel: the rounding (0.14 dB RMS) is far below any sound's own scatter."""


@dataclass(frozen=True)
class Dataset:
    """Windows by group; a group is one machine in one scene, first healthy, then faulty.

    windows: uint8 [groups, windows, frames, mels], see `decoded`.
    teacher: float32 [groups, windows, hearings, 1024], of each of `DataSettings.teacher_hears`; no hearings where no
        teacher listened.
    states: int64 [groups, windows], the machine state each window belongs to.
    """

    windows: np.ndarray
    teacher: np.ndarray
    states: np.ndarray

    @property
    def n_states(self) -> int:
        """Machine states there are."""
        return int(self.states.max()) + 1


def encoded(log_mel_db: np.ndarray) -> np.ndarray:
    """dB -> uint8."""
    return np.clip(np.round((log_mel_db - CODE_LOWEST_DB) / CODE_STEP_DB), 0, 255).astype(np.uint8)


def decoded(codes: np.ndarray) -> np.ndarray:
    """uint8 -> float32 dB."""
    return codes.astype(np.float32) * np.float32(CODE_STEP_DB) + np.float32(CODE_LOWEST_DB)


def states_of(recipe: Recipe) -> np.ndarray:
    """Number of the machine state each window belongs to, int64 [groups, windows]: 2 x machine, + 1 when faulty."""
    data = recipe.data
    groups = np.arange(data.machines * data.scenes_per_machine) // data.scenes_per_machine
    faulty = np.repeat((0, 1), data.windows_per_clip)
    return 2 * groups[:, None] + faulty[None, :]


def machine_windows(recipe: Recipe, machine_index: int, teacher: Teacher | None) -> tuple[np.ndarray, np.ndarray]:
    """All windows of one machine: uint8 [scenes, windows, frames, mels] and what the teacher hears in them, float16
    [scenes, windows, hearings, 1024], with no hearings where there is no teacher."""
    data, spec = recipe.data, recipe.features
    rng = np.random.default_rng([recipe.seed, machine_index])
    kind = KINDS[machine_index % len(KINDS)]
    varying = np.random.default_rng([recipe.seed, machine_index, VARIETY])
    machine = varied(Machine.random(kind, rng), data, varying)
    fault_name = FAULTS[kind][rng.integers(len(FAULTS[kind]))]
    hearings = () if teacher is None else data.teacher_hears
    windows, targets = [], []
    for _ in range(data.scenes_per_machine):
        scene = Scene.random(rng)
        tilt_rng_seed, place_seed = int(rng.integers(2**63)), int(varying.integers(2**63))
        for fault in (None, Fault(fault_name, level_db=rng.uniform(*data.fault_level_db))):
            same_run = copy.deepcopy(rng)
            clip = _clip(recipe, machine, scene, fault, tilt_rng_seed, rng)
            place = np.random.default_rng(place_seed)
            clip = at_level(weathered(clip, spec.rate_hz, data, place, varying), data.level_dbfs)
            heard = [_heard(hearing, clip, machine, scene, fault, spec.rate_hz, same_run) for hearing in hearings]
            frames = log_mel(clip, spec)
            for i in range(data.windows_per_clip):
                # Frame 0 is half padding; from frame 1 on a window is what a live stream would show.
                first = 1 + i * recipe.contract.window_frames
                windows.append(encoded(frames[first : first + recipe.contract.window_frames]))
                start = (first * spec.hop_samples) - spec.n_fft // 2
                cuts = [at_level(sound[start : start + _window_samples(recipe)], data.level_dbfs) for sound in heard]
                targets.append([teacher.features(cut) for cut in cuts] if teacher else [])
    shape = (data.scenes_per_machine, 2 * data.windows_per_clip)
    codes, features = np.stack(windows), np.array(targets, np.float16)
    return codes.reshape(*shape, *codes.shape[1:]), features.reshape(*shape, len(hearings), TEACHER_SIZE)


def _heard(
    hearing: str,
    clip: np.ndarray,
    machine: Machine,
    scene: Scene,
    fault: Fault | None,
    rate_hz: int,
    same_run: np.random.Generator,
) -> np.ndarray:
    """What the teacher listens to while the student has the clip, float32 [n]: see `DataSettings.teacher_hears`.

    same_run: in the state the clip was rendered with, so that the machine does the same at the same moment.
    """
    if hearing == "clip":
        return clip
    alone = Scene.anechoic()
    if hearing == "room":
        alone = dataclasses.replace(scene, background=(), snr_db=300.0, floor_dbfs=-300.0, bits=0)
    return render(machine, alone, clip.size / rate_hz, copy.deepcopy(same_run), rate_hz=rate_hz, fault=fault)


def _window_samples(recipe: Recipe) -> int:
    spec = recipe.features
    return (recipe.contract.window_frames - 1) * spec.hop_samples + spec.n_fft


def _clip(
    recipe: Recipe, machine: Machine, scene: Scene, fault: Fault | None, channel_seed: int, rng: np.random.Generator
) -> np.ndarray:
    """One recording, float32 [n]. `channel_seed` fixes equaliser and recorder, which belong to the scene."""
    data, spec = recipe.data, recipe.features
    n_samples = (data.windows_per_clip * recipe.contract.window_frames + 1) * spec.hop_samples + spec.n_fft
    duration_s = n_samples / spec.rate_hz
    clip = render(machine, scene, duration_s, rng, rate_hz=spec.rate_hz, fault=fault)[:n_samples]
    channel_rng = np.random.default_rng(channel_seed)
    has_neighbour = channel_rng.random() < data.neighbour_probability
    neighbour = Machine.random(KINDS[channel_rng.integers(len(KINDS))], channel_rng)
    neighbour_snr_db = channel_rng.uniform(*data.neighbour_snr_db)
    if has_neighbour:
        other = render(neighbour, scene, duration_s, rng, rate_hz=spec.rate_hz)[:n_samples]
        clip = mixed(clip, other, neighbour_snr_db)
    if channel_rng.random() < data.noise_probability:
        noise = coloured_noise(n_samples, spec.rate_hz, channel_rng)
        clip = mixed(clip, noise, channel_rng.uniform(*data.noise_snr_db))
    clip = equalised(clip, spec.rate_hz, data.tilt_db_per_octave, channel_rng)
    return at_level(recorded(clip, channel_rng), data.level_dbfs)


def data_key(recipe: Recipe, teacher_path: str | Path | None) -> str:
    """Names the data a recipe generates: changes with its settings, the teacher and the code that makes sound."""
    settings = {
        "seed": recipe.seed,
        "window_frames": recipe.contract.window_frames,
        "features": dataclasses.asdict(recipe.features),
        "data": dataclasses.asdict(recipe.data),
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    modules = (
        edge_asd.frontend, export.generated.channel, export.generated.factory, export.teacher.yamnet,
        export.generated.variety, sys.modules[__name__],
    )  # fmt: skip
    sources = [inspect.getfile(module) for module in modules]
    sources += sorted(map(str, Path(inspect.getfile(edge_asd.simulator)).parent.glob("*.py")))
    for source in sources:
        digest.update(code_alone(Path(source).read_text(encoding="utf-8")).encode())
    if teacher_path is not None:
        digest.update(Path(teacher_path).read_bytes())
    return digest.hexdigest()[:12]


def code_alone(source: str) -> str:
    """What Python source does, without comments, docstrings and layout: words put better make no sound anew."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [line for line in node.body if not _is_words(line)]
    return ast.unparse(tree)


def _is_words(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Constant):
        return False
    return isinstance(statement.value.value, str)


def generate(
    recipe: Recipe,
    teacher_path: str | Path | None,
    folder: Path,
    *,
    processes: int = 1,
    progress: Callable[[str], None] = lambda line: None,
) -> Dataset:
    """Make, or find already made in `folder`, the data of a recipe. Name the folder by `data_key`.

    teacher_path: the teacher's file; None: only sound and states are made.

    Raises ConfigError for settings that cannot work, DataError for a cache that is not what was written and
    UnavailableError where a process was killed.
    """
    _check(recipe, teacher_path is not None)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{first:06d}.npz" for first in range(0, recipe.data.machines, MACHINES_PER_SHARD)]
    jobs = [(recipe, teacher_path, path) for path in paths if not path.exists()]
    if len(jobs) == 1 or processes == 1:
        for done, job in enumerate(jobs, start=1):
            _write_shard(job)
            progress(f"generated {done} of {len(jobs)} shards of {MACHINES_PER_SHARD} machines")
    elif jobs:
        # Spawned, not forked: interpreters and thread pools do not survive a fork.
        pool = ProcessPoolExecutor(min(processes, len(jobs)), mp_context=multiprocessing.get_context("spawn"))
        try:
            for done, shard in enumerate(as_completed([pool.submit(_write_shard, job) for job in jobs]), start=1):
                shard.result()
                progress(f"generated {done} of {len(jobs)} shards of {MACHINES_PER_SHARD} machines")
        except BrokenProcessPool as error:
            raise UnavailableError(
                f"one of {processes} processes that generate sound was ended from outside, often for want of memory",
                remedy="run it again with fewer --processes; finished shards are kept",
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
    return _load(recipe, paths, 0 if teacher_path is None else len(recipe.data.teacher_hears))


def _check(recipe: Recipe, taught: bool) -> None:
    data, spec = recipe.data, recipe.features
    if taught and spec.rate_hz != RATE_HZ:
        raise ConfigError(f"features.rate_hz is {spec.rate_hz}, but the teacher hears {RATE_HZ} Hz")
    n_samples = _window_samples(recipe)
    if taught and n_samples < PATCH_SAMPLES:
        raise ConfigError(f"a window of {n_samples} samples is shorter than the teacher's {PATCH_SAMPLES}")
    if min(data.machines, data.scenes_per_machine, data.windows_per_clip) < 1:
        raise ConfigError("data: machines, scenes_per_machine and windows_per_clip must be at least 1")


def _write_shard(job: tuple[Recipe, str | Path | None, Path]) -> None:
    recipe, teacher_path, path = job
    first = int(path.stem)
    teacher = None if teacher_path is None else Teacher(teacher_path)
    machines = range(first, min(first + MACHINES_PER_SHARD, recipe.data.machines))
    made = [machine_windows(recipe, index, teacher) for index in machines]
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    with unfinished.open("wb") as file:
        np.savez(file, windows=np.concatenate([m[0] for m in made]), teacher=np.concatenate([m[1] for m in made]))
    unfinished.replace(path)


def _load(recipe: Recipe, paths: list[Path], n_hearings: int) -> Dataset:
    states = states_of(recipe)
    frame_shape = (recipe.contract.window_frames, recipe.features.n_mels)
    windows = np.empty((*states.shape, *frame_shape), np.uint8)
    teacher = np.empty((*states.shape, n_hearings, TEACHER_SIZE), np.float32)
    row = 0
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as shard:
                n_rows = len(shard["windows"])
                windows[row : row + n_rows] = shard["windows"]
                teacher[row : row + n_rows] = shard["teacher"]
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is damaged", remedy="delete it and run again") from error
        row += n_rows
    return Dataset(windows, teacher, states)

"""Windows to measure activation ranges on: like those a machine is enrolled with, and a few at the edge of what comes.

By default they are simulated, so that nothing recorded is needed; recordings can be given instead.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from edge_asd.audio.files import find_clips, read_clip
from edge_asd.contract import ModelContract
from edge_asd.errors import DataError
from export.generated.generate import decoded, machine_windows
from export.recipe import ContractSettings, DataSettings, Recipe
from export.sound.clip_batches import even_windows

WINDOWS_PER_CLIP = 4
MACHINE_SCENES, MACHINE_WINDOWS_PER_CLIP = 1, 1
"""Of simulated calibration: many machines heard briefly hold more extremes than a few heard long."""
CUT_SHARE = 0.5
"""Windows with bands cut away, of all others. A codec or a poor microphone leaves bands empty; unless calibration shows
such, their embeddings move most (least cosine to float .985 without, .989 with, on recordings)."""
DEEPEST_CUT_DB = 30.0
LEAST_SPREAD_DB = 0.5
"""Standard deviation below which a window holds no sound: digital silence is flat."""


def simulated_windows(contract: ModelContract, n: int, seed: int) -> np.ndarray:
    """`n` windows of simulated machines, healthy and faulty, float32 [n, frames, mels] in dB."""
    settings = {f.name: getattr(contract, f.name) for f in dataclasses.fields(ContractSettings)}
    per_machine = 2 * MACHINE_SCENES * MACHINE_WINDOWS_PER_CLIP
    recipe = Recipe(
        name=contract.name,
        seed=seed,
        features=contract.features,
        contract=ContractSettings(**settings),
        data=DataSettings(
            machines=-(-n // per_machine),
            scenes_per_machine=MACHINE_SCENES,
            windows_per_clip=MACHINE_WINDOWS_PER_CLIP,
        ),
    )
    made = [machine_windows(recipe, index, None)[0] for index in range(recipe.data.machines)]
    windows = np.concatenate([codes.reshape(-1, *codes.shape[2:]) for codes in made])
    chosen = np.random.default_rng([seed, 3]).permutation(len(windows))[:n]
    return decoded(windows[chosen])


def recorded_windows(folder: Path, contract: ModelContract, n: int, seed: int) -> np.ndarray:
    """At most `n` windows of the recordings below `folder`, from as many clips as there are, float32 [.., frames, mels]
    in dB. Raises MissingInputError, DataError (a clip that cannot be read, nothing but silence)."""
    paths = find_clips([folder])
    rng = np.random.default_rng([seed, 3])
    chosen = [paths[i] for i in np.sort(rng.permutation(len(paths))[: -(-n // WINDOWS_PER_CLIP)])]
    heard = [
        even_windows(read_clip(path, contract.features.rate_hz), WINDOWS_PER_CLIP, contract).frames for path in chosen
    ]
    windows = np.concatenate(heard)
    windows = windows[windows.std(axis=(1, 2)) > LEAST_SPREAD_DB]
    if not len(windows):
        raise DataError(
            f"{folder}: the calibration audio is silent ({len(chosen)} clips, {len(heard) * WINDOWS_PER_CLIP} windows)",
            remedy="calibrate on sound of running machines",
        )
    return windows[rng.permutation(len(windows))[:n]]


def with_cut_bands(windows: np.ndarray, floor_db: float, seed: int) -> np.ndarray:
    """The windows and `CUT_SHARE` as many again whose highest, at times also lowest bands hold nothing."""
    rng = np.random.default_rng([seed, 6])
    cut = windows[: int(len(windows) * CUT_SHARE)].copy()
    n_mels = windows.shape[2]
    for window in cut:
        empty_db = max(floor_db, float(window.min()) - rng.uniform(0.0, DEEPEST_CUT_DB))
        window[:, rng.integers(n_mels // 3, n_mels) :] = empty_db
        if rng.random() < 0.3:
            window[:, : rng.integers(1, max(2, n_mels // 6))] = empty_db
    return np.concatenate((windows, cut))

"""Datasets as DCASE and MIMII name them, made of short clips of a simulated fan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_asd.simulator import Fault, Machine, Scene, render

RATE_HZ = 16000
CLIP_S = 1.2
Sound = dict[tuple[str, str], np.ndarray]
MakeDataset = Callable[[Path, int], Path]


@pytest.fixture(scope="session")
def fan_sound() -> Sound:
    """(domain, label) -> 16 clips float32 [16, n]: a fan, and the same fan in another room."""
    sound = {}
    for seed, domain in enumerate(("source", "target")):
        rng = np.random.default_rng(31)
        fan, _ = Machine.random("fan", rng), Scene.random(rng)
        scene = Scene.random(np.random.default_rng(100 + seed))
        for label, fault in (("normal", None), ("anomaly", Fault("blade_damage", level_db=6.0))):
            samples = render(fan, scene, 16 * CLIP_S, np.random.default_rng(7 + seed), fault=fault)
            sound[domain, label] = samples.reshape(16, -1)
    return sound


@pytest.fixture(scope="session")
def make_dataset(fan_sound: Sound) -> MakeDataset:
    """A function (folder, year) -> the folder, filled as that year's development set is; 2019 stands for MIMII."""

    def make(root: Path, year: int) -> Path:
        counts: dict[tuple[str, str], int] = {}

        def put(path: str, label: str, domain: str = "source") -> None:
            i = counts[domain, label] = counts.get((domain, label), -1) + 1
            clip = fan_sound[domain, label][i % 16]
            if year == 2026:  # left near, right far: too far to hear the fault
                clip = np.stack((clip, fan_sound[domain, "normal"][(i + 5) % 16]), axis=1)
            if year == 2019:
                clip = np.repeat(clip[:, None], 8, axis=1)
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(root / path, clip, RATE_HZ)

        for machine in ("fan", "pump"):
            if year == 2019:
                for i in range(7):
                    put(f"{machine}/id_00/normal/{i:08d}.wav", "normal")
                for i in range(3):
                    put(f"{machine}/id_00/abnormal/{i:08d}.wav", "anomaly")
            elif year == 2020:
                for i in range(4):
                    put(f"{machine}/train/normal_id_00_{i:08d}.wav", "normal")
                for label in ("normal", "anomaly"):
                    for i in range(3):
                        put(f"{machine}/test/{label}_id_00_{i:08d}.wav", label)
            else:
                _sections(put, machine, year)
        return root

    return make


def _sections(put: Callable[..., None], machine: str, year: int) -> None:
    attribute = {2021: "", 2024: "_noAttribute"}.get(year, "_vel_9_loc_A")
    for section in ("00", "01") if year in (2021, 2022) else ("00",):
        for domain, n_train in (("source", 4), ("target", 1)):
            for i in range(n_train):
                name = f"section_{section}_{domain}_train_normal_{i:04d}{attribute}.wav"
                put(f"{machine}/train/{name}", "normal", domain)
            test = f"{domain}_test" if year == 2021 else "test"
            for label in ("normal", "anomaly"):
                for i in range(2):
                    name = f"section_{section}_{domain}_test_{label}_{i:04d}{attribute}.wav"
                    put(f"{machine}/{test}/{name}", label, domain)
    if year == 2025:
        put(f"{machine}/supplemental/section_00_supplemental_clean_0000.wav", "normal")

"""Embedders beside the teacher they follow: 1-NN on recordings, and how alike the two are there and on generated sound.

    python -m benchmarks.embedder CASES.csv --teacher yamnet_int8.tflite [--peers PEERS.csv] [--model PACKAGE ...]

All hear the same windows. A clip's score is the mean over its windows of the cosine distance to the nearest enrolled
window; nothing else of the pipeline takes part. Cases that every peer of PEERS.csv solves (AUC 0.99) are not averaged.

Student and teacher live in different spaces, so the teacher is first turned into the student's by the rotation that
fits them best on generated sound (orthogonal Procrustes; half of the generated machines, the other half is measured).
Both are centred per dimension, over all windows of a case on recordings, and the mean cosine of the windows is given:
against the teacher with its four bands of frequency kept apart, and with them averaged.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import numpy as np

from benchmarks.accuracy import read_peers, trivial
from edge_asd.audio.files import read_clip
from edge_asd.contract import ModelContract
from edge_asd.evaluation.cases import Case, read_cases
from edge_asd.evaluation.metrics import partial_auc, roc_auc
from edge_asd.frontend import log_mel
from edge_asd.inference import load_embedder
from edge_asd.model_package import DEFAULT_PACKAGE, load_model
from edge_asd.windows import clip_windows
from export.generated.channel import at_level
from export.generated.generate import decoded, machine_windows
from export.recipe import Recipe
from export.recipes.load import load_recipe
from export.teacher.yamnet import Teacher, without_bands

LEVEL_DBFS = -20.0
GENERATED_BY, GENERATED_MACHINES = "mfn-128", 60
UNHEARD_SEED = 1000
"""Of the generated machines: none the recipe's own seed trains on."""
Clips = Mapping[str, np.ndarray]
"""Features of every window, [windows, d], by the clip's path."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedder", description=__doc__.split("\n")[0])
    parser.add_argument("cases", type=Path, metavar="CASES.csv")
    parser.add_argument("--teacher", type=Path, required=True, metavar="FILE", help="the int8 YAMNet")
    parser.add_argument("--peers", type=Path, metavar="PEERS.csv", help="tells which cases everyone solves")
    parser.add_argument(
        "--model", type=Path, action="append", metavar="PACKAGE", help="(the one that ships); again for more"
    )
    args = parser.parse_args()
    cases = hard_cases(args.cases, args.peers)
    teacher = Teacher(args.teacher)
    packages = args.model or [DEFAULT_PACKAGE]
    contract = load_model(packages[0]).contract
    windows, taught = heard(cases, contract, teacher)
    made, made_taught = generated(contract, teacher)
    names = [case.name for case in cases]
    print("| 1-NN alone, AUC / pAUC | mean | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 2) + "|")
    print(_row("teacher, bands apart", cases, taught))
    print(_row("teacher, mean of bands", cases, {path: without_bands(features) for path, features in taught.items()}))
    lines = []
    for package in packages:
        for precision in ("int8", "fp32"):
            embed = load_embedder(load_model(package, precision, ("onnx",))).embed
            student = {path: embed(w) for path, w in windows.items()}
            print(_row(f"{package.name} {precision}", cases, student))
            cells = [alike(embed(made), made_taught, student, taught, cases, f) for f in (lambda x: x, without_bands)]
            shown = " | ".join(f"{real:.3f} / {unreal:.3f}" for real, unreal in cells)
            lines.append(f"| {package.name} {precision} | {shown} |")
    print("\n| cosine to the teacher, recordings / generated | bands apart | mean of bands |\n|---|---|---|")
    print("\n".join(lines))
    return 0


def hard_cases(cases: Path, peers: Path | None) -> list[Case]:
    """Of a CASES.csv those with both labels, and, where a PEERS.csv tells, that not every peer solves."""
    found = [case for case in read_cases(cases) if {clip.anomalous for clip in case.test} == {False, True}]
    known = read_peers(peers) if peers else {}
    return [case for case in found if not trivial(case.name, known)]


def heard(cases: Sequence[Case], contract: ModelContract, teacher: Teacher) -> tuple[Clips, Clips]:
    """Log-mel windows of every clip, and what the teacher hears in the same stretches of sound."""
    windows, taught = {}, {}
    for case in cases:
        for clip in (*case.enrol, *case.test):
            if clip.file not in windows:
                samples = read_clip(clip.path, contract.features.rate_hz)
                windows[clip.file], starts = clip_windows(log_mel(samples, contract.features), contract)
                stretches = _stretches(samples, starts, contract)
                taught[clip.file] = np.stack([teacher.features(at_level(s, LEVEL_DBFS)) for s in stretches])
        print(f"heard {case.name}", file=sys.stderr)
    return windows, taught


def _stretches(samples: np.ndarray, starts: np.ndarray, contract: ModelContract) -> list[np.ndarray]:
    """The samples under each window; a clip shorter than one goes back and forth."""
    spec = contract.features
    n = (contract.window_frames - 1) * spec.hop_samples + spec.n_fft
    if samples.size < n:
        samples = np.pad(samples, (0, n - samples.size), mode="reflect")
    places = np.clip(starts * spec.hop_samples - spec.n_fft // 2, 0, samples.size - n)
    return [samples[place : place + n] for place in places]


def generated(contract: ModelContract, teacher: Teacher) -> tuple[np.ndarray, np.ndarray]:
    """Windows of machines with every family of variety, made from a seed of their own, and the teacher on the same
    clips, whatever it heard in training."""
    recipe = dataclasses.replace(load_recipe(GENERATED_BY), seed=UNHEARD_SEED, features=contract.features)
    recipe = changed(
        recipe,
        {
            "contract.window_frames": contract.window_frames,
            "data.machines": GENERATED_MACHINES,
            "data.teacher_hears": ("clip",),
        },
    )
    made = [machine_windows(recipe, index, teacher) for index in range(GENERATED_MACHINES)]
    print("heard generated machines", file=sys.stderr)
    shape = contract.window_frames, contract.features.n_mels
    codes = np.concatenate([codes.reshape(-1, *shape) for codes, _ in made])
    return decoded(codes), np.concatenate([f.reshape(-1, f.shape[-1]) for _, f in made]).astype(np.float32)


def changed(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with "section.key" settings replaced."""
    for name, value in settings.items():
        section, key = name.split(".")
        recipe = dataclasses.replace(recipe, **{section: dataclasses.replace(getattr(recipe, section), **{key: value})})
    return recipe


def nearest(case: Case, clips: Clips) -> tuple[float, float]:
    """AUC and partial AUC of 1-NN alone."""
    bank = np.concatenate([_unit(clips[clip.file]) for clip in case.enrol])
    scores = np.array([(1.0 - (_unit(clips[clip.file]) @ bank.T).max(axis=1)).mean() for clip in case.test])
    anomalous = np.array([clip.anomalous for clip in case.test])
    return roc_auc(scores[~anomalous], scores[anomalous]), partial_auc(scores[~anomalous], scores[anomalous])


def _row(name: str, cases: Sequence[Case], clips: Clips) -> str:
    pairs = [nearest(case, clips) for case in cases]
    return f"| {name} | " + " | ".join(f"{a:.3f} / {p:.3f}" for a, p in (np.mean(pairs, axis=0), *pairs)) + " |"


def alike(
    student_made: np.ndarray,
    taught_made: np.ndarray,
    student: Clips,
    taught: Clips,
    cases: Sequence[Case],
    seen: Callable[[np.ndarray], np.ndarray],
) -> tuple[float, float]:
    """Mean cosine of student and teacher on recordings and on generated sound. seen: what of the teacher counts."""
    half = len(student_made) // 2
    ours, theirs = _unit(student_made), _unit(seen(taught_made))
    turn = rotation(theirs[:half] - theirs[:half].mean(axis=0), ours[:half] - ours[:half].mean(axis=0))
    real = []
    for case in cases:
        files = list(dict.fromkeys(clip.file for clip in (*case.enrol, *case.test)))
        a = np.concatenate([_unit(student[file]) for file in files])
        b = np.concatenate([_unit(seen(taught[file])) for file in files])
        real.append(centred_cosine(a, b @ turn))
    return float(np.mean(real)), centred_cosine(ours[half:], theirs[half:] @ turn)


def rotation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Orthonormal columns [n, d] that bring rows of `source` [k, n] nearest to rows of `target` [k, d] (Schoenemann,
    A generalized solution of the orthogonal Procrustes problem, 1966)."""
    left, _, right = np.linalg.svd(source.T @ target, full_matrices=False)
    return left @ right


def centred_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Mean cosine of the rows of two [k, d] after taking off each dimension's mean."""
    return float((_unit(a - a.mean(axis=0)) * _unit(b - b.mean(axis=0))).sum(axis=1).mean())


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


if __name__ == "__main__":
    sys.exit(main())

"""Faults mixed into recordings: many small questions, where labelled faults are few.

    python -m benchmarks.mixed_faults CASES.csv [--model PACKAGE ...] [--scorer SPECS ...]

Each case is enrolled on its enrol rows. Of its normal test clips CLIPS are drawn (their first CLIP_S seconds; fewer
clips are heard with several faults each) and heard again with what one of the simulator's faults adds to a machine that
never existed, so many decibels below the clip's own power; told is the AUC of the clips with a fault against those
without. Room, microphone and machine are real and the faults are not: it tells embedders apart with less luck than a
few labelled cases do, but not how well they hear faults.
"""

from __future__ import annotations

import argparse
import os
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import numpy as np

from benchmarks.enrolled import enrolled
from edge_asd.audio.files import read_clip
from edge_asd.bundle.bundle import Bundle
from edge_asd.contract import LogMelSpec
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.evaluation.cases import Case, read_cases
from edge_asd.evaluation.metrics import roc_auc
from edge_asd.frontend import log_mel
from edge_asd.inference import load_embedder
from edge_asd.model_package import load_model
from edge_asd.scorers import DEFAULT_SCORERS, parse_scorers
from edge_asd.simulator import FAULTS, Fault, Machine, Scene, render
from edge_asd.simulator.faults import ADDED
from export.generated.channel import mixed

LEVELS_DB = (-5.0, -10.0, -15.0)
CLIPS, CLIP_S = 24, 10.0
STREAM, CHOICE = 24_109, 24_110
"""Purposes random numbers are drawn for: the faults, and the clips."""
KINDS = ("fan", "pump", "gearbox", "bearing")
SETTLED_S = 0.5


@dataclass(frozen=True)
class Heard:
    """Log-mel of some clips of a case: as they are, and for each of LEVELS_DB with a fault."""

    normal: list[np.ndarray]
    faulty: tuple[list[np.ndarray], ...]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mixed_faults", description=__doc__.split("\n")[0])
    parser.add_argument("cases", type=Path, metavar="CASES.csv")
    parser.add_argument(
        "--model", type=Path, action="append", metavar="PACKAGE", help="(the one that ships); again for more"
    )
    parser.add_argument(
        "--scorer", action="append", metavar="SPECS", help=f"(embedding:knn and {DEFAULT_SCORERS}); again for more"
    )
    args = parser.parse_args()
    models = [(str(package), load_model(package)) for package in args.model or []] or [("shipped", load_model())]
    spec = models[0][1].contract.features
    if any(model.contract.features != spec for _, model in models):
        parser.error("these packages have different front ends: measure them one at a time")
    cases = [case for case in read_cases(args.cases) if not all(clip.anomalous for clip in case.test)]
    heard = [with_faults(case, spec) for case in cases]
    levels = " | ".join(f"{level:g} dB" for level in LEVELS_DB)
    print(f"| AUC of mixed-in faults | mean | {levels} | {' | '.join(case.name for case in cases)} |")
    print("|---" * (2 + len(LEVELS_DB) + len(cases)) + "|")
    for name, model in models:
        embedder = load_embedder(model)
        for scorer in args.scorer or ["embedding:knn", DEFAULT_SCORERS]:
            rows = []
            for case, clips in zip(cases, heard, strict=True):
                bundle = enrolled(case, Enrolment(model, embedder, parse_scorers(scorer), strict=False))
                rows.append(measure(bundle, clips))
            aucs = np.array(rows)
            cells = " | ".join(f"{auc:.3f}" for auc in (*aucs.mean(axis=0), *aucs.mean(axis=1)))
            print(f"| {name}, {scorer} | **{aucs.mean():.3f}** | {cells} |", flush=True)
    return 0


def with_faults(case: Case, spec: LogMelSpec) -> Heard:
    """Clips of a case, without and with faults that its name and theirs decide."""
    normal = [clip for clip in case.test if not clip.anomalous]
    seed = zlib.crc32(case.name.encode())
    chosen = np.random.default_rng([CHOICE, seed]).choice(len(normal), min(CLIPS, len(normal)), replace=False)
    heard = Heard([], tuple([] for _ in LEVELS_DB))
    for index in np.sort(chosen).tolist():
        sound = read_clip(normal[index].path, spec.rate_hz)[: round(CLIP_S * spec.rate_hz)]
        heard.normal.append(log_mel(sound, spec))
        for again in range(max(1, round(CLIPS / len(chosen)))):
            rng = np.random.default_rng([STREAM, seed, index, again])
            added = added_sound(sound.size, spec.rate_hz, rng)
            for level_db, clips in zip(LEVELS_DB, heard.faulty, strict=True):
                clips.append(log_mel(mixed(sound, added, snr_db=-level_db), spec))
    return heard


def added_sound(n: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """What a fault drawn from `rng` adds to a machine drawn from it, float32 [n]."""
    kind = str(rng.choice(KINDS))
    name = str(rng.choice([fault for fault in FAULTS[kind] if fault in ADDED]))
    machine, run = Machine.random(kind, rng), int(rng.integers(2**63))
    well, ill = (
        render(machine, Scene.anechoic(), n / rate_hz + SETTLED_S, np.random.default_rng(run), rate_hz, fault=fault)
        for fault in (None, Fault(name))
    )
    return (ill - well)[-n:]


def measure(bundle: Bundle, heard: Heard) -> list[float]:
    """AUC at each of LEVELS_DB."""

    def scores(clips: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([bundle.score_clip(frames).score for frames in clips])

    normal = scores(heard.normal)
    return [roc_auc(normal, scores(clips)) for clips in heard.faulty]


if __name__ == "__main__":
    sys.exit(main())

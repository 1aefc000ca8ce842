"""What `edge-asd train --adapt` costs and does: accuracy before and after on labelled cases, and whether its guard,
which hears the enrolment only, chose right.

    python -m benchmarks.adapt CASES.csv [--cases NAMES] [--steps N] [--anchor W] [--seed N]
    python -m benchmarks.adapt --time [MINUTES]

CASES.csv as for `edge-asd evaluate`. Each case's enrolment is adapted to, whatever its length; its test rows are scored
by the bundle as it was and by the adapted one, kept or not. --time: CPU and wall time, ten minutes of simulated fan.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import numpy as np

from edge_asd.audio.files import read_clip
from edge_asd.bundle.bundle import Bundle
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.evaluation.cases import Case, read_cases
from edge_asd.evaluation.metrics import roc_auc
from edge_asd.frontend import log_mel
from edge_asd.inference import load_embedder
from edge_asd.model_package import load_model
from edge_asd.monitor.demo import workshop
from edge_asd.simulator import Machine, render
from export.adapt.adapting import Outcome, Target, adapt
from export.adapt.sound import MachineSound, cut
from export.adapt.start import float_source
from export.adapt.tune import TuneSettings

STREAM = 24_106


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapt", description=__doc__.split("\n")[0])
    parser.add_argument("cases", type=Path, nargs="?", metavar="CASES.csv")
    parser.add_argument("--cases", dest="names", help="which of them, joined by commas (default: those with anomalies)")
    parser.add_argument("--time", type=float, nargs="?", const=10.0, metavar="MINUTES", help="time, on simulated sound")
    parser.add_argument("--steps", type=int, default=TuneSettings.steps, help="of fine-tuning")
    parser.add_argument("--anchor", type=float, default=TuneSettings.anchor_weight, help="weight of the old embedding")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    settings = TuneSettings(steps=args.steps, anchor_weight=args.anchor)
    if args.time is not None:
        _timed(args.time, settings, args.seed)
    if args.cases is not None:
        _measured(args.cases, args.names.split(",") if args.names else None, settings, args.seed)
    return 0


def _timed(minutes: float, settings: TuneSettings, seed: int) -> None:
    rng = np.random.default_rng(STREAM)
    machine, scene = Machine.random("fan", rng), workshop(rng)
    samples = np.concatenate([render(machine, scene, 60.0, rng) for _ in range(round(minutes))])
    sound = MachineSound("fan", tuple(cut(samples, 16000, "fan")), 16000)
    outcome, cpu_s, wall_s = _adapted(sound, settings, seed)
    print(f"{sound.seconds / 60:.0f} minutes of sound: {cpu_s:.0f} s of CPU, {wall_s:.0f} s with 2 processes")
    print(outcome.evidence.table())


def _measured(cases_csv: Path, names: list[str] | None, settings: TuneSettings, seed: int) -> None:
    print(
        "| case | sound | embedding:knn | adapted | default scorers | adapted | evidence | false alarms | kept | CPU |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for case in read_cases(cases_csv):
        if names is not None and case.name not in names:
            continue
        if all(clip.anomalous for clip in case.test) or not any(clip.anomalous for clip in case.test):
            continue
        clips = [
            part
            for clip in case.enrol
            for part in cut(read_clip(clip.path, 16000), 16000, clip.file, clip.group or None, clip.domain)
        ]
        outcome, cpu_s, _ = _adapted(sound := MachineSound(case.name, tuple(clips), 16000), settings, seed)
        before, after = _aucs(case, _enrolled(sound)), _aucs(case, outcome.candidate)
        evidence = outcome.evidence
        false_alarms = "{} -> {} of {}".format(*evidence.alarms)
        print(
            f"| {case.name} | {sound.seconds:.0f} s | {before[0]:.3f} | {after[0]:.3f} | {before[1]:.3f} | "
            f"{after[1]:.3f} | {100 * evidence.gain:+.1f} +- {100 * evidence.error:.1f} | {false_alarms} | "
            f"{'yes' if evidence.supports else 'no'} | {cpu_s:.0f} s |",
            flush=True,
        )
        print(evidence.table(), file=sys.stderr, flush=True)


def _adapted(sound: MachineSound, settings: TuneSettings, seed: int) -> tuple[Outcome, float, float]:
    """The outcome, and CPU and wall seconds of all processes from the bundle to it."""
    bundle = _enrolled(sound)
    began, cpu_began = time.monotonic(), _cpu_s()
    target = Target(bundle, sound, "")
    outcome = adapt([target], [], float_source(bundle, None), seed=seed, settings=settings, processes=2)[0]
    return outcome, _cpu_s() - cpu_began, time.monotonic() - began


def _enrolled(sound: MachineSound) -> Bundle:
    model = load_model()
    enrolment = Enrolment(model, load_embedder(model), strict=False)
    for clip in sound.clips:
        enrolment.add_samples(clip.samples, clip.name, clip.group, clip.domain, clip.start_s)
    return enrolment.finish({})


def _aucs(case: Case, bundle: Bundle) -> tuple[float, float]:
    """AUC of the embedding's distance alone, and of the bundle's score."""
    anomalous = np.array([clip.anomalous for clip in case.test])
    alone, score = np.empty(len(case.test)), np.empty(len(case.test))
    at = next(i for i, spec in enumerate(bundle.normal.specs) if spec.view == "embedding")
    for i, clip in enumerate(case.test):
        frames = log_mel(read_clip(clip.path, 16000), bundle.contract.features)
        distances = bundle.clip_distances(frames)
        alone[i] = distances[:, at].mean()
        score[i] = bundle.score_distances(distances, len(frames)).score
    return roc_auc(alone[~anomalous], alone[anomalous]), roc_auc(score[~anomalous], score[anomalous])


def _cpu_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(own.ru_utime + own.ru_stime for own in used)


if __name__ == "__main__":
    sys.exit(main())

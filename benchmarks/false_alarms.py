"""False alarms of the live path in days of normal simulated sound, against the budget the threshold was set for.

    python -m benchmarks.false_alarms --results FILE [--hours 24] [--seeds 0-19]

Each seed is a machine in a place, both drawn from all the simulator knows (see `benchmarks.steady` for what is pinned).
Its first ten minutes are enrolled with a budget of one false alarm a day, the hours after them are watched as
`edge-asd run` does, with its default settings. Ten minutes are a 144th of a day: the budget is kept by extrapolation.

Simulator, seeds, budget and minutes of enrolment were fixed below before anything was measured. Every finished seed is
a line of FILE; seeds that are there already are not run again, and several processes may share it with different seeds.
Sound is rendered two minutes at a time, so memory does not grow with the hours. A seed of 24 hours takes about a
quarter of an hour of one core.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import numpy as np

from benchmarks.steady import (
    Watch,
    append_line,
    enrolled,
    pinned,
    pinned_scene,
    read_lines,
    seeds,
    sessions,
    simulator_hash,
)
from edge_asd.calibration.budget import Budget
from edge_asd.calibration.thresholds import LiveTarget
from edge_asd.inference import Embedder, load_embedder
from edge_asd.model_package import Model, load_model
from edge_asd.monitor.alarm import AlarmSettings
from edge_asd.simulator import KINDS, Machine, Scene

SIMULATOR = "799a246d449e3937"
"""`simulator_hash()` of the simulator the figures are for."""
STREAM = 24_101
"""Set apart from every other use of the same seed numbers."""
SEEDS = "0-19"
BUDGET = Budget(1.0, "day")
ENROL_MINUTES = 10.0
TARGET = 2.0
"""Times the budget that the mean over the seeds may be."""


def main() -> int:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.false_alarms", description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, metavar="FILE", help="one JSON line a finished seed; goes on from it")
    parser.add_argument("--hours", type=float, default=24.0, help="of watching, each seed (24)")
    parser.add_argument("--seeds", default=SEEDS, help=f"such as 0-9 or 3,5 ({SEEDS})")
    args = parser.parse_args()
    if simulator_hash() != SIMULATOR:
        print(f"the simulator has changed ({simulator_hash()}, frozen: {SIMULATOR})", file=sys.stderr)
    model = load_model()
    embedder = load_embedder(model)
    key = {
        "hours": args.hours,
        "budget": str(BUDGET),
        "enrol_minutes": ENROL_MINUTES,
        "simulator": simulator_hash(),
        "model": model.contract.title,
    }
    wanted = seeds(args.seeds)
    known = {r["seed"]: r for r in read_lines(args.results) if all(r[name] == key[name] for name in key)}
    for seed in wanted:
        if seed not in known:
            known[seed] = {"seed": seed, **key, **measured(seed, args.hours, model, embedder)}
            append_line(args.results, known[seed])
            print(f"seed {seed}: {known[seed]['alarms']} alarms in {args.hours:g} h", file=sys.stderr)
    print(table([known[seed] for seed in wanted]))
    return 0


def measured(seed: int, hours: float, model: Model, embedder: Embedder) -> dict[str, Any]:
    """One machine, enrolled and watched."""
    began = time.process_time()
    rng = np.random.default_rng([STREAM, seed])
    kind = KINDS[seed % len(KINDS)]
    machine, scene = pinned(Machine.random(kind, rng), rng), pinned_scene(Scene.random(rng), rng)
    sound = sessions(machine, scene, rng, model.contract.features.rate_hz)
    settings = AlarmSettings()
    bundle = enrolled(sound, model, embedder, ENROL_MINUTES, LiveTarget(BUDGET, confirm_s=settings.confirm_s))
    watch, peak, starts_s, heard_s = Watch(bundle, settings), 0.0, [], 0.0
    while heard_s < 3600.0 * hours:
        session = next(sound)
        heard_s += session.size / model.contract.features.rate_hz
        scores, events = watch.hear(session)
        peak = max(peak, max(score.score for score in scores))
        starts_s += [round(event.start, 1) for event in events if event.state == "start"]
    live = bundle.live_calibrations[-1]
    return {
        "kind": kind,
        "snr_db": round(scene.snr_db, 1),
        "alarms": len(starts_s),
        "starts_s": starts_s,
        "peak": round(peak, 1),
        "method": live.method,
        "expected": live.expected,
        "cpu_s": round(time.process_time() - began),
    }


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: a line a seed, the mean with its interval, the target."""
    a_day = np.array([24.0 * r["alarms"] / r["hours"] for r in results])
    drawn = np.random.default_rng(0).integers(len(a_day), size=(2000, len(a_day)))
    low, high = np.quantile(a_day[drawn].mean(axis=1), (0.025, 0.975))
    mean, alarms = a_day.mean(), sum(r["alarms"] for r in results)
    heads = ("seed", "machine", "SNR, dB", "hours", "false alarms", "a day", "expected a day", "highest score")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for r, rate in zip(results, a_day, strict=True):
        expected = "-" if r["expected"] is None else "{:.2g} to {:.2g}".format(*r["expected"])
        lines.append(
            f"| {r['seed']} | {r['kind']} | {r['snr_db']} | {r['hours']:g} | {r['alarms']} | {rate:.2f} | {expected} | "
            f"{r['peak']} |"
        )
    verdict = "met" if mean <= TARGET * BUDGET.alarms else "missed"
    lines += [
        "",
        f"Mean {mean:.2f} false alarms a day (95 % interval over the seeds {low:.2f} to {high:.2f}; {alarms} alarms in "
        f"{sum(r['hours'] for r in results):g} hours) with a budget of {BUDGET}; target, at most {TARGET:g} times the "
        f"budget: **{verdict}**. {int(np.sum(a_day == 0))} of {len(results)} machines raised none. "
        f"Simulator {results[0]['simulator']}, enrolment {ENROL_MINUTES:g} minutes.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

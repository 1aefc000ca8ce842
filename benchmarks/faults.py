"""Faults of every simulator kind: how many the live path finds, and how soon, at three levels against the machine.

    python -m benchmarks.faults --results FILE [--seeds 0-3] [--kinds fan,pump,...]

For every kind and seed one machine is drawn, stood in an ordinary place (the demo's: some echo, other machines 20 dB
below it) and enrolled for ten minutes. Then, for every fault of its kind and every level, it is watched as
`edge-asd run` does with its default settings (a budget of one false alarm a week): normal sound, then the fault, which
is found if an alarm starts within LISTEN_S of its onset and none started before.

Loudness must not give the fault away: a fault at 0 dB doubles the power. From the onset on, the sound is scaled so that
its mean power is what it was before, as an automatic gain would; only its character differs. What loudness alone could
still tell is measured: the AUC of the level of single seconds, before against after the onset.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
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
from edge_asd.bundle.bundle import Bundle
from edge_asd.enrolment.enrol import DEFAULT_LIVE
from edge_asd.evaluation.metrics import roc_auc
from edge_asd.inference import Embedder, load_embedder
from edge_asd.model_package import Model, load_model
from edge_asd.monitor.alarm import AlarmSettings
from edge_asd.monitor.demo import workshop
from edge_asd.simulator import FAULTS, KINDS, Fault, Machine, Scene, render

SIMULATOR = "799a246d449e3937"
"""`simulator_hash()` of the simulator the figures are for."""
STREAM = 24_102
SEEDS = "0-3"
LEVELS_DB = (-10.0, -5.0, 0.0)
ENROL_MINUTES = 10.0
ONSET_S, LISTEN_S = 20.0, 30.0
FADE_S = 0.05
TARGET_SHARE, TARGET_S, TARGET_LOUDNESS_AUC = 0.95, 5.0, 0.6
"""At 0 dB: share found, median seconds to the alarm. Of the set: what loudness alone may tell."""


def main() -> int:
    """Measure what is missing and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, metavar="FILE", help="one JSON line a machine; goes on from it")
    parser.add_argument("--seeds", default=SEEDS, help=f"machines of each kind, such as 0-3 or 1,2 ({SEEDS})")
    parser.add_argument("--kinds", default=",".join(KINDS), help="some of them only")
    args = parser.parse_args()
    if simulator_hash() != SIMULATOR:
        print(f"the simulator has changed ({simulator_hash()}, frozen: {SIMULATOR})", file=sys.stderr)
    model = load_model()
    embedder = load_embedder(model)
    settings = AlarmSettings()
    key = {
        "simulator": simulator_hash(),
        "model": model.contract.title,
        "live": str(DEFAULT_LIVE),
        "alarm": str(settings),
    }
    known = [line for line in read_lines(args.results) if all(line[name] == key[name] for name in key)]
    results = []
    for seed in seeds(args.seeds):
        for kind in args.kinds.split(","):
            found = next((line for line in known if (line["seed"], line["kind"]) == (seed, kind)), None)
            if found is None:
                found = {"seed": seed, "kind": kind, **key, **measured(kind, seed, model, embedder, settings)}
                append_line(args.results, found)
                print(f"{kind} {seed}: {len(found['trials'])} trials", file=sys.stderr)
            results += [{"kind": kind, "seed": seed, **trial} for trial in found["trials"]]
    print(tables(results))
    return 0


def measured(kind: str, seed: int, model: Model, embedder: Embedder, settings: AlarmSettings) -> dict[str, Any]:
    """All faults of one machine at all levels."""
    rng = np.random.default_rng([STREAM, KINDS.index(kind), seed])
    machine, scene = pinned(Machine.random(kind, rng), rng), pinned_scene(workshop(rng), rng)
    rate_hz = model.contract.features.rate_hz
    bundle = enrolled(sessions(machine, scene, rng, rate_hz), model, embedder, ENROL_MINUTES, DEFAULT_LIVE)
    return {"trials": [trial(bundle, machine, scene, fault, rng, settings) for fault in faults_of(kind)]}


def faults_of(kind: str) -> Iterator[Fault]:
    """Every fault of this kind at every level."""
    for name in FAULTS[kind]:
        for level_db in LEVELS_DB:
            yield Fault(name, level_db=level_db, onset_s=ONSET_S)


def trial(
    bundle: Bundle, machine: Machine, scene: Scene, fault: Fault, rng: np.random.Generator, settings: AlarmSettings
) -> dict[str, Any]:
    """Watch the machine while the fault sets in."""
    rate_hz = bundle.contract.features.rate_hz
    sound = as_loud_as_before(render(machine, scene, ONSET_S + LISTEN_S, rng, rate_hz, fault=fault), rate_hz)
    scores, events = Watch(bundle, settings).hear(sound)
    starts_s = [event.time for event in events if event.state == "start"]
    before = np.array([score.level_dbfs for score in scores[1:] if score.time <= ONSET_S])
    # Each level is of the last second: the first one after the onset still holds some of what was before.
    after = np.array([score.level_dbfs for score in scores if score.time > ONSET_S + 1.1])
    usual = np.median(before)
    return {
        "fault": fault.name,
        "level_db": fault.level_db,
        "early": bool(starts_s and starts_s[0] <= ONSET_S),
        "delay_s": round(starts_s[0] - ONSET_S, 2) if starts_s and starts_s[0] > ONSET_S else None,
        "peak": round(max(score.score for score in scores if score.time > ONSET_S), 1),
        "loudness_auc": roc_auc(before, after),
        "unusual_loudness_auc": roc_auc(np.abs(before - usual), np.abs(after - usual)),
    }


def as_loud_as_before(sound: np.ndarray, rate_hz: int) -> np.ndarray:
    """The sound with the power from the onset on brought to that before it, float32 [n]; the gain fades in."""
    onset, fade = round(ONSET_S * rate_hz), round(FADE_S * rate_hz)
    power = [float(np.mean(np.square(part))) for part in (sound[:onset], sound[onset + fade :])]
    gain = (power[0] / max(power[1], 1e-20)) ** 0.5
    gains = np.ones(sound.size, np.float32)
    gains[onset : onset + fade] = np.linspace(1.0, gain, fade)
    gains[onset + fade :] = gain
    return sound * gains


def tables(results: list[dict[str, Any]]) -> str:
    """Markdown: by kind and level, the faults found least, loudness, targets."""
    heads = ["machine", *[f"{level:g} dB: found, median s" for level in LEVELS_DB]]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    kinds = list(dict.fromkeys(r["kind"] for r in results))
    for kind in [*kinds, "all"]:
        cells = []
        for level in LEVELS_DB:
            share, median_s, _ = summary([r for r in results if kind in ("all", r["kind"]) and r["level_db"] == level])
            cells.append(f"{100 * share:.0f} %, {median_s:.1f}")
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    lines += ["", "| found least at 0 dB | found | median s |", "|---|---|---|"]
    plain = [r for r in results if r["level_db"] == 0.0]
    by_fault = [
        (*summary([r for r in plain if (r["kind"], r["fault"]) == pair]), pair)
        for pair in dict.fromkeys((r["kind"], r["fault"]) for r in plain)
    ]
    for share, median_s, n, (kind, fault) in sorted(by_fault)[:8]:
        lines.append(f"| {kind}: {fault} | {round(share * n)} of {n} | {median_s:.1f} |")
    share, median_s, n = summary(plain)
    loud, unusual = (float(np.mean([r[name] for r in results])) for name in ("loudness_auc", "unusual_loudness_auc"))
    met = share >= TARGET_SHARE and median_s <= TARGET_S
    quiet = max(loud, 1.0 - loud, unusual) <= TARGET_LOUDNESS_AUC
    lines += [
        "",
        f"At 0 dB {100 * share:.0f} % of {n} faults found, the median after {median_s:.1f} s (target: "
        f"{100 * TARGET_SHARE:.0f} %, within {TARGET_S:g} s in the median): **{'met' if met else 'missed'}**. "
        f"Loudness alone: AUC {loud:.2f}, "
        f"unusual loudness {unusual:.2f} (at most {TARGET_LOUDNESS_AUC}): **{'met' if quiet else 'missed'}**. "
        f"{sum(r['early'] for r in results)} alarms before an onset, in {len(results) * ONSET_S / 3600:.1f} hours.",
    ]
    return "\n".join(lines)


def summary(results: list[dict[str, Any]]) -> tuple[float, float, int]:
    """Share found, median seconds to the alarm of all (infinite if most were missed), number."""
    delays = [r["delay_s"] if r["delay_s"] is not None and not r["early"] else np.inf for r in results]
    return float(np.mean(np.isfinite(delays))), float(np.median(delays)), len(delays)


if __name__ == "__main__":
    sys.exit(main())

"""Do explanations name the right change? Every simulator fault at 0 dB, against what was really added.

    python -m benchmarks.explanations [--seeds 3] [--fault belt_squeal]

The truth comes from the simulator, not from the explanation's own measure: the same run is rendered with and without
the fault, and the layers that the fault adds say its tones and its rate. Judged are

* place: the band that changed most lies inside a finding that says so, in the right direction;
* tone: where the fault is a tone of known frequency, a finding names it (or one of its multiples) within 4 %;
* rate: where the fault strikes at an even rate that log-mel frames can carry and two seconds can count (2 to
  14 a second), a finding gives it within 10 %.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_asd.bundle.bundle import Bundle
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.explain import Finding
from edge_asd.explain.clip import explain_clip
from edge_asd.frontend import log_mel, mel_edges_hz
from edge_asd.inference import load_embedder
from edge_asd.model_package import load_model
from edge_asd.simulator import FAULTS, KINDS, Fault, Machine, Scene, render
from edge_asd.simulator.faults import ADDED
from edge_asd.simulator.machines import Impacts, Tones
from edge_asd.simulator.operation import operate

NORMAL_S, NORMAL_CLIPS, CLIP_S = 20.0, 6, 10.0
SCENE = Scene(level_dbfs=-26.0, floor_dbfs=-75.0)
RATES_HZ = (2.0, 14.0)
EVEN_SLIP = 0.1
LEAST_CHANGE_DB = 3.0
MAIN_LAYER_DB = -3.0
"""A layer of a fault that is much fainter than its others need not be named."""
TONES = ("tone", "unsteady_tone", "tone_moved", "tones")
RATES = ("impacts", "pulsation")


@dataclass(frozen=True)
class Case:
    """One fault explained. place, tone, rate: named rightly; None: there is nothing of the kind to name."""

    kind: str
    fault: str
    words: str
    place: bool | None
    tone: bool | None
    rate: bool | None


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="explanations of simulated faults against what was really added")
    parser.add_argument("--seeds", type=int, default=3, help="machines of each kind (default 3)")
    parser.add_argument("--fault", action="append", help="only this fault; may be repeated")
    args = parser.parse_args(argv)
    cases: list[Case] = []
    print("| machine | fault | place | tone | rate | what is said of the first machine |")
    print("|---|---|---|---|---|---|")
    for kind in KINDS:
        wanted = [fault for fault in FAULTS[kind] if not args.fault or fault in args.fault]
        per_seed = [explained(kind, wanted, seed) for seed in range(args.seeds)] if wanted else []
        for of_fault in zip(*per_seed, strict=True):
            shown = " | ".join(_share([getattr(case, what) for case in of_fault]) for what in ("place", "tone", "rate"))
            print(f"| {kind} | {of_fault[0].fault} | {shown} | {of_fault[0].words} |", flush=True)
            cases += of_fault
    shown = " | ".join(_share([getattr(case, what) for case in cases]) for what in ("place", "tone", "rate"))
    print(f"| all | | {shown} | |")


def explained(kind: str, faults: Sequence[str], seed: int) -> list[Case]:
    """One machine of a kind with each of the faults."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    machine = Machine.random(kind, rng)
    bundle = enrolled(machine, rng)
    return [judged(machine, bundle, fault, seed) for fault in faults]


def enrolled(machine: Machine, rng: np.random.Generator) -> Bundle:
    """A bundle of two minutes of its normal sound."""
    model = load_model()
    enrolment = Enrolment(model, load_embedder(model))
    for clip in range(NORMAL_CLIPS):
        enrolment.add_samples(render(machine, SCENE, NORMAL_S, rng), f"clip {clip}")
    return enrolment.finish({})


def judged(machine: Machine, bundle: Bundle, name: str, seed: int) -> Case:
    """Explain one fault at 0 dB and hold the findings against the truth."""
    spec = bundle.contract.features
    run = [seed, sum(map(ord, name))]
    frames = log_mel(render(machine, SCENE, CLIP_S, np.random.default_rng(run), fault=Fault(name)), spec)
    before = log_mel(render(machine, SCENE, CLIP_S, np.random.default_rng(run)), spec)
    explanation = explain_clip(frames, bundle).explanation
    change = (frames - before).mean(axis=0)
    largest = int(np.abs(change).argmax())
    hz, size = float(mel_edges_hz(spec)[largest + 1]), float(change[largest])
    tones_hz, rates_hz = _truth(machine, name, run)
    findings = explanation.findings
    return Case(
        machine.kind,
        name,
        explanation.text,
        _place_named(findings, hz, size) if abs(size) >= LEAST_CHANGE_DB else None,
        _tone_named(findings, tones_hz) if tones_hz else None,
        _rate_named(findings, rates_hz) if rates_hz else None,
    )


def _truth(machine: Machine, name: str, run: Sequence[int]) -> tuple[list[float], list[float]]:
    """Speeds of the fault's own tones, and rates of its even blows, in Hz, where they are fixed."""
    if name not in ADDED:
        return [], []
    # One stream a purpose, as `render` draws them.
    run_seed, _, _, fault_seed = (int(seed) for seed in np.random.default_rng(run).integers(2**63, size=4))
    layers = ADDED[name](machine, np.random.default_rng(fault_seed))
    tones_hz = [
        layer.fixed_hz
        for layer in layers
        if isinstance(layer, Tones) and layer.fixed_hz > 0 and layer.level_db >= MAIN_LAYER_DB
    ]
    if machine.cycle.shape != "steady":
        return tones_hz, []
    turns = operate(machine, round(CLIP_S * 16000), 16000, np.random.default_rng(run_seed)).turns
    shaft_hz = float(turns[-1] - turns[0]) / CLIP_S
    rates_hz = [
        layer.ratio * (shaft_hz if layer.at == "turn" else 1.0)
        for layer in layers
        if isinstance(layer, Impacts) and layer.slip <= EVEN_SLIP
    ]
    return tones_hz, [rate for rate in rates_hz if RATES_HZ[0] <= rate <= RATES_HZ[1]]


def _place_named(findings: Sequence[Finding], hz: float, size_db: float) -> bool:
    return any(
        finding.from_hz <= hz <= finding.to_hz
        and (finding.kind in (*RATES, "tone_moved", "unsteady", "steady") or (finding.change_db or 0.0) * size_db > 0)
        for finding in findings
        if finding.kind != "timbre"
    )


def _tone_named(findings: Sequence[Finding], tones_hz: Sequence[float]) -> bool:
    said = [finding.frequency_hz for finding in findings if finding.kind in TONES and finding.frequency_hz]
    return any(abs(hz / tone - max(1, round(hz / tone))) <= 0.04 for hz in said for tone in tones_hz)


def _rate_named(findings: Sequence[Finding], rates_hz: Sequence[float]) -> bool:
    said = [finding.rate_hz for finding in findings if finding.kind in RATES and finding.rate_hz]
    return any(abs(hz / rate - 1.0) <= 0.1 for hz in said for rate in rates_hz)


def _share(verdicts: Sequence[bool | None]) -> str:
    known = [verdict for verdict in verdicts if verdict is not None]
    return f"{sum(known)} of {len(known)}" if known else "-"


if __name__ == "__main__":
    main()

"""The bank: search times beside a float32 matrix product, memory, and what compaction costs.

    python -m benchmarks.bank [--rounds N] [--machines N] [--cases CASES.csv] [--json]

One thread. The markdown printed is what stands in RESULTS.md. Compaction is measured on simulated machines, 10,000
windows each, with the shipped embedder: AUC of ten-second clips, faults of the kind at -5 to 0 dB against the machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import numpy as np

from benchmarks.timing import machine, take_turns
from edge_asd.bank import METHODS, EmbeddingBank, unit_vectors
from edge_asd.bank.search import FloatSearch, Int8Search
from edge_asd.bank.vectors import directions
from edge_asd.enrolment.hearing import hear_clip
from edge_asd.enrolment.retention import Retention
from edge_asd.evaluation.cases import Case, CaseClip, read_cases
from edge_asd.evaluation.metrics import roc_auc
from edge_asd.frontend import log_mel
from edge_asd.inference import load_embedder
from edge_asd.model_package import load_model
from edge_asd.normal import NormalSound
from edge_asd.scorers import features_of, parse_scorers
from edge_asd.simulator import FAULTS, KINDS, Fault, Machine, Scene, render
from edge_asd.spectra import window_spectra
from edge_asd.windows import clip_windows

SIZE = 128
CROSSOVER_SIZES = (1_000, 1_500, 2_000, 2_500, 3_000, 5_000)
BUDGET_BYTES = 64 * 1024
WINDOWS = 10_000
RUN_S = 32.0
CLIP_S = 10.0
CLIPS = 60
STEP_S = 0.256
SCORERS = "embedding:knn+spectrum:knn"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bank", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=300, help="rounds in which every search runs once (300)")
    parser.add_argument("--machines", type=int, default=len(KINDS), help=f"simulated machines ({len(KINDS)})")
    parser.add_argument("--cases", type=Path, metavar="CASES.csv", help="compact the enrolments of recordings too")
    parser.add_argument("--json", action="store_true", help="print JSON instead of markdown")
    parser.add_argument("--memory-of", nargs=2, metavar=("SEARCH", "N"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        print(_memory_kib(args.memory_of[0], int(args.memory_of[1])))
        return 0
    result: dict[str, Any] = {
        "machine": machine(),
        "search": [search_times(n, args.rounds) for n in (1_000, 10_000, 100_000)],
        "crossover": [search_times(n, args.rounds) for n in CROSSOVER_SIZES],
        "query_error": query_error(),
        "memory_mib": {f"{kind} {n}": _child_mib(kind, n) for n in (10_000, 100_000) for kind in ("int8", "float32")},
        "compaction": [compaction(i) for i in range(args.machines)],
        "recordings": [of_recordings(case) for case in read_cases(args.cases)] if args.cases else [],
    }
    if args.json:
        json.dump(result, sys.stdout, indent=1)
        print()
    else:
        print(as_markdown(result))
    return 0


def machine_like(n: int, seed: int) -> np.ndarray:
    """Embeddings float32 [n, SIZE] crowded around some directions, as one machine's are."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((40, SIZE))
    return (centres[rng.integers(0, 40, n)] + 0.3 * rng.standard_normal((n, SIZE))).astype(np.float32)


def search_times(n: int, rounds: int) -> dict[str, float]:
    """CPU us of one query over n vectors, cold (every contender's turn evicts the other's bank) and warm."""
    rounds = rounds if n < 50_000 else max(30, rounds // 5)
    vectors = EmbeddingBank.fit(machine_like(n, 1)).vectors
    unit, query = directions(vectors), machine_like(1, 2)
    whole, product = Int8Search(vectors), FloatSearch(unit)
    flat = unit_vectors(query)[0]
    contenders = {
        "int8 search": lambda: whole.nearest(query),
        "int8 product alone": whole.similarities,
        "float32 search": lambda: product.nearest(query),
        "float32 product and maximum": lambda: (unit @ flat).argmax(),
    }
    times = {"n": float(n)}
    for name, timing in take_turns(contenders, rounds).items():
        times[f"{name}, cold"] = 1000 * timing.median_ms
    for name, call in contenders.items():
        times[f"{name}, warm"] = 1000 * take_turns({name: call}, rounds)[name].median_ms
    return times


def query_error() -> dict[str, float]:
    """Largest difference of the int8 similarities from those of float32, and of the answers after comparing again."""
    vectors = EmbeddingBank.fit(machine_like(10_000, 3)).vectors
    search, exact = Int8Search(vectors), FloatSearch(directions(vectors))
    worst_product = worst_answer = 0.0
    for query in np.concatenate((machine_like(100, 4), np.random.default_rng(5).standard_normal((100, SIZE)))):
        asked = query[None].astype(np.float32)
        found, there = search.nearest(asked)[0], exact.nearest(asked)[0]
        worst_answer = max(worst_answer, float(np.abs(found - there)[0]))
        peak = np.abs(asked).max()
        similarity = search.similarities() / (63.0 / peak * np.linalg.norm(asked))
        worst_product = max(
            worst_product, float(np.abs(similarity - directions(vectors) @ unit_vectors(asked)[0]).max())
        )
    return {"product": worst_product, "answer": worst_answer}


def _child_mib(kind: str, n: int) -> float:
    """Resident memory a search adds in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bank", "--memory-of", kind, str(n)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024


def _memory_kib(kind: str, n: int) -> int:
    warm = Int8Search(np.ones((10, SIZE), np.int8))  # the runtime itself is there in any case: the network uses it
    vectors = np.random.default_rng(0).integers(-127, 128, (n, SIZE), np.int8)
    query = np.ones((1, SIZE), np.float32)
    warm.nearest(query)
    before = _resident_kib()
    search = Int8Search(vectors) if kind == "int8" else FloatSearch(directions(vectors))
    search.nearest(query)
    return _resident_kib() - before + vectors.nbytes // 1024


def _resident_kib() -> int:
    import gc

    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


@dataclasses.dataclass
class _Heard:
    features: dict[str, np.ndarray]
    spectra_db: np.ndarray


def compaction(index: int) -> dict[str, Any]:
    """AUC on one simulated machine with its whole bank and with compacted ones, and how long compacting took."""
    kind = KINDS[index % len(KINDS)]
    rng = np.random.default_rng(1000 + index)
    state, scene = Machine.random(kind, rng), Scene.random(rng)
    scene = dataclasses.replace(scene, snr_db=float(rng.uniform(0.0, 20.0)))
    model = load_model().with_step(STEP_S)
    embedder = load_embedder(model)
    specs = parse_scorers(SCORERS)

    def hear(duration_s: float, fault: Fault | None = None) -> _Heard:
        sound = render(state, scene, duration_s, rng, model.contract.features.rate_hz, fault)
        windows, _ = clip_windows(log_mel(sound, model.contract.features), model.contract)
        return _Heard(features_of(specs, windows, embedder), window_spectra(windows))

    parts: list[_Heard] = []
    while sum(len(part.spectra_db) for part in parts) < WINDOWS:
        parts.append(hear(RUN_S))
    features = {name: np.concatenate([p.features[name] for p in parts])[:WINDOWS] for name in parts[0].features}
    spectra_db = np.concatenate([p.spectra_db for p in parts])[:WINDOWS]
    faults = [
        Fault(str(rng.choice(FAULTS[kind])), level_db=float(rng.uniform(-5.0, 0.0))) if i % 2 else None
        for i in range(CLIPS)
    ]
    clips = [hear(CLIP_S, fault) for fault in faults]
    labels = np.array([fault is not None for fault in faults])
    embeddings = features["embedding"]
    found: dict[str, Any] = {"kind": kind}

    def auc(distance: Callable[[np.ndarray], np.ndarray], view: str) -> float:
        scores = np.array([distance(clip.features[view]).mean() for clip in clips])
        return 100.0 * roc_auc(scores[~labels], scores[labels])

    def of_bank(bank: EmbeddingBank) -> float:
        return auc(lambda rows: bank.nearest(rows)[0], "embedding")

    def of_scorers(normal: NormalSound) -> list[float]:
        return [auc(scorer.measure.distance, scorer.spec.features) for scorer in normal.scorers]

    found["vectors: all"] = of_bank(EmbeddingBank.fit(embeddings))
    for method in METHODS:
        before = time.process_time()
        bank = EmbeddingBank.fit(embeddings, budget_bytes=BUDGET_BYTES, method=method)
        found[f"seconds: {method}"] = time.process_time() - before
        found[f"vectors: {method}"] = of_bank(bank)
    target = np.zeros(WINDOWS, bool)
    found["embedding: all"], found["spectrum: all"] = of_scorers(NormalSound.fit(specs, features, spectra_db))
    for method in METHODS:
        retention = Retention(specs, features, spectra_db, target, BUDGET_BYTES, method)
        normal = NormalSound.fit(specs, features, spectra_db, kept=retention.kept())
        found[f"embedding: {method}"], found[f"spectrum: {method}"] = of_scorers(normal)
    print(f"{kind}: done", file=sys.stderr)
    return found


def of_recordings(case: Case) -> dict[str, Any]:
    """AUC on one machine's recordings with all enrolled windows and with those that 64 KiB hold."""
    model, specs = load_model(), parse_scorers(SCORERS)
    embedder = load_embedder(model)

    def hear(clip: CaseClip) -> _Heard:
        pieces = hear_clip(clip.path, model.contract, specs, embedder, whole=True, on_note=lambda note: None).pieces
        features = {name: np.concatenate([piece.features[name] for piece in pieces]) for name in pieces[0].features}
        return _Heard(features, np.concatenate([piece.spectra_db for piece in pieces]))

    enrolled, clips = [hear(clip) for clip in case.enrol], [hear(clip) for clip in case.test]
    labels = np.array([clip.anomalous for clip in case.test])
    if labels.all() or not labels.any():
        return {}
    features = {name: np.concatenate([e.features[name] for e in enrolled]) for name in enrolled[0].features}
    spectra_db = np.concatenate([e.spectra_db for e in enrolled])
    target = np.array([clip.domain == "target" for clip in case.enrol]).repeat([len(e.spectra_db) for e in enrolled])
    found: dict[str, Any] = {"case": case.name, "windows": len(spectra_db)}
    for method in ("all", *METHODS):
        kept = None
        if method != "all":
            retention = Retention(specs, features, spectra_db, target, BUDGET_BYTES, method)
            kept, found["kept"] = retention.kept(), retention.n_kept
        for scorer in NormalSound.fit(specs, features, spectra_db, target, kept=kept).scorers:
            name = scorer.spec.features
            scores = np.array([scorer.measure.distance(clip.features[name]).mean() for clip in clips])
            found[f"{name}: {method}"] = 100.0 * roc_auc(scores[~labels], scores[labels])
    return found


def as_markdown(result: dict[str, Any]) -> str:
    """The tables of RESULTS.md."""
    lines = [result["machine"], "", "CPU us of one query over N vectors of 128 (cold / warm cache):", ""]
    names = ("int8 search", "int8 product alone", "float32 search", "float32 product and maximum")
    lines += ["| N | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for row in (*result["search"], *result["crossover"]):
        cells = [f"{row[f'{name}, cold']:.0f} / {row[f'{name}, warm']:.0f}" for name in names]
        lines.append(f"| {row['n']:,.0f} | " + " | ".join(cells) + " |")
    error = result["query_error"]
    lines += [
        "",
        f"Error of int8 similarities: {error['product']:.1e}; of the answer: {error['answer']:.1e}.",
    ]
    lines += ["", "Memory of vectors and search, MiB: "]
    lines[-1] += ", ".join(f"{name} {mib:.1f}" for name, mib in result["memory_mib"].items())
    rows = result["compaction"]
    columns = [name for name in rows[0] if ": " in name] if rows else []
    if rows:
        lines += ["", f"AUC x 100, {WINDOWS:,} windows compacted to {BUDGET_BYTES // 1024} KiB:", ""]
        lines += ["| | " + " | ".join(row["kind"] for row in rows) + " | mean |", "|---|" + "---|" * (len(rows) + 1)]
    for name in columns:
        values = [row[name] for row in rows]
        lines.append(f"| {name} | " + " | ".join(f"{v:.2f}" for v in values) + f" | {np.mean(values):.2f} |")
    rows = [row for row in result["recordings"] if row and row["kept"] < row["windows"]]
    if rows:
        columns = [name for name in rows[0] if ": " in name]
        lines += ["", "AUC x 100 on recordings, of the cases whose windows exceed the budget:", ""]
        lines += ["| case | kept | " + " | ".join(columns) + " |", "|---|---|" + "---|" * len(columns)]
        for row in rows:
            figures = " | ".join(f"{row[name]:.1f}" for name in columns)
            lines.append(f"| {row['case']} | {row['kept']} of {row['windows']} | {figures} |")
        lines.append("| mean | | " + " | ".join(f"{np.mean([r[name] for r in rows]):.1f}" for name in columns) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

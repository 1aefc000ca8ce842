"""AUC and pAUC of the shipped pipeline beside simple peers, as a Markdown table.

    python -m benchmarks.accuracy CASES.csv PEERS.csv [--precision int8|fp32]

PEERS.csv has the columns case, peer, auc, pauc, far_log: what other methods reach on the same rows. Means are over the
cases that have anomalies and that some peer does not already solve (AUC under 0.99).
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping
from pathlib import Path

from edge_asd.enrolment import DEFAULT_CLIP_PERCENTILE
from edge_asd.evaluation.cases import read_cases
from edge_asd.evaluation.evaluate import CaseResult, evaluate_case
from edge_asd.inference import load_embedder
from edge_asd.model_package import load_model

TRIVIAL_AUC = 0.99
SHOWN_PEERS = ("loudness", "logmel_1nn", "logmel_maha", "twfr_1_k2", "yamnet_t74")
Peers = Mapping[str, Mapping[str, Mapping[str, str]]]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__.split("\n")[0])
    parser.add_argument("cases", type=Path, metavar="CASES.csv")
    parser.add_argument("peers", type=Path, metavar="PEERS.csv")
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    args = parser.parse_args()
    model = load_model(precision=args.precision)
    embedder = load_embedder(model)
    results = []
    for case in read_cases(args.cases):
        results.append(evaluate_case(case, model, embedder, percentile=DEFAULT_CLIP_PERCENTILE))
        print(f"measured {case.name}", file=sys.stderr)
    with args.peers.open(newline="") as file:
        peers: dict[str, dict[str, dict[str, str]]] = {}
        for row in csv.DictReader(file):
            peers.setdefault(row["case"], {})[row["peer"]] = row
    print(_auc_table(results, peers))
    print()
    print(_false_alarm_table(results, peers))
    return 0


def _auc_table(results: list[CaseResult], peers: Peers) -> str:
    scored = [r for r in results if r.auc is not None and r.case in peers]
    hard = [r for r in scored if any(float(p["auc"]) < TRIVIAL_AUC for p in peers[r.case].values())]
    lines = [f"| case | edge-asd | {' | '.join(SHOWN_PEERS)} |", "|---" * (len(SHOWN_PEERS) + 2) + "|"]
    for result in scored:
        shown = [_pair(peers[result.case][p]["auc"], peers[result.case][p]["pauc"]) for p in SHOWN_PEERS]
        mark = "" if result in hard else " (trivial)"
        lines.append(f"| {result.case}{mark} | **{_pair(result.auc, result.pauc)}** | {' | '.join(shown)} |")
    means = [
        _pair(*(_mean([float(peers[r.case][p][key]) for r in hard]) for key in ("auc", "pauc"))) for p in SHOWN_PEERS
    ]
    ours = _pair(_mean([r.auc for r in hard]), _mean([r.pauc for r in hard]))
    lines.append(f"| mean of the {len(hard)} not trivial | **{ours}** | {' | '.join(means)} |")
    return "\n".join(lines)


def _false_alarm_table(results: list[CaseResult], peers: Peers) -> str:
    lines = [f"| false alarms at 5 % | edge-asd | {' | '.join(SHOWN_PEERS)} |", "|---" * (len(SHOWN_PEERS) + 2) + "|"]
    for result in results:
        shown = [peers.get(result.case, {}).get(p, {}).get("far_log", "") for p in SHOWN_PEERS]
        percent = [f"{100 * float(value):.0f} %" if value else "-" for value in shown]
        far = "-" if result.far is None else f"{100 * result.far:.0f} %"
        lines.append(f"| {result.case} | **{far}** | {' | '.join(percent)} |")
    return "\n".join(lines)


def _pair(auc: float | str | None, pauc: float | str | None) -> str:
    return f"{float(auc or 0):.3f} / {float(pauc or 0):.3f}"


def _mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known)


if __name__ == "__main__":
    sys.exit(main())

"""AUC and pAUC of the shipped pipeline beside simple peers, as Markdown tables.

    python -m benchmarks.accuracy CASES.csv PEERS.csv [--scorer SPECS] [--precision int8|fp32] [--jobs N]

PEERS.csv has the columns case, peer, auc, pauc, auc_se, far_log: what other methods reach on the same rows, with a
standard error over test groups drawn anew. Means are over the cases that have anomalies and that some peer does not
already solve (AUC under 0.99). The last two tables hold each case against the one peer with the best mean, and against
the best peer of that very case: a gap of less than that peer's standard error says nothing.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

from edge_asd.evaluation.cache import default_directory
from edge_asd.evaluation.cases import read_cases
from edge_asd.evaluation.evaluate import CaseResult, Events, PlannedCase, evaluate
from edge_asd.evaluation.pool import cores
from edge_asd.evaluation.reader import Listener
from edge_asd.model_package import load_model
from edge_asd.scorers import DEFAULT_SCORERS, parse_scorers

TRIVIAL_AUC = 0.99
SHOWN_PEERS = ("loudness", "logmel_1nn", "logmel_maha", "twfr_1_k2", "yamnet_t74")
Peer = Mapping[str, str]
Peers = Mapping[str, Mapping[str, Peer]]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__.split("\n")[0])
    parser.add_argument("cases", type=Path, metavar="CASES.csv")
    parser.add_argument("peers", type=Path, metavar="PEERS.csv")
    parser.add_argument("--scorer", default=DEFAULT_SCORERS, metavar="SPECS", help=f"({DEFAULT_SCORERS})")
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    parser.add_argument("--jobs", type=int, default=cores(), metavar="N", help="processes (all cores)")
    args = parser.parse_args()
    peers = read_peers(args.peers)
    listener = Listener(load_model(precision=args.precision), tuple(parse_scorers(args.scorer)))
    plan = [PlannedCase(case) for case in read_cases(args.cases)]
    events = Events(failed=lambda clip: print(clip.error, file=sys.stderr))
    results = []
    for result in evaluate(plan, [listener], jobs=args.jobs, cache=default_directory(os.environ), events=events):
        results.append(result)
        print(f"measured {result.case.name}", file=sys.stderr)
    print(f"scorer {args.scorer}, {args.precision}\n")
    single = best_single_peer(results, peers)
    tables = (
        auc_table(results, peers),
        false_alarm_table(results, peers),
        peer_table(results, peers, f"best single peer, {single}, AUC ± error", lambda own: single),
        peer_table(results, peers, "best peer of the case, AUC ± error", best_peer),
    )
    print("\n\n".join(tables))
    return 0


def read_peers(path: Path) -> Peers:
    """Case -> peer -> its row."""
    peers: dict[str, dict[str, Peer]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            peers.setdefault(row["case"], {})[row["peer"]] = row
    return peers


def auc_table(results: Sequence[CaseResult], peers: Peers) -> str:
    """AUC / pAUC of every case with anomalies, ours and some peers'."""
    scored = [r for r in results if r.figures.auc is not None and r.case.name in peers]
    hard = [r for r in scored if not trivial(r.case.name, peers)]
    rows = []
    for result in scored:
        own = peers[result.case.name]
        shown = [_pair(_number(own[p], "auc"), _number(own[p], "pauc")) for p in SHOWN_PEERS]
        mark = " (trivial)" if trivial(result.case.name, peers) else ""
        ours = _pair(result.figures.auc, result.figures.pauc)
        rows.append([f"{result.case.name}{mark}", f"**{ours}**", *shown])
    means = [_mean(hard, lambda r: r.figures.auc), _mean(hard, lambda r: r.figures.pauc)]
    peer_means = [[_mean(hard, _of(peers, p, key)) for key in ("auc", "pauc")] for p in SHOWN_PEERS]
    rows.append(
        [f"mean of the {len(hard)} not trivial", f"**{_pair(*means)}**", *[_pair(*pair) for pair in peer_means]]
    )
    return _table(["case", "edge-asd", *SHOWN_PEERS], rows)


def false_alarm_table(results: Sequence[CaseResult], peers: Peers) -> str:
    """Shares of normal test clips above the threshold set for 5 %."""
    rows = []
    for result in results:
        own = peers.get(result.case.name, {})
        shown = [_number(own.get(p, {}), "far_log") for p in SHOWN_PEERS]
        rows.append([result.case.name, f"**{_percent(result.figures.far)}**", *[_percent(share) for share in shown]])
    return _table(["false alarms at 5 %", "edge-asd", *SHOWN_PEERS], rows)


def best_single_peer(results: Sequence[CaseResult], peers: Peers) -> str:
    """The peer with the highest mean AUC over the cases not trivial, of those measured on all of them."""
    hard = [
        r for r in results if r.figures.auc is not None and r.case.name in peers and not trivial(r.case.name, peers)
    ]
    everywhere = set.intersection(
        *({name for name, row in peers[r.case.name].items() if _number(row, "auc") is not None} for r in hard)
    )
    return max(sorted(everywhere), key=lambda peer: _mean(hard, _of(peers, peer, "auc")) or 0.0)


def best_peer(own: Mapping[str, Peer]) -> str | None:
    """The peer with the highest AUC on one case."""
    return max(own, key=lambda peer: _number(own[peer], "auc") or 0.0, default=None)


def peer_table(
    results: Sequence[CaseResult], peers: Peers, head: str, choose: Callable[[Mapping[str, Peer]], str | None]
) -> str:
    """Every case against the peer chosen from its rows, in units of that peer's standard error."""
    rows = []
    for result in results:
        figures, own = result.figures, peers.get(result.case.name, {})
        name = choose(own)
        theirs = _number(own.get(name or "", {}), "auc")
        if figures.auc is None or name is None or theirs is None:
            continue
        error, gap = _number(own[name], "auc_se") or 0.0, figures.auc - theirs
        verdict = "**more than one error below**" if gap < -error else "below, within the error" if gap < 0 else ""
        ours = f"{figures.auc:.3f} ± {figures.auc_se or 0.0:.3f}"
        rows.append([result.case.name, ours, f"{name} {theirs:.3f} ± {error:.3f}", f"{gap:+.3f}", verdict])
    return _table(["case", "edge-asd, AUC ± error", head, "gap", ""], rows)


def trivial(case: str, peers: Peers) -> bool:
    """Whether every peer solves the case of this name; not where none was asked."""
    aucs = [auc for row in peers.get(case, {}).values() if (auc := _number(row, "auc")) is not None]
    return bool(aucs) and min(aucs) >= TRIVIAL_AUC


def _of(peers: Peers, peer: str, key: str) -> Callable[[CaseResult], float | None]:
    return lambda result: _number(peers[result.case.name][peer], key)


def _number(row: Peer, key: str) -> float | None:
    return float(row[key]) if row.get(key) else None


def _pair(auc: float | None, pauc: float | None) -> str:
    return " / ".join("-" if value is None else f"{value:.3f}" for value in (auc, pauc))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _mean(results: Sequence[CaseResult], figure: Callable[[CaseResult], float | None]) -> float | None:
    known = [value for value in map(figure, results) if value is not None]
    return sum(known) / len(known) if known else None


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


if __name__ == "__main__":
    sys.exit(main())

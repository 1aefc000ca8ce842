"""Every scorer and their fused combinations on recordings with known labels, and which of them should be the default.

    python -m benchmarks.scorers CASES.csv [PEERS.csv] [--scorers SPECS] [--members N]

Each clip is heard once; all scorers share its log-mel and embeddings. Cases every peer solves (AUC 0.99) are shown but
not averaged. The choice of a combination is judged blind to the case it scores: for each case, the combination that is
best on average over all other cases is taken, and only then asked about this one.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import numpy as np

from benchmarks.accuracy import SHOWN_PEERS, Peers, read_peers, trivial
from benchmarks.enrolled import enrolled
from benchmarks.stream import stream
from benchmarks.timing import machine, take_turns
from edge_asd.calibration.threshold import fit_threshold
from edge_asd.clips import read_frames
from edge_asd.enrolment.enrol import DEFAULT_CLIP_PERCENTILE, Enrolment
from edge_asd.evaluation.cases import Case, read_cases
from edge_asd.evaluation.metrics import partial_auc, roc_auc
from edge_asd.frontend import LogMel, log_mel
from edge_asd.inference import Embedder, load_embedder
from edge_asd.model_package import Model, load_model
from edge_asd.scorers import DEFAULT_SCORERS, features_of, parse_scorers
from edge_asd.scorers.registry import fitting_measures
from edge_asd.scorers.views import SCORES, VIEWS
from edge_asd.simulator import Machine, Scene, render
from edge_asd.windows import clip_windows

RANKED = (0.9, 0.95, 1.0, 1.05, 1.1)
"""Decays of rank pooling that may be chosen from: as far towards the quiet moments as towards the loud ones."""
ALL = "+".join(f"{view}:{measure}" for view in VIEWS if view != SCORES for measure in fitting_measures(view))
CANDIDATES = "+".join(
    (
        "embedding:knn+embedding:ldn+embedding:white+spectrum:knn+spectrum:maha+ranked:gmm",
        *[f"ranked:knn,r={r}" for r in RANKED],
    )
)
"""Of what a default may be made: few, or the choice fits the cases' noise."""
STATISTICS = ("ranked:gmm", "spectrum:maha", "ranked:knn,r=1.05", "spectrum:knn")
"""Scorers without a network whose cost is shown."""
Combination = tuple[str, ...]


@dataclass(frozen=True)
class CaseScores:
    """One case, every scorer.

    scorers: as written. enrolled: rarity of the enrolment's own clips [n_pieces, scorers], cross-fitted. tested:
    rarity of the test clips [n, scorers]. anomalous: bool [n]. top_share: how windows were aggregated.
    """

    name: str
    scorers: tuple[str, ...]
    enrolled: np.ndarray
    tested: np.ndarray
    anomalous: np.ndarray
    top_share: float

    def aucs(self, members: Combination) -> tuple[float, float] | None:
        """AUC and partial AUC of the mean rarity of some scorers; None without anomalies or normal clips."""
        scores = self._mean(self.tested, members)
        normal, anomalous = scores[~self.anomalous], scores[self.anomalous]
        return (roc_auc(normal, anomalous), partial_auc(normal, anomalous)) if len(normal) and len(anomalous) else None

    def false_alarms(self, members: Combination) -> float:
        """Share of normal test clips above the threshold fitted on the enrolment."""
        threshold = fit_threshold(self._mean(self.enrolled, members), DEFAULT_CLIP_PERCENTILE).threshold
        return float(np.mean(self._mean(self.tested, members)[~self.anomalous] > threshold))

    def _mean(self, rarity: np.ndarray, members: Combination) -> np.ndarray:
        return rarity[:, [self.scorers.index(member) for member in members]].mean(axis=1)


def measure_case(case: Case, model: Model, embedder: Embedder, scorers: str) -> CaseScores:
    """Enrol a case once for all scorers and score its test clips by each."""
    specs = parse_scorers(scorers)
    bundle = enrolled(case, Enrolment(model, embedder, specs, strict=False))
    fusion, aggregation = bundle.clip_calibration.fusion, bundle.aggregation
    distances = []
    for clip in case.test:
        windows, _ = clip_windows(read_frames(clip.path, model.contract.features), model.contract)
        features = features_of(specs, windows, embedder)
        own = [scorer.measure.distance(features[scorer.spec.features]) for scorer in bundle.normal.scorers]
        distances.append(aggregation.over(np.stack(own, axis=1)))
    return CaseScores(
        name=case.name,
        scorers=tuple(map(str, specs)),
        enrolled=fusion.rarity(bundle.enrolment_scores.per_clip()),
        tested=fusion.rarity(np.array(distances)),
        anomalous=np.array([clip.anomalous for clip in case.test]),
        top_share=aggregation.top_share,
    )


def choose_blind(cases: Sequence[CaseScores], choices: Sequence[Combination]) -> list[Combination]:
    """For each case, the combination with the best mean of AUC and pAUC over the other cases."""
    merit = np.array([[np.mean(case.aucs(members) or (np.nan, np.nan)) for case in cases] for members in choices])
    return [choices[int(np.delete(merit, i, axis=1).mean(axis=1).argmax())] for i in range(len(cases))]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scorers", description=__doc__.split("\n")[0])
    parser.add_argument("cases", type=Path, metavar="CASES.csv")
    parser.add_argument("peers", type=Path, metavar="PEERS.csv", nargs="?")
    parser.add_argument("--scorers", default=ALL, help="which to measure (every view with every measure)")
    parser.add_argument("--candidates", default=CANDIDATES, help="which a default may be made of")
    parser.add_argument("--rounds", type=int, default=200, help="rounds of the cost measurement (200)")
    parser.add_argument("--members", type=int, default=3, help="most scorers in a combination (3)")
    args = parser.parse_args()
    model = load_model()
    embedder = load_embedder(model)
    wanted = dict.fromkeys(map(str, parse_scorers(args.scorers)))
    wanted |= dict.fromkeys(map(str, (*parse_scorers(args.candidates), *parse_scorers(DEFAULT_SCORERS))))
    results = []
    for case in read_cases(args.cases):
        results.append(measure_case(case, model, embedder, "+".join(wanted)))
        print(f"measured {case.name}", file=sys.stderr)
    peers = read_peers(args.peers) if args.peers else {}
    scored = [case for case in results if case.aucs(case.scorers[:1])]
    hard = [case for case in scored if not trivial(case.name, peers)]
    candidates = [str(spec) for spec in parse_scorers(args.candidates)]
    choices = [c for n in range(1, args.members + 1) for c in combinations(candidates, n)]
    default = tuple(map(str, parse_scorers(DEFAULT_SCORERS)))
    print(_table("each scorer alone", [(s,) for s in wanted], scored, hard, peers), end="\n\n")
    ranked = sorted(choices, key=lambda members: -_mean_merit(hard, members))
    print(_table("the default, and the best combinations in hindsight", [default, *ranked[:12]], scored, hard, {}))
    for most in range(2, args.members + 1):
        print(f"\nAt most {most} scorers:\n")
        print(_blind_table(hard, [c for c in choices if len(c) <= most], default))
    print("\n" + _false_alarm_table(results, [default, *ranked[:3], *[(s,) for s in candidates]]))
    print("\n" + _cost_table(model, embedder, default, args.rounds))
    return 0


def _mean_merit(cases: Sequence[CaseScores], members: Combination) -> float:
    return float(np.mean([case.aucs(members) for case in cases]))


def _table(
    title: str,
    rows: Sequence[Combination],
    scored: Sequence[CaseScores],
    hard: Sequence[CaseScores],
    peers: Peers,
) -> str:
    marks = ["" if case in hard else " (trivial)" for case in scored]
    lines = [f"| {title} | {' | '.join(c.name + m for c, m in zip(scored, marks, strict=True))} | mean |"]
    lines.append("|---" * (len(scored) + 2) + "|")

    def line(name: str, found: Sequence[tuple[float, float] | None]) -> str:
        mean = _mean(aucs for case, aucs in zip(scored, found, strict=True) if case in hard)
        return f"| {name} | {' | '.join(map(_pair, found))} | **{_pair(mean)}** |"

    lines += [line(" + ".join(members), [case.aucs(members) for case in scored]) for members in rows]
    for peer in SHOWN_PEERS if all(case.name in peers for case in scored) else ():
        own = [peers[case.name][peer] for case in scored]
        lines.append(line(f"peer {peer}", [(float(row["auc"]), float(row["pauc"])) for row in own]))
    return "\n".join(lines)


def _blind_table(hard: Sequence[CaseScores], choices: Sequence[Combination], default: Combination) -> str:
    chosen = choose_blind(hard, choices)
    lines = ["| case | chosen without it | AUC / pAUC | the default's |", "|---|---|---|---|"]
    for case, members in zip(hard, chosen, strict=True):
        lines.append(
            f"| {case.name} | {' + '.join(members)} | {_pair(case.aucs(members))} | {_pair(case.aucs(default))} |"
        )
    blind = _mean(case.aucs(members) for case, members in zip(hard, chosen, strict=True))
    plain = _mean(case.aucs(default) for case in hard)
    lines.append(f"| mean | of {len(choices)} combinations | **{_pair(blind)}** | **{_pair(plain)}** |")
    return "\n".join(lines)


def _false_alarm_table(results: Sequence[CaseScores], rows: Sequence[Combination]) -> str:
    lines = [f"| false alarms at 5 % | {' | '.join(case.name for case in results)} | mean |"]
    lines.append("|---" * (len(results) + 2) + "|")
    for members in rows:
        rates = [case.false_alarms(members) for case in results]
        shown = " | ".join(f"{100 * rate:.0f} %" for rate in rates)
        lines.append(f"| {' + '.join(members)} | {shown} | {100 * np.mean(rates):.0f} % |")
    shares = " | ".join(f"{case.top_share:g}" for case in results)
    return "\n".join([*lines, f"| (share of windows that count) | {shares} | |"])


def _cost_table(model: Model, embedder: Embedder, default: Combination, rounds: int) -> str:
    """CPU time of a whole stream (log-mel and all) by scorer, and of the parts alone."""
    contract = model.contract
    step = contract.step_frames * contract.features.hop_samples
    rng = np.random.default_rng(7)
    fan, scene = Machine.random("fan", rng), Scene.random(rng)
    sound = render(fan, scene, 624.0, rng)
    enrolled, heard = sound[: 600 * contract.features.rate_hz], sound[600 * contract.features.rate_hz :]
    whole = {s: _stream(model, embedder, s, enrolled, heard) for s in (*STATISTICS, "embedding:knn", "+".join(default))}
    windows, _ = clip_windows(log_mel(heard, contract.features), contract)
    front_end = LogMel(contract.features, padded=False)
    parts = {
        "log-mel alone": lambda: front_end.push(heard[:step]),
        "embedder alone": lambda: embedder.embed(windows[:1]),
    }
    timings = take_turns({**whole, **parts}, rounds)
    seconds = step / contract.features.rate_hz
    lines = ["| a stream scored by | CPU ms per second of audio | without its log-mel |", "|---|---|---|"]
    front_ms = timings["log-mel alone"].median_ms
    for name, timing in timings.items():
        rest = f"{(timing.median_ms - front_ms) / seconds:.3f}" if name in whole else ""
        lines.append(f"| {name} | {timing.median_ms / seconds:.3f} | {rest} |")
    return "\n".join([machine(), "", *lines])


def _stream(
    model: Model, embedder: Embedder, scorers: str, enrolled: np.ndarray, heard: np.ndarray
) -> Callable[[], object]:
    """A call that feeds one step of a stream to a detector enrolled on ten minutes."""
    enrolment = Enrolment(model, embedder, parse_scorers(scorers), strict=False)
    enrolment.add_samples(enrolled, "normal sound")
    detector = enrolment.finish({}).detector()
    step = model.contract.step_frames * model.contract.features.hop_samples
    return stream(detector, heard, step)


def _mean(found: Iterable[tuple[float, float] | None]) -> np.ndarray | None:
    """Of the cases that have the figures, AUC and partial AUC apart."""
    known = [aucs for aucs in found if aucs is not None]
    return np.mean(known, axis=0) if known else None


def _pair(aucs: Sequence[float] | np.ndarray | None) -> str:
    return "-" if aucs is None else f"{aucs[0]:.3f} / {aucs[1]:.3f}"


if __name__ == "__main__":
    sys.exit(main())

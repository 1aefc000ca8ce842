"""Labelled recordings through a link: what the accuracy of its scores is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_asd.bundle.bundle import Bundle
from edge_asd.evaluation.cases import Case, read_cases
from edge_asd.evaluation.evaluate import Events, PlannedCase, evaluate
from edge_asd.evaluation.figures import Outcome
from edge_asd.evaluation.reader import Listener
from edge_asd.scorers import DEFAULT_SCORERS, parse_scorers
from export.parity.links import Link, model_of


@dataclass(frozen=True)
class CaseScores:
    """auc: by case, of cases that have one. scores: of the test clips on the scale of 0 to 100, by case."""

    auc: dict[str, float]
    scores: dict[str, np.ndarray]


def score_cases(
    link: Link, package: Path, files: Sequence[Path], progress: Callable[[str], None] = lambda line: None
) -> CaseScores:
    """Enrol and score every case with a link's network and its runtime. Raises what reading and scoring raise."""
    scores: dict[str, np.ndarray] = {}

    def keep(case: Case, tested: Outcome, bundle: Bundle) -> None:
        scores[case.name] = tested.scores
        progress(f"{link.name}: {case.name}")

    plan = [PlannedCase(case) for file in files for case in read_cases(file)]
    listener = Listener(model_of(link, package), tuple(parse_scorers(DEFAULT_SCORERS)), link.runtime)
    results = list(evaluate(plan, [listener], events=Events(case_scored=keep)))
    auc = {result.case.name: result.figures.auc for result in results if result.figures.auc is not None}
    return CaseScores(auc, scores)

"""`edge-asd evaluate`: how well the pipeline tells normal from anomalous on labelled recordings."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge_asd.cli.parsing import Subparsers, new_command, percentile
from edge_asd.cli.progress import Progress, note
from edge_asd.errors import DataError

if TYPE_CHECKING:
    from edge_asd.evaluation.evaluate import CaseResult

DESCRIPTION = """\
Enrols every case of a CASES.csv on its enrol rows, scores its test rows with the pipeline a device runs, and prints
AUC, partial AUC (false-positive rates up to 0.1, standardised) and the false-alarm rate at the threshold the enrolment
itself gave. Nothing is learnt from test rows.

CASES.csv has the columns case,role,path,label,domain,group: role is enrol or test, label is normal or anomaly, paths
are relative to the file; rows of one group (a session, a flight) are left out together when the threshold is fitted.
A clip is an audio file, or a .npy of log-mel frames [n, bands] in dB."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = new_command(
        subparsers,
        "evaluate",
        summary="measure AUC on labelled recordings",
        description=DESCRIPTION,
        examples=["edge-asd evaluate CASES.csv", "edge-asd evaluate CASES.csv --json > result.json"],
    )
    parser.add_argument("cases", nargs="+", type=Path, metavar="CASES.csv", help="one or more case files")
    parser.add_argument("--model", type=Path, metavar="DIR", help="model package (default: the one that ships)")
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8", help="of the network (int8)")
    parser.add_argument(
        "--percentile", type=percentile, default=95.0, help="share of normal clips, %%, meant to stay quiet (95)"
    )
    parser.add_argument("--json", action="store_true", help='print {"cases": [...], "mean": {...}} instead of a table')


def run(args: argparse.Namespace) -> int:
    """Measure every case; a table or JSON on stdout, progress on stderr."""
    from edge_asd.evaluation.cases import read_cases
    from edge_asd.evaluation.evaluate import evaluate_case, summarise
    from edge_asd.inference import load_embedder
    from edge_asd.model_package import DEFAULT_PACKAGE, load_model

    cases = [case for path in args.cases for case in read_cases(path)]
    repeated = [case.name for i, case in enumerate(cases) if case.name in {c.name for c in cases[:i]}]
    if repeated:
        raise DataError(f"case {repeated[0]!r} stands in two files", remedy="evaluate them one by one")
    model = load_model(args.model or DEFAULT_PACKAGE, args.precision)
    embedder = load_embedder(model)
    total = sum(len(case.enrol) + len(case.test) for case in cases)
    progress, done = Progress(total), 0

    def clip_done() -> None:
        nonlocal done
        done += 1
        progress.at(done, f"{done} of {total} clips")

    results = []
    for case in cases:
        results.append(evaluate_case(case, model, embedder, percentile=args.percentile, clip_done=clip_done))
        progress.end()
        for warning in results[-1].warnings:
            note(f"{case.name}: {warning}")
        if not args.json:
            if len(results) == 1:
                print(f"{'case':32} {'AUC':>7} {'pAUC':>7} {'FAR':>7}  enrol normal anomaly")
            _print_row(results[-1])
    document = summarise(results)
    if args.json:
        json.dump(document, sys.stdout, indent=1)
        print()
    else:
        mean = document["mean"]
        print(f"{'mean':32} {_figure(mean['auc'])} {_figure(mean['pauc'])} {_figure(mean['far'])}")
    return 0


def _print_row(result: CaseResult) -> None:
    figures = f"{_figure(result.auc)} {_figure(result.pauc)} {_figure(result.far)}"
    print(f"{result.case:32} {figures}  {result.n_enrol:5} {result.n_normal:6} {result.n_anomaly:7}", flush=True)


def _figure(value: float | None) -> str:
    return "      -" if value is None else f"{value:7.4f}"

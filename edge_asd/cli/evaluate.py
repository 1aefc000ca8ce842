"""`edge-asd evaluate`: how well the pipeline tells normal from anomalous on labelled recordings."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path

from edge_asd.cli.evaluate_enrolment import blank_enrolments, listener_of, settings_told
from edge_asd.cli.evaluate_published import (
    add_reproduction_flags,
    published_table,
    refuse_reproduction_flags,
    reproduce,
)
from edge_asd.cli.evaluate_table import summary
from edge_asd.cli.evaluate_watcher import Watcher
from edge_asd.cli.options import SETTINGS, add_config_flags, add_settings, loaded_config, printed_config
from edge_asd.cli.parsing import Subparsers, new_command, percentile
from edge_asd.cli.progress import note
from edge_asd.errors import DataError, StorageError, UsageError

YEARS = ("mimii", *(str(year) for year in range(2020, 2027)))
NOT_ALL_USED = DataError.exit_code
ENROLMENT_SETTINGS = (
    "detector.step_s",
    "detector.smoothing_s",
    "detector.false_alarms",
    "detector.percentile",
    "detector.session_allowance",
    "alarm.confirm_s",
    "model.bank_budget",
    "model.bank_method",
)
"""Settings of the enrolments that are measured; a bundle carries its own."""
DESCRIPTION = """\
Enrols every case on its enrol clips, scores its test clips with the pipeline a device runs, and prints AUC, partial AUC
(false-positive rates up to 0.1, standardised), the share of false alarms at the clip threshold the enrolment itself
gave, false alarms a day and the time to detection at its live threshold. Nothing is learnt from test clips.

CASES.csv has the columns case,role,path,label,domain,group: role is enrol or test, label is normal or anomaly, paths
are relative to the file; rows of one group (a session, a flight) are left out together when the threshold is fitted.
An optional column onset_s says where in an anomalous clip the fault sets in.

DATASET_DIR is a folder of DCASE Task 2, 2020 to 2026, or MIMII as published: one case a machine and section, and the
official score of that year. The year is guessed and stated; --year overrules. A clip is an audio file, or a .npy of
log-mel frames [n, bands] in dB; of several channels the first is heard (the near one in 2026), or --channel.

With --bundle the test clips are scored against that bundle and nothing is enrolled; a directory holds one bundle a
case, <machine>_<section>.asd (for a CASES.csv <case>.asd). Where the bundles are of a published system's recipe, or of
one that extends it, the table of its report stands beside the result.

--reproduce trains the published systems on a dataset, measures them, and writes a page with each report's table beside
ours. What is done is kept in --out: the same command goes on where it was interrupted.

What clips gave is kept in a cache, so the same command goes on where it was interrupted. A clip that cannot be used is
named, counted and left out, and the exit code is then 65; a wrong file or folder ends the run before anything is
computed. --json prints {"cases": [...], "mean": {...}, "datasets": [...], "failed": [...], "settings": {...}}, null for
a figure nobody can give."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = new_command(
        subparsers,
        "evaluate",
        summary="measure AUC on labelled recordings",
        description=DESCRIPTION,
        examples=[
            "edge-asd evaluate CASES.csv",
            "edge-asd evaluate CASES.csv --scorer ranked:gmm --json > result.json",
            "edge-asd evaluate dcase2023/dev_data --report out/",
            "edge-asd evaluate today.csv --bundle fan.asd",
            "edge-asd evaluate --reproduce dcase2022/dev_data --weights panns=ResNet38.pth",
        ],
    )
    parser.add_argument("inputs", nargs="*", type=Path, metavar="CASES.csv|DATASET_DIR", help="what to measure on")
    parser.add_argument("--bundle", type=Path, metavar="FILE|DIR", help="score against this instead of enrolling")
    add_settings(parser, "model.package", "model.precision", "model.runtime", "audio.channel", *ENROLMENT_SETTINGS)
    parser.add_argument("--scorer", metavar="SPECS", help="what the score is made of, as `enroll --scorer` takes it")
    parser.add_argument(
        "--percentile", type=percentile, metavar="P", help="share of normal clips, in %%, meant to stay quiet (95)"
    )
    parser.add_argument("--year", choices=YEARS, help="of the datasets, where the guess is wrong")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap intervals (0)")
    parser.add_argument("--jobs", type=_jobs, metavar="N", help="processes; the figures are the same (all cores)")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="of what clips gave ($XDG_CACHE_HOME/edge-asd/features)"
    )
    parser.add_argument("--no-cache", action="store_true", help="compute everything, keep nothing")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write index.html, pictures and scores.csv there")
    parser.add_argument("--json", action="store_true", help='print {"cases": [...], "mean": {...}} instead of a table')
    add_config_flags(parser)
    add_reproduction_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Measure every case; a table or JSON on stdout, progress on stderr."""
    if args.reproduce is not None:
        return reproduce(args)
    refuse_reproduction_flags(args)
    loaded = loaded_config(args)
    if printed_config(args, loaded):
        return 0
    if args.no_cache and args.cache is not None:
        raise UsageError("--cache and --no-cache were both given", remedy="choose one of them")
    if args.bundle is not None:
        _refuse_enrolment_flags(args)
    from edge_asd.evaluation.cache import ArrayCache
    from edge_asd.evaluation.document import document
    from edge_asd.evaluation.evaluate import evaluate
    from edge_asd.evaluation.plan import make_plan
    from edge_asd.evaluation.pool import cores

    year = None if args.year is None else 2019 if args.year == "mimii" else int(args.year)
    plan = make_plan(args.inputs, args.bundle, year, lambda: listener_of(args.scorer, loaded.config))
    for dataset in plan.datasets:
        note(f"{dataset.path}: {dataset.name}, {dataset.reason}")
    for words in plan.notes:
        note(words)
    watcher = Watcher(args, plan, loaded.config.audio.channel)
    cache = None if args.no_cache else _cache_directory(args.cache)
    results = []
    running = evaluate(
        plan.cases,
        plan.listeners,
        enrolment=blank_enrolments(args.percentile, loaded.config),
        channel=loaded.config.audio.channel,
        jobs=args.jobs or cores(),
        cache=cache,
        seed=args.seed,
        events=watcher.events(),
    )
    try:
        with contextlib.closing(running):  # a Ctrl-C here ends its workers
            for result in running:
                results.append(result)
                watcher.case_done(result)
    finally:
        watcher.end()
        if cache is not None:
            ArrayCache(cache).prune()
    made = document(results, plan.datasets, watcher.failed, settings_told(args, plan, loaded.config))
    if args.json:
        json.dump(made, sys.stdout, indent=1, ensure_ascii=False, allow_nan=False)
        print()
    else:
        print(summary(made))
        if args.bundle is not None and (words := published_table(plan, made)):
            print(f"\n{words}")
    watcher.finish(made)
    all_measured = all(result.threshold is not None for result in results)
    return 0 if all_measured and not watcher.failed else NOT_ALL_USED


def _cache_directory(wanted: Path | None) -> Path:
    """Where what clips gave is kept: as asked for, else the default; a note says where nothing more can be kept there.

    Raises StorageError where nothing can be kept in what was asked for.
    """
    from edge_asd.evaluation.cache import ArrayCache, default_directory

    cache = ArrayCache(wanted or default_directory(os.environ))
    try:
        cache.check()
    except StorageError as error:
        if wanted is not None:
            raise StorageError(f"--cache {error}", remedy="name another directory, or give --no-cache") from error
        note(f"nothing is kept for the next time: {error}")
    return cache.directory


def _refuse_enrolment_flags(args: argparse.Namespace) -> None:
    given = [SETTINGS[name].flag for name in (*ENROLMENT_SETTINGS, "model.package") if vars(args)[name] is not None]
    given += [f"--{name}" for name in ("scorer", "percentile") if vars(args)[name] is not None]
    if given:
        raise UsageError(f"--bundle and {given[0]} were both given", remedy="a bundle carries its own")


def _jobs(text: str) -> int:
    try:
        jobs = int(text)
    except ValueError:
        jobs = 0
    if jobs < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes; give 1 or more")
    return jobs

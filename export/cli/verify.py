"""`edge-asd export verify`: the parity chain, as a table."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edge_asd.cli.parsing import Subparsers, new_command
from edge_asd.cli.progress import note
from edge_asd.errors import DataError
from export.extra import need

if TYPE_CHECKING:
    from export.parity.compare import Report, Spread

DESCRIPTION = """\
Runs the same simulated sound through every form a model package has: torch, ONNX fp32, ONNX int8, TFLite int8, and
the int8 files again on an x86 processor without VNNI and on the processors of a Pi 3 (cortex-a53), Pi 4 (cortex-a72),
Pi 5 (cortex-a76) and a 32-bit Pi (cortex-a7, tflite-runtime), by emulation. Shows how many operations run in integers,
how far the embeddings turned (cosine to ONNX fp32), how far scores moved on their scale of 0 to 100 and, with --cases,
what that costs in AUC. All is compared with the package's ONNX fp32, which `edge-asd export --precision fp32` adds.

It ends with 65 when a form is not the same model any more: an int8 file that multiplies in float, a mean cosine below
0.995, a processor that gives other embeddings than this one (cosine below 0.999), an AUC loss above 0.2 points in the
mean or 1 point in a case. What cannot be run here is shown as not run, with the reason.

Emulated rows embed one window of each test clip, and their scores are compared with the same file's scores here.
Emulation tells that the numbers are right, never how fast a board is."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the action."""
    parser = new_command(
        subparsers,
        "verify",
        summary="prove that all forms of a model give the same results",
        description=DESCRIPTION,
        examples=(
            "edge-asd export verify model/",
            "edge-asd export verify model/ --cases CASES.csv --json > parity.json",
            "edge-asd export verify model/ --no-emulation",
        ),
    )
    parser.add_argument("package", type=Path, metavar="MODEL", help="a model package (a directory)")
    parser.add_argument(
        "--cases", type=Path, nargs="+", default=[], metavar="CASES.csv", help="labelled recordings, for AUC"
    )
    parser.add_argument(
        "--machines",
        type=_count,
        default=3,
        metavar="N",
        help="simulated machines, at most 6; each is 80 s of sound (3)",
    )
    parser.add_argument(
        "--run",
        type=Path,
        metavar="RUN/best",
        help="training run whose network is the torch link (default: rebuilt from the package)",
    )
    parser.add_argument("--no-emulation", action="store_true", help="only what runs on this processor")
    parser.add_argument("--json", action="store_true", help='print {"model", "rows": [...], "failures": [...]}')


def run(args: argparse.Namespace) -> int:
    """Measure the chain; a table or JSON on stdout, progress on stderr. Raises DataError when it is broken."""
    need(("onnx", "onnxruntime"))
    import dataclasses

    from edge_asd.simulator import KINDS
    from export.parity.compare import verify
    from export.parity.links import REFERENCE, chain, model_of
    from export.parity.sound import MachineSound

    chain(args.package)  # what cannot be compared is told as that
    contract = model_of(REFERENCE, args.package).contract
    sounds = [MachineSound.simulated(kind, contract) for kind in KINDS[: args.machines]]
    report = verify(args.package, sounds, run=args.run, cases=args.cases, emulate=not args.no_emulation, progress=note)
    print(json.dumps(dataclasses.asdict(report), indent=1) if args.json else as_table(report))
    if report.failures:
        for failure in report.failures[:-1]:
            note(failure)
        raise DataError(report.failures[-1], remedy="the model is not to be shipped like this")
    return 0


def as_table(report: Report) -> str:
    """For a person."""
    with_cases = any(row.auc_loss is not None for row in report.rows)
    head = f"{report.model:32} {'integer':>9} {'cosine':>9} {'lowest':>9} {'score':>7} {'largest':>8}"
    lines = [head + (f" {'AUC loss':>9} {'largest':>8}" if with_cases else "") + f" {'as here':>9}"]
    for row in report.rows:
        if row.not_run:
            lines.append(f"{row.link:32} not run: {row.not_run}")
            continue
        ops = "" if row.integer_ops is None else f"{row.integer_ops.integer} of {row.integer_ops.all}"
        cells = f"{row.link:32} {ops:>9} {_pair(row.cosine, 9, '.5f')} {_pair(row.score, 7, '.2f', 8)}"
        if with_cases:
            cells += " " + _pair(row.auc_loss, 9, ".4f", 8)
        lines.append(f"{cells} {'' if row.here is None else format(row.here.worst, '.6f'):>9}".rstrip())
    return "\n".join(lines)


def _pair(spread: Spread | None, width: int, style: str, second: int | None = None) -> str:
    second = second or width
    if spread is None:
        return f"{'':{width}} {'':{second}}"
    return f"{spread.mean:{width}{style}} {spread.worst:{second}{style}}"


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of machines; give 1 to 6")
    return int(text)

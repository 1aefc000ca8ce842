"""`edge-asd export`: what the workstation hands to a board. Each way of using it is a module of its own."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from edge_asd.cli.parsing import Subparsers, new_command
from edge_asd.errors import UsageError

ACTIONS: dict[str, str] = {"verify": "export.cli.verify"}
"""`edge-asd export ACTION ...` -> module with `add_parser(subparsers)` and `run(args)`."""
WAYS: dict[str, str] = {"model": "export.cli.model", "target": "export.targets.command"}
"""`edge-asd export --WAY ...` -> module with `add_flags(parser)` and `run(args)`. The first flag given decides; flags
several ways share (--out) are declared here."""

DESCRIPTION = """\
Makes what a board runs. --model turns a training run (or a model package) into a model package: ONNX or TFLite, int8 or
float. A second export to the same --out adds its file to the package, so that one package can carry all twins.

--target turns a bundle into one archive with all that a board needs, which installs there without a network.

`edge-asd export verify MODEL` proves that all of a package's forms give the same results as its ONNX fp32, which
must be in it."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = new_command(
        subparsers,
        "export",
        summary="make a model package, or all a board needs",
        description=DESCRIPTION,
        examples=(
            "edge-asd export --model run/best --format onnx --precision int8 --out model/",
            "edge-asd export --model run/best --format onnx --precision fp32 --out model/",
            "edge-asd export verify model/",
            "edge-asd export --model run/best --precision int8 --sensitivity --out model/",
            "edge-asd export --bundle fan.asd --target pi4 --out dist/",
        ),
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="directory to write to")
    for module in WAYS.values():
        importlib.import_module(module).add_flags(parser)
    if ACTIONS:
        actions = parser.add_subparsers(dest="action", metavar="ACTION")
        for module in ACTIONS.values():
            importlib.import_module(module).add_parser(actions)


def run(args: argparse.Namespace) -> int:
    """Hand over to the action or to the way whose flag was given."""
    action = getattr(args, "action", None)
    if action is not None:
        return importlib.import_module(ACTIONS[action]).run(args)
    ways = [name for name in WAYS if getattr(args, name) is not None]
    if len(ways) != 1:
        wanted = " or ".join(f"--{name}" for name in WAYS)
        raise UsageError(
            f"give one of {wanted}" if not ways else f"--{ways[0]} and --{ways[1]} do not go together",
            remedy="see edge-asd export --help",
        )
    if args.out is None:
        raise UsageError("nowhere to write to", remedy="give --out DIR")
    return importlib.import_module(WAYS[ways[0]]).run(args)

"""`edge-asd config`: check a config file, and show what it comes to."""

from __future__ import annotations

import argparse
import sys

from edge_asd.cli.parsing import Subparsers, new_command


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = new_command(
        subparsers,
        "config",
        summary="check a config file",
        description="Check a config file: every key known, every value in its range. Its sections are those "
        "that `edge-asd run --print-config` shows; with a file named by --config it shows what is in effect together "
        "with flags and environment. Secrets stand in files of their own; only those files' names are ever shown.",
        examples=("edge-asd config check fan.yaml", "edge-asd config check fan.yaml --print-config > effective.yaml"),
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="say whether FILE is right",
        description="Exit 0 when FILE is right; else 78 and one line naming file, line, key and what is allowed there.",
        epilog="examples:\n  edge-asd config check fan.yaml",
    )
    check.add_argument("file", metavar="FILE", help="YAML config file")
    check.add_argument("--print-config", action="store_true", help="also print it, every default filled in")


def run(args: argparse.Namespace) -> int:
    """Check the file alone: what the environment says is not the file's fault."""
    from edge_asd.config import as_yaml, load_config

    loaded = load_config(args.file, environment={})
    if args.print_config:
        sys.stdout.write(as_yaml(loaded))
    else:
        given = sum(origin != "default" for origin in loaded.origins.values())
        print(f"{args.file}: right, {given} of {len(loaded.origins)} settings given, the others at their defaults")
    return 0

"""`edge-asd doctor`: what is missing on this machine, and the one command that mends it."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from edge_asd.cli.parsing import Subparsers, new_command
from edge_asd.errors import UnavailableError

MARKS = {"ok": "ok     ", "warn": "warning", "fail": "MISSING"}


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = new_command(
        subparsers,
        "doctor",
        summary="say what is missing on this machine, and how to mend it",
        description="Check Python, the libraries, PortAudio, sound cards and the right to use them, the model that "
        "ships (its hash, and one run of it) and the disk. Under each finding stands the one command that mends it. A "
        "warning keeps only a microphone from being used: files, standard input and the demo work.\n\n"
        "The exit code is 0 when nothing needed is missing, else 69.",
        examples=(
            "edge-asd doctor",
            "edge-asd doctor --board pi4",
            "edge-asd doctor --json | jq '.[] | select(.state != \"ok\")'",
        ),
    )
    parser.add_argument(
        "--board", metavar="NAME", help="also hold this machine against a folder of firmware_configs: pi4, pi5, ..."
    )
    parser.add_argument("--json", action="store_true", help="a JSON array of findings")


def run(args: argparse.Namespace) -> int:
    """Print every finding."""
    from edge_asd.cli.checks import examine

    findings = examine()
    if args.board:
        from edge_asd.cli.boards import examine_board, load_board

        findings += examine_board(load_board(args.board))
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            print(f"{MARKS[finding.state]}  {finding.name}: {finding.detail}")
            if finding.mend:
                print(f"         mend it: {finding.mend}")
    failed = any(finding.state == "fail" for finding in findings)
    return UnavailableError.exit_code if failed else 0

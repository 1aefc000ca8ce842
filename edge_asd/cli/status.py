"""`edge-asd status`: how the running service fares."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from edge_asd.cli.parsing import Subparsers, new_command
from edge_asd.errors import UnavailableError


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = new_command(
        subparsers,
        "status",
        summary="how the running service fares",
        description="Last score, level, alarm, uptime, faults and disk of the edge-asd service on this device, read "
        "from the file it keeps in its runtime directory.\n\n"
        "The exit code is 0 when every machine is being listened to, else 69: no service, a hung one, a machine "
        "without sound, or a store that cannot be written.",
        examples=("edge-asd status", "edge-asd status --json | jq '.machines[].score'"),
    )
    parser.add_argument("--json", action="store_true", help="the whole status as JSON, with a list of faults")
    parser.add_argument("--runtime-dir", type=Path, metavar="DIR", help="where the service keeps it (/run/edge-asd)")


def run(args: argparse.Namespace) -> int:
    """Print the status."""
    return print_status(args.runtime_dir, as_json=args.json)


def print_status(runtime_dir: Path | None, *, as_json: bool) -> int:
    """Print the status found in `runtime_dir` (None: where services keep it); give the exit code."""
    from edge_asd.service.status import FILE, faults, in_words, read_status, status_path

    path = runtime_dir / FILE if runtime_dir else status_path(os.environ)
    status = read_status(path, monotonic=time.monotonic)
    wrong = faults(status)
    if as_json:
        print(json.dumps({**status, "faults": wrong}, indent=1))
    else:
        print("\n".join(in_words(status)))
    return UnavailableError.exit_code if wrong else 0

"""Injects every fault into a running edge-asd and writes what became of it: `make chaos`, `make chaos ONLY=fault`.

    python -m benchmarks.chaos [--only NAME] [--list] [--jobs N] [--seed N]
    python -m benchmarks.chaos --only kills | soak | cost

Writes benchmarks/RESILIENCE.json (a row a fault), resilience_figures.json beside it (kills, soak, cost) and their
table, RESILIENCE.md. A fault that was not survived is written as such, and the exit code is 1. Some faults need root
(they mount file systems or boot a container), mosquitto and systemd-container; without them they are left out, by name.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.chaos import faults, report
from benchmarks.chaos.fault import FAULTS, Fault, NotPossible, Outcome
from benchmarks.chaos.room import Room, make_room
from benchmarks.chaos.trial import tried
from edge_asd.config.nearest import nearest

FIGURES = ("kills", "soak", "cost")
"""Not single faults but long runs; each is a module with `measure`."""


def main() -> int:
    """Inject and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__.split("\n")[0])
    parser.add_argument("--only", metavar="NAME", help="one fault, one area, or one of kills, soak, cost")
    parser.add_argument("--list", action="store_true", help="name the faults and what must hold")
    parser.add_argument("--jobs", type=int, default=3, help="faults at a time (3); they mostly wait")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (0)")
    parser.add_argument("--kills", type=int, default=500, help="times the store's writer is killed (500)")
    parser.add_argument("--hours", type=float, default=24.0, help="of sound in the soak (24)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="keep what the trials leave (a temporary one)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1], metavar="DIR", help="of the table")
    args = parser.parse_args()
    faults.load()
    if args.list:
        for one in FAULTS.values():
            print(f"{one.name:30s} {one.area:11s} {one.must_hold}")
        return 0
    chosen, figures = _chosen(args.only, parser)
    with tempfile.TemporaryDirectory(prefix="edge-asd-chaos-") as temporary:
        folder = args.folder or Path(temporary)
        room = make_room(folder / "room")
        outcomes = _inject(chosen, room, folder, args.seed, args.jobs)
        report.add_outcomes(args.out, outcomes)
        held = all(outcome.held for outcome in outcomes)
        for name in figures:
            measured = _measured(name, room, folder / name, args)
            report.add_figures(args.out, name, measured)
            print(f"{name}: {measured}", file=sys.stderr, flush=True)
            held = held and bool(measured["held"])
    report.write_table(args.out)
    return 0 if held else 1


def _chosen(only: str | None, parser: argparse.ArgumentParser) -> tuple[list[Fault], list[str]]:
    if only is None:
        return list(FAULTS.values()), list(FIGURES)
    if only in FIGURES:
        return [], [only]
    chosen = [fault for fault in FAULTS.values() if only in (fault.name, fault.area)]
    if not chosen:
        known = [*FAULTS, *{fault.area for fault in FAULTS.values()}, *FIGURES]
        parser.error(f"no fault is called {only!r}; did you mean {nearest(only, known)!r}? See --list")
    return chosen, []


def _inject(chosen: list[Fault], room: Room, folder: Path, seed: int, jobs: int) -> list[Outcome]:
    def one(fault: Fault) -> Outcome | None:
        try:
            outcome = tried(fault, room, folder / fault.name, seed)
        except NotPossible as reason:
            print(f"{fault.name}: left out: {reason}", file=sys.stderr, flush=True)
            return None
        after = "" if outcome.recovery_s is None else f", {outcome.recovery_s:.2f} s"
        said = f"held{after}" if outcome.held else f"NOT HELD: {outcome.why}"
        print(f"{fault.name}: {said}, {outcome.events_lost} events lost", file=sys.stderr, flush=True)
        return outcome

    with ThreadPoolExecutor(jobs) as pool:
        return [outcome for outcome in pool.map(one, chosen) if outcome is not None]


def _measured(name: str, room: Room, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    if name == "kills":
        from benchmarks.chaos import kills

        return kills.measure(room, folder, args.kills, args.seed)
    if name == "soak":
        from benchmarks.chaos import soak

        return soak.measure(room, folder, args.hours)
    from benchmarks.chaos import cost

    return cost.measure(room, folder)


if __name__ == "__main__":
    sys.exit(main())

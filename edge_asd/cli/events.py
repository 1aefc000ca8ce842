"""`edge-asd events`: what happened, as the store tells it."""

from __future__ import annotations

import argparse
import json
import os
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_asd.cli.options import add_settings, loaded_config
from edge_asd.cli.parsing import Subparsers, choice, duration_s, new_command
from edge_asd.cli.progress import note
from edge_asd.errors import UsageError

if TYPE_CHECKING:
    from edge_asd.store.reading import Query, Reader

LIMIT = 100
"""Events listed where nothing says how many."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = new_command(
        subparsers,
        "events",
        summary="what happened: alarms with reasons and clips, faults of the microphone",
        description="List what a service (or a run with --store) has kept: alarms with their peak, what changed in the "
        "sound and where the clip lies, and what happened to the microphone. Times are local here and UTC in JSON. "
        "Reads while the service writes.\n\n"
        "--since and --until take a span back from now (1d, 90m) or a moment (2026-01-31, 2026-01-31T12:00, with Z for "
        f"UTC, else local). Without either, the last {LIMIT} events are listed.\n\n"
        "A pinned alarm keeps its clip when the quota evicts older ones.",
        examples=(
            "edge-asd events --since 1d",
            "edge-asd events --since 7d --alarms --json | jq .explanation",
            "edge-asd events --since 2026-01-01 --export january/",
            "edge-asd events --pin fan/20260131T120000-250Z",
        ),
    )
    parser.add_argument("--since", type=moment, metavar="TIME", help="only what was going on after this")
    parser.add_argument("--until", type=moment, metavar="TIME", help="only what began before this")
    parser.add_argument("--machine", metavar="NAME", help="only of this machine")
    parser.add_argument("--alarms", action="store_true", help="only alarms")
    parser.add_argument("--limit", type=_count, metavar="N", help=f"the newest N (default {LIMIT}, all with --since)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--export", type=Path, metavar="DIR", help="copy events.json, scores.csv and the clips there")
    for flag, doing in (
        ("--pin", "keep the clip of this alarm"),
        ("--unpin", "let its clip go again"),
        ("--acknowledge", "note that a person has seen it"),
    ):
        parser.add_argument(flag, metavar="[MACHINE/]ID", help=doing)
    add_settings(parser, "store.directory")
    parser.add_argument("--config", metavar="FILE", help="YAML config file (default: $EDGE_ASD_CONFIG)")


def run(args: argparse.Namespace) -> int:
    """List, export or mark."""
    from edge_asd.store.reading import Query, Reader, directory_to_read

    config = loaded_config(args).config
    directory = Path(config.store.directory) if config.store.directory else directory_to_read(os.environ)
    if _marked(args, directory):
        return 0
    limit = args.limit or (None if args.since or args.until or args.export else LIMIT)
    query = Query(args.since, args.until, args.machine, args.alarms, limit)
    with Reader(directory) as reader:
        events = reader.events(query)
        if args.machine is not None and not events and args.machine not in config.machines:
            _require_known(args.machine, reader)
        if args.export is not None:
            return _exported(reader, query, args.export)
    for event in events:
        print(json.dumps(event, ensure_ascii=False) if args.json else "\n".join(_lines(event)))
    if not events:
        note(f"nothing happened in that time, says the store in {directory}")
    elif query.limit is not None and len(events) == query.limit and args.limit is None:
        note(f"the last {LIMIT} events; --limit or --since shows more")
    return 0


def moment(text: str) -> float:
    """Unix seconds meant by a span back from now or by a date. Raises argparse.ArgumentTypeError."""
    try:
        return time.time() - duration_s(text)
    except argparse.ArgumentTypeError:
        pass
    try:
        meant = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return meant.timestamp()  # without an offset: local
    except (ValueError, OverflowError, OSError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time; write 1d, 90m, 2026-01-31 or 2026-01-31T12:00Z"
        ) from error


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of events; give 1 or more")
    return int(text)


def _marked(args: argparse.Namespace, directory: Path) -> bool:
    from edge_asd.store.reading import mark_alarm

    wanted = [(flag, name) for flag in ("pin", "unpin", "acknowledge") if (name := getattr(args, flag))]
    if len(wanted) > 1:
        raise UsageError("--pin, --unpin and --acknowledge are given one at a time")
    for flag, name in wanted:
        mark = "acknowledged" if flag == "acknowledge" else "pinned"
        machine, alarm = mark_alarm(directory, name, mark, flag != "unpin")
        note(f"{machine}/{alarm} is {'not pinned any more' if flag == 'unpin' else mark}")
    return bool(wanted)


def _require_known(machine: str, reader: Reader) -> None:
    """Raise UsageError for a machine of which nothing is kept, though something is of others."""
    known = reader.machines()
    if known and machine not in known:
        raise UsageError(f"the store in {reader.directory} knows no machine {machine!r}", remedy=choice(machine, known))


def _exported(reader: Reader, query: Query, target: Path) -> int:
    from edge_asd.store.export import export_events

    result = export_events(reader, query, target)
    note(f"{result.events} events and {result.files} files in {target}")
    return 0


def _lines(event: dict[str, Any]) -> list[str]:
    """An event for a person, times local."""
    who = event["machine"] or "store"
    doubt = " (clock not set)" if "clock" in event else ""
    if event["type"] != "alarm":
        times = f" ({event['times']} times until {_local(event['end'])})" if event["times"] > 1 else ""
        state = f" {event['state']}" if "state" in event else ""
        return [f"{_local(event['start'])}{doubt}  {who}  {event['event']}{state}: {event['message']}{times}"]
    end = f"until {_local(event['end'])}, {event['reason']}" if event["end"] else "still on"
    marks = "".join(f", {mark}" for mark in ("pinned", "acknowledged") if event[mark])
    lines = [
        f"{_local(event['start'])}{doubt}  {who}  ALARM {event['id']}, peak {event['peak']:g} of "
        f"{event['threshold']:g}, {end}{marks}",
        f"    {event['explanation']}",
    ]
    about = event["clip_about"]
    if event["clip"] or event["picture"]:
        lines.append(f"    {', '.join(name for name in (event['clip'], event['picture']) if name)}")
    elif about.get("evicted") or "dropped" in about:
        lines.append("    clip removed to make room" if about.get("evicted") else f"    no clip: {about['dropped']}")
    return lines


def _local(text: str) -> str:
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")

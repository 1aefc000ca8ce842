"""The rows in RESILIENCE.json, the figures beside them, and the table made of both."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from benchmarks.chaos.fault import FAULTS, Outcome
from benchmarks.timing import machine
from edge_asd.atomic import write_atomically
from edge_asd.formats import iso_utc

ROWS, FIGURES, TABLE = "RESILIENCE.json", "resilience_figures.json", "RESILIENCE.md"


def add_outcomes(folder: Path, outcomes: list[Outcome]) -> None:
    """Put rows into RESILIENCE.json: over those of the same fault, in the order of the list; others stay."""
    rows = {row["fault"]: row for row in _read(folder / ROWS, [])}
    rows.update({outcome.fault: outcome.to_dict() for outcome in outcomes})
    ordered = [rows[name] for name in FAULTS if name in rows]
    _write(folder / ROWS, ordered)


def add_figures(folder: Path, name: str, measured: dict[str, Any]) -> None:
    """Put one measurement into the figures."""
    figures = _read(folder / FIGURES, {})
    figures[name] = measured
    _write(folder / FIGURES, figures)


def write_table(folder: Path) -> None:
    """Make RESILIENCE.md of both files."""
    text = table(_read(folder / ROWS, []), _read(folder / FIGURES, {}))
    write_atomically(folder / TABLE, text.encode())


def table(rows: list[dict[str, Any]], figures: dict[str, Any]) -> str:
    """RESILIENCE.md."""
    held = sum(row["held"] for row in rows)
    lost = sum(row["events_lost"] for row in rows)
    recoveries = sorted(row["recovery_s"] for row in rows if row["recovery_s"])
    spread = ""
    if recoveries:
        spread = f", recovery {recoveries[len(recoveries) // 2]:.1f} s (median), {recoveries[-1]:.1f} s at most"
    lines = [
        "# Resilience",
        "",
        "Made by `make chaos` (`make chaos ONLY=fault` repeats one); do not edit. Every fault is injected for real "
        "into a running `edge-asd run --wait`: signals, files, mounts, sockets, a fake ALSA driver under the real "
        "PortAudio, a real mosquitto, a real systemd. Rows: RESILIENCE.json; figures: resilience_figures.json.",
        "",
        f"{machine()}, {iso_utc(time.time())[:10]}. {len(rows)} faults, {held} held, {lost} events lost{spread}.",
        "",
        "Recovery is the time from the end of the fault (or from the new start, where the process was killed) to the "
        "next score; a window of sound is part of it. A dash: nothing was interrupted, or a wrong "
        "setting was refused and there is nothing to recover to. Events lost: alarms told, by whichever way out, that "
        "are not in the store afterwards, or not at the receiver where the fault is one of the receiver. A fault is "
        "held only if, after it, another alarm is raised, told and stored, and the process ends in order; where sound "
        "is opened anew, scores must equal the offline ones digit by digit.",
        "",
        "| fault | area | injected by | what must hold | held | recovery, s | events lost |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        one = FAULTS[row["fault"]]
        recovery = "-" if row["recovery_s"] is None else f"{row['recovery_s']:.1f}"
        held_word = "yes" if row["held"] else "**no**"
        lines.append(
            f"| {one.name} | {one.area} | {one.injected_by} | {one.must_hold} | {held_word} | {recovery} "
            f"| {row['events_lost']} |"
        )
    missed = [row for row in rows if not row["held"]]
    if missed:
        lines += ["", "## Not held", ""]
        lines += [f"- **{row['fault']}**: {' '.join(row.get('why', '').split())}" for row in missed]
    for name, measured in figures.items():
        lines += ["", f"## {measured['title']}", "", f"`make chaos ONLY={name}`. {measured['how']}", ""]
        lines += ["| figure | measured | target |", "|---|---|---|"]
        lines += [f"| {row['figure']} | {row['measured']} | {row['target']} |" for row in measured["rows"]]
    return "\n".join(lines) + "\n"


def _read(path: Path, otherwise: Any) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else otherwise


def _write(path: Path, data: Any) -> None:
    write_atomically(path, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode())

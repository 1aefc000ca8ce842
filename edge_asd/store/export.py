"""Events with their clips as files for elsewhere: events.json, scores.csv, FLAC and PNG."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from edge_asd.atomic import write_atomically
from edge_asd.errors import StorageError
from edge_asd.store.reading import Query, Reader

COLUMNS = ("machine", "time", "windows", "lowest", "mean", "highest", "level_dbfs", "anomalous", "clock", "redated_s")


@dataclass(frozen=True)
class Exported:
    """How many events, and how many clips and pictures."""

    events: int
    files: int


def export_events(reader: Reader, query: Query, target: Path) -> Exported:
    """Copy what `query` finds into the directory `target`, made when it is missing. Names stay as they are in the
    store, so the paths in events.json hold there, too. Raises StorageError."""
    events = reader.events(query)
    files = [event[key] for event in events for key in ("clip", "picture") if event.get(key)]
    copied = 0
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in files:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(reader.directory / name, target / name)
                copied += 1
            except FileNotFoundError:  # evicted while we were copying others
                continue
    except OSError as error:
        raise StorageError(f"cannot export to {target}: {error.strerror}") from error
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(reader.minutes(Query(query.since, query.until, query.machine)))
    write_atomically(target / "scores.csv", table.getvalue().encode())
    write_atomically(target / "events.json", json.dumps(events, indent=1, ensure_ascii=False).encode() + b"\n")
    return Exported(len(events), copied)

"""What the store tells: alarms, what was heard of sources and health, scores by the minute; as plain JSON types."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asd.errors import DataError, MissingInputError, StorageError, UsageError
from edge_asd.formats import iso_utc
from edge_asd.state import SERVICE_DIRECTORY, own_directory, service_directory
from edge_asd.store.schema import BUSY_S, FILE, open_for_reading

MARKS = ("pinned", "acknowledged")


@dataclass(frozen=True)
class Query:
    """Which events.

    since, until: Unix UTC s; an alarm counts when it was on at some time between them. machine: only of this one.
    alarms_only: nothing of the source and of health. limit: the newest so many.
    """

    since: float | None = None
    until: float | None = None
    machine: str | None = None
    alarms_only: bool = False
    limit: int | None = None


class Reader:
    """A store opened for reading, also while a service writes it.

    Raises MissingInputError where there is none, StorageError, DataError.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._connection = open_for_reading(directory / FILE)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()

    def events(self, query: Query) -> list[dict[str, Any]]:
        """Events in order of time."""
        found = [self._alarm(row) for row in self._rows("alarms", "start", 'coalesce("end", 1e99)', query)]
        if not query.alarms_only:
            found += [_heard(row) for row in self._rows("heard", "time", "last", query)]
        found.sort(key=lambda event: str(event["start"]))
        return found[-query.limit :] if query.limit else found

    def machines(self) -> list[str]:
        """Every machine of which something is kept. Raises DataError. Reads all of it."""
        tables = " UNION ".join(f"SELECT machine FROM {table}" for table in ("alarms", "heard", "minutes"))
        return sorted(row["machine"] for row in self._fetched(tables) if row["machine"])

    def minutes(self, query: Query) -> Iterator[dict[str, Any]]:
        """Scores by the minute."""
        for row in self._rows("minutes", "minute", "minute + 60", query):
            yield {
                "machine": row["machine"],
                "time": iso_utc(row["minute"]),
                **{key: row[key] for key in ("windows", "lowest", "mean", "highest", "level_dbfs", "anomalous")},
                **_dating(row),
            }

    def _rows(self, table: str, begin: str, end: str, query: Query) -> list[sqlite3.Row]:
        conditions, values = ["1"], []
        for condition, value in (
            (f"{end} >= ?", query.since),
            (f"{begin} < ?", query.until),
            ("machine = ?", query.machine),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        limit = query.limit or -1
        statement = f"SELECT * FROM {table} WHERE {' AND '.join(conditions)} ORDER BY {begin} DESC, row DESC LIMIT ?"
        return self._fetched(statement, (*values, limit))[::-1]

    def _fetched(self, statement: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        try:
            return self._connection.execute(statement, tuple(values)).fetchall()
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{self.directory / FILE} is damaged: {error}", remedy="the next start of the service sets it aside"
            ) from error

    def _alarm(self, row: sqlite3.Row) -> dict[str, Any]:
        about = json.loads(row["clip_about"]) if row["clip_about"] else {}
        return {
            "type": "alarm",
            "machine": row["machine"],
            "id": row["id"],
            "start": iso_utc(row["start"]),
            "end": None if row["end"] is None else iso_utc(row["end"]),
            "reason": row["reason"],
            "peak": row["peak"],
            "peak_time": iso_utc(row["peak_time"]),
            "threshold": row["threshold"],
            "explanation": row["explanation"],
            "bands": json.loads(row["bands"]),
            "findings": json.loads(row["findings"]),
            "clip": self._file(row["clip"]),
            "picture": self._file(row["picture"]),
            "clip_about": {**about, "evicted": True} if self._evicted(row) else about,
            "pinned": bool(row["pinned"]),
            "acknowledged": bool(row["acknowledged"]),
            **_dating(row),
        }

    def _file(self, name: str | None) -> str | None:
        return name if name and (self.directory / name).exists() else None

    def _evicted(self, row: sqlite3.Row) -> bool:
        return any(row[key] and not (self.directory / row[key]).exists() for key in ("clip", "picture"))


def directory_to_read(environment: Mapping[str, str], service: Path = SERVICE_DIRECTORY) -> Path:
    """Where to look for events: in the service's store where there is a service, else in one's own."""
    named = service_directory(environment)
    # Of a service with a dynamic user it is a link to where only root may look.
    return named or (service if os.path.lexists(service) else own_directory(environment))


def mark_alarm(directory: Path, name: str, mark: str, value: bool) -> tuple[str, str]:
    """Set one of MARKS of an alarm, named ID or MACHINE/ID; give its machine and id.

    Raises UsageError (no such alarm, or several machines have one), MissingInputError, StorageError, DataError.
    """
    assert mark in MARKS
    machine, _, alarm = name.rpartition("/")
    with Reader(directory) as reader:  # refuses what is no store of ours
        found = [e for e in reader.events(Query(alarms_only=True, machine=machine or None)) if e["id"] == alarm]
    if not found:
        raise MissingInputError(f"no alarm {name} in {directory}", remedy="edge-asd events lists them")
    if len(found) > 1:
        choices = ", ".join(f"{event['machine']}/{alarm}" for event in found)
        raise UsageError(f"several machines have an alarm {alarm}", remedy=f"name one of {choices}")
    (event,) = found
    connection = sqlite3.connect(directory / FILE, timeout=BUSY_S)
    try:
        with connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(
                f"UPDATE alarms SET {mark} = ? WHERE machine = ? AND id = ?", (value, event["machine"], alarm)
            )
    except sqlite3.Error as error:
        raise StorageError(f"cannot write {directory / FILE}: {error}", remedy="run it as root (sudo)") from error
    finally:
        connection.close()
    return event["machine"], alarm


def _heard(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "type": row["type"],
        "machine": row["machine"] or None,
        "start": iso_utc(row["time"]),
        "end": iso_utc(row["last"]),
        "event": row["kind"],
        **({"state": row["state"]} if row["state"] else {}),
        **({"source": row["source"]} if row["source"] else {}),
        "message": row["message"],
        "times": row["times"],
        "lost_s": round(row["lost_s"], 4),
        **_dating(row),
    }


def _dating(row: sqlite3.Row) -> dict[str, Any]:
    """What must be known of the times: that the clock was not set then, or by how much they were put right."""
    unset = {} if row["clock_known"] else {"clock": "unset"}
    return {**unset, **({"redated_s": round(row["redated_s"], 3)} if row["redated_s"] else {})}

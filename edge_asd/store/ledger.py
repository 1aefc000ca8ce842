"""What is written into the database, statement by statement. Everything here is safe to be said twice."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from edge_asd import __version__
from edge_asd.errors import UnavailableError
from edge_asd.store.schema import open_for_writing, readable_rows

LOCK = "store.lock"
INTERRUPTED = "interrupted"
"""Reason of the end of an alarm that was on when its run was cut off."""
TRIMMED_SHARE = 10
"""One in so many of the oldest rows goes when the database alone outgrows the quota."""

Row = Mapping[str, Any]

_ALARM = """
INSERT INTO alarms (machine, id, run, time, start, "end", reason, peak, peak_time, threshold, explanation, bands,
    findings, clock_known)
VALUES (:machine, :id, :run, :time, :start, :end, :reason, :peak, :peak_time, :threshold, :explanation, :bands,
    :findings, :clock_known)
ON CONFLICT (machine, id) DO UPDATE SET run = excluded.run, time = excluded.time,
    "end" = coalesce(excluded."end", "end"), reason = excluded.reason, peak = excluded.peak,
    peak_time = excluded.peak_time, threshold = excluded.threshold, explanation = excluded.explanation,
    bands = excluded.bands, findings = excluded.findings
"""
_HEARD = """
INSERT INTO heard (run, number, machine, type, kind, state, source, message, time, last, times, lost_s, clock_known)
VALUES (:run, :number, :machine, :type, :kind, :state, :source, :message, :time, :last, :times, :lost_s, :clock_known)
ON CONFLICT (run, number) DO UPDATE SET message = excluded.message, last = excluded.last, times = excluded.times,
    lost_s = excluded.lost_s
"""
_MINUTE = """
INSERT INTO minutes (run, machine, minute, windows, lowest, mean, highest, level_dbfs, anomalous, clock_known)
VALUES (:run, :machine, :minute, :windows, :lowest, :mean, :highest, :level_dbfs, :anomalous, :clock_known)
"""
_INTERRUPTED = """
UPDATE alarms SET reason = :reason, "end" = max(start, time, peak_time, coalesce((SELECT max(minute) + 60.0
    FROM minutes WHERE minutes.run = alarms.run AND minutes.machine = alarms.machine), 0))
WHERE "end" IS NULL AND run <> :run
"""
_REDATED = (
    'UPDATE alarms SET time = time + :s, start = start + :s, "end" = "end" + :s, peak_time = peak_time + :s,'
    " redated_s = redated_s + :s, clock_known = 1 WHERE run = :run",
    "UPDATE heard SET time = time + :s, last = last + :s, redated_s = redated_s + :s, clock_known = 1 WHERE run = :run",
    "UPDATE minutes SET minute = minute + 60 * cast(round(:s / 60.0) AS INTEGER), redated_s = redated_s + :s,"
    " clock_known = 1 WHERE run = :run",
    "UPDATE runs SET began = began + :s WHERE run = :run",
)


class Ledger:
    """The open database of one run; used by one thread.

    directory: of the store. run: its name, unlike any other run's. began: Unix UTC s. check: see `open_for_writing`.

    Opening makes the directory and the database, begins the run (once) and ends what an earlier run left open. Raises
    OSError, sqlite3.Error, Damaged, DataError, UnavailableError (another process writes this store).
    """

    def __init__(self, directory: Path, file: str, run: str, began: float, *, check: bool) -> None:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        with contextlib.ExitStack() as undone:
            self._lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            undone.callback(os.close, self._lock)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UnavailableError(
                    f"another edge-asd writes the store {directory}", remedy="give this one its own store.directory"
                ) from error
            self._connection = open_for_writing(directory / file, check=check)
            undone.callback(self._connection.close)
            self._run = 0
            self._transaction(lambda: self._begin(run, began))
            undone.pop_all()

    def close(self) -> None:
        """Release the database; the last to close takes the log into it."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        os.close(self._lock)

    def apply(self, entries: Iterable[Callable[[Ledger], None]]) -> None:
        """All of these or, when one raises, none. They are on the card when this returns. Raises sqlite3.Error."""

        def all_of_them() -> None:
            for entry in entries:
                entry(self)

        self._transaction(all_of_them)

    def put_alarm(self, row: Row) -> None:
        """An alarm's start, or its end."""
        self._connection.execute(_ALARM, {**row, "run": self._run})

    def put_heard(self, row: Row) -> None:
        """An event of the source or of the microphone's health; again with the same number: how it went on."""
        self._connection.execute(_HEARD, {**row, "run": self._run})

    def put_minute(self, row: Row) -> None:
        """Scores of a minute."""
        self._connection.execute(_MINUTE, {**row, "run": self._run})

    def put_clip(self, machine: str, alarm: str, clip: str | None, picture: str | None, about: str) -> None:
        """Where an alarm's sound and picture lie, and what is to be said about them (JSON)."""
        self._connection.execute(
            "UPDATE alarms SET clip = ?, picture = ?, clip_about = ? WHERE machine = ? AND id = ?",
            (clip, picture, about, machine, alarm),
        )

    def redate(self, step_s: float) -> None:
        """Add `step_s` to every time of this run so far, and say so in every row."""
        for statement in _REDATED:
            self._connection.execute(statement, {"s": step_s, "run": self._run})

    def rescue(self, damaged: Path) -> int:
        """Take over the alarms that can still be read in a damaged database; give how many.

        They belong to no run of this one: dates stay as they are, and one that is still on is closed at the next start.
        """
        taken = 0
        for row in readable_rows(damaged, "alarms"):
            names = [name for name in row if name not in ("row", "run")]
            fields = ", ".join(f'"{name}"' for name in names)
            values = ", ".join(f":{name}" for name in names)
            statement = f"INSERT OR IGNORE INTO alarms (run, {fields}) VALUES (0, {values})"
            with contextlib.suppress(sqlite3.IntegrityError, sqlite3.OperationalError):  # damage that reads as a row
                taken += self._connection.execute(statement, row).rowcount
        return taken

    def end_run(self, time: float) -> None:
        """The run ends in order."""
        self._connection.execute("UPDATE runs SET ended = ? WHERE run = ?", (time, self._run))

    def pinned(self) -> set[str]:
        """Files that must not be evicted, as they stand in `clip` and `picture`."""
        rows = self._connection.execute("SELECT clip, picture FROM alarms WHERE pinned")
        return {name for row in rows for name in row if name}

    def clipless(self) -> list[tuple[str, str]]:
        """Machine and id of the alarms without a clip and without a word why."""
        query = "SELECT machine, id FROM alarms WHERE clip IS NULL AND clip_about IS NULL"
        return [(machine, alarm) for machine, alarm in self._connection.execute(query)]

    def trim(self) -> int:
        """Delete some of the oldest minutes; with none left, of the oldest unpinned events. Give the rows deleted."""
        gone = 0

        def delete() -> None:
            nonlocal gone
            gone = self._oldest("minutes") or self._oldest("heard") + self._oldest("alarms", "WHERE NOT pinned")

        self._transaction(delete)
        self._connection.execute("PRAGMA incremental_vacuum").fetchall()
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return gone

    def _oldest(self, table: str, which: str = "") -> int:
        (rows,) = self._connection.execute(f"SELECT count(*) FROM {table} {which}").fetchone()
        few = max(min(rows, 100), rows // TRIMMED_SHARE)
        self._connection.execute(
            f"DELETE FROM {table} WHERE row IN (SELECT row FROM {table} {which} ORDER BY row LIMIT ?)", (few,)
        )
        return few

    def _begin(self, run: str, began: float) -> None:
        known = self._connection.execute("SELECT run FROM runs WHERE name = ?", (run,)).fetchone()
        if known:
            (self._run,) = known
            return
        cursor = self._connection.execute(
            "INSERT INTO runs (name, began, version) VALUES (?, ?, ?)", (run, began, __version__)
        )
        self._run = cursor.lastrowid or 0
        self._connection.execute(_INTERRUPTED, {"reason": INTERRUPTED, "run": self._run})

    def _transaction(self, work: Callable[[], None]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            work()
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

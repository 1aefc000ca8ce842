"""The database file: made, opened, checked, set aside when it is damaged.

SQLite in WAL mode: a commit appends to the log and syncs it once, readers do not wait for the writer, and a process
killed or a power cut at any moment leaves every finished commit and nothing of an unfinished one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_asd.errors import DataError, MissingInputError, StorageError

FILE = "events.db"
APPLICATION_ID = 0x45415344
"""The letters EASD: what `file` and we tell our databases by."""
VERSION = 1
PAGE_BYTES = 1024
"""A commit of a few minutes' scores changes one page. With its header a page of 4096 bytes would touch two blocks of
the file system, one of 1024 mostly touches one: benchmarks/store.py --pages."""
LOG_BYTES = 1 << 20
"""The log is taken into the database at this length. A page rewritten every ten minutes reaches the database only then:
a longer log is fewer bytes on the card, but more of them to go through after a power cut."""
BUSY_S = 10.0
"""Waits for whoever else writes (`edge-asd events --pin`)."""

TABLES = """
CREATE TABLE runs (
    run INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, began REAL NOT NULL, ended REAL, version TEXT NOT NULL
);
CREATE TABLE alarms (
    row INTEGER PRIMARY KEY, machine TEXT NOT NULL, id TEXT NOT NULL, run INTEGER NOT NULL,
    time REAL NOT NULL, start REAL NOT NULL, "end" REAL, reason TEXT NOT NULL,
    peak REAL NOT NULL, peak_time REAL NOT NULL, threshold REAL NOT NULL,
    explanation TEXT NOT NULL, bands TEXT NOT NULL, findings TEXT NOT NULL,
    clip TEXT, picture TEXT, clip_about TEXT,
    acknowledged INTEGER NOT NULL DEFAULT 0, pinned INTEGER NOT NULL DEFAULT 0,
    clock_known INTEGER NOT NULL, redated_s REAL NOT NULL DEFAULT 0,
    UNIQUE (machine, id)
);
CREATE TABLE heard (
    row INTEGER PRIMARY KEY, run INTEGER NOT NULL, number INTEGER NOT NULL, machine TEXT NOT NULL, type TEXT NOT NULL,
    kind TEXT NOT NULL, state TEXT, source TEXT, message TEXT NOT NULL,
    time REAL NOT NULL, last REAL NOT NULL, times INTEGER NOT NULL, lost_s REAL NOT NULL,
    clock_known INTEGER NOT NULL, redated_s REAL NOT NULL DEFAULT 0,
    UNIQUE (run, number)
);
CREATE TABLE minutes (
    row INTEGER PRIMARY KEY, run INTEGER NOT NULL, machine TEXT NOT NULL, minute INTEGER NOT NULL,
    windows INTEGER NOT NULL, lowest REAL NOT NULL, mean REAL NOT NULL, highest REAL NOT NULL,
    level_dbfs REAL NOT NULL, anomalous REAL NOT NULL,
    clock_known INTEGER NOT NULL, redated_s REAL NOT NULL DEFAULT 0
);
"""
"""Times are Unix UTC s, as well as known; `redated_s` is what was added to them once the clock was set. `clip` and
`picture` are relative to the database; `clip_about` is JSON. `minute` is the Unix time of its beginning, `anomalous`
the share of its windows above the threshold."""


class Damaged(StorageError):
    """The database cannot be read any more: its file was overwritten, cut, or its card lies."""


def open_for_writing(path: Path, *, check: bool) -> sqlite3.Connection:
    """The database at `path`, made when it is missing. Commits are on the card when they return.

    check: read all of it and see that it is sound.

    Raises Damaged, DataError (made by a newer edge-asd, or by another program), sqlite3.Error (full, read-only).
    """
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, path, check)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise Damaged(f"{path}: {error}") if is_damage(error) else error from error
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, check: bool) -> None:
    fresh = _one(connection, "PRAGMA schema_version") == 0
    if fresh:
        # Before the first page is written; later they would be ignored.
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    else:
        _refuse_others(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_BYTES // PAGE_BYTES}")
    connection.execute(f"PRAGMA journal_size_limit = {2 * LOG_BYTES}")
    connection.execute("PRAGMA cache_size = -512")
    if fresh:
        marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"
        try:
            connection.executescript(f"BEGIN IMMEDIATE; {TABLES} {marks} COMMIT;")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        _sync_directory(path.parent)
    elif check:
        found = _one(connection, "PRAGMA quick_check(1)")
        if found != "ok":
            raise Damaged(f"{path}: {found}")


def _refuse_others(connection: sqlite3.Connection, path: Path) -> None:
    if _one(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise DataError(f"{path} is a database of another program", remedy="choose another store.directory")
    version = int(_one(connection, "PRAGMA user_version"))
    if version > VERSION:
        raise DataError(
            f"{path} was made by a newer edge-asd (schema {version}, this one knows {VERSION})",
            remedy="upgrade edge-asd, or choose another store.directory",
        )


def open_for_reading(path: Path) -> sqlite3.Connection:
    """The database at `path`, to be read while a service may be writing it.

    Raises MissingInputError where there is none, StorageError, DataError (another program's, newer, or damaged).
    """
    try:
        if not path.exists():
            raise MissingInputError(
                f"no events are kept in {path.parent}",
                remedy="name the directory with --store DIR; a service keeps them, a run by hand with --store DIR does",
            )
    except PermissionError as error:
        raise StorageError(f"{path}: {error.strerror}", remedy="run it as root (sudo)") from error
    for mode in ("mode=ro", "immutable=1"):  # a read-only card cannot take the shared memory that WAL needs
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, timeout=BUSY_S)
        connection.row_factory = sqlite3.Row
        try:
            _refuse_others(connection, path)
            connection.execute("SELECT count(*) FROM runs").fetchone()
        except sqlite3.OperationalError as error:
            connection.close()
            if mode == "immutable=1" or not _is_refusal(error):
                raise StorageError(f"cannot read {path}: {error}", remedy="run it as root (sudo)") from error
        except sqlite3.DatabaseError as error:
            connection.close()
            remedy = "the next start of the service sets it aside and begins a new one"
            raise DataError(f"{path} is damaged: {error}", remedy=remedy) from error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise AssertionError("unreachable")


def set_aside(path: Path, stamp: str) -> Path:
    """Rename a damaged database and its log, out of the way of a new one; give its new name. Raises OSError."""
    aside = path.with_name(f"{path.stem}-damaged-{stamp}{path.suffix}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    _sync_directory(path.parent)
    return aside


def readable_rows(path: Path, table: str) -> Iterator[dict[str, Any]]:
    """What can still be read of a table of a damaged database: from its beginning, and from its end, to the damage."""
    for order in ("ASC", "DESC"):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        try:
            for row in connection.execute(f"SELECT * FROM {table} ORDER BY row {order}"):
                yield dict(row)
            return
        except sqlite3.DatabaseError:
            continue
        finally:
            connection.close()


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, not the card it lies on."""
    words = str(error)
    return "malformed" in words or "not a database" in words


def _is_refusal(error: sqlite3.OperationalError) -> bool:
    return any(words in str(error) for words in ("unable to open", "readonly", "disk I/O"))


def _one(connection: sqlite3.Connection, query: str) -> int | str:
    row = connection.execute(query).fetchone()
    return row[0] if row else 0


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

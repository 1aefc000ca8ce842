"""A queue on the card: what was put is there after a power cut, until its receiver has it. Bounded, in order.

SQLite in WAL mode: each put is synced (events are few), taking something off is not: after a power cut the last
messages may be sent once more, which their ids make harmless. No index and no counter beside the table: each would be
one more page of the card to be written with every message. Source: sqlite.org/wal.html, sqlite.org/pragma.html.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_asd.errors import StorageError, UnavailableError
from edge_asd.outputs.message import Message

OVERHEAD_BYTES = 64
"""Of a message besides its body: id, row, index."""
CHECKPOINT_PAGES = 256
"""The log beside the database grows to 1 MiB before it is folded in: fewer writes than at every message."""

_TABLES = """
CREATE TABLE IF NOT EXISTS messages (number INTEGER PRIMARY KEY, id TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS dropped (one INTEGER PRIMARY KEY CHECK (one = 1), messages INTEGER NOT NULL);
INSERT OR IGNORE INTO dropped VALUES (1, 0);
"""


@dataclass(frozen=True)
class Waiting:
    """A message in the queue. number: its place."""

    number: int
    message: Message


class DiskQueue:
    """One receiver's queue; may be used from several threads, by one process at a time.

    path: of the database; its directory is made. None: in memory, where there is no card that takes it.
    limit_bytes: beyond it the oldest messages are dropped and counted.

    Opening raises StorageError, UnavailableError (another process has it). A file that is damaged is put aside, and a
    new one begun: `damaged` then says where it went.
    """

    def __init__(self, path: Path | None, limit_bytes: int) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self.damaged: Path | None = None
        self._connection = _opened(":memory:") if path is None else self._opened_file(path)
        rows = self._connection.execute("SELECT count(*), coalesce(sum(length(body)), 0) FROM messages").fetchone()
        self._count, self._bytes = int(rows[0]), int(rows[1])
        self._dropped = int(self._connection.execute("SELECT messages FROM dropped").fetchone()[0])

    def __len__(self) -> int:
        return self._count

    @property
    def is_kept(self) -> bool:
        """Whether it is on the card."""
        return self._path is not None

    @property
    def dropped(self) -> int:
        """Messages dropped for want of room and not yet told to the receiver."""
        return self._dropped

    def put(self, messages: list[Message]) -> int:
        """Put messages at the end, on the card when this returns; give how many old ones had to go.

        Raises StorageError; then none was put.
        """
        with self._lock, self._changing("FULL"):
            rows = [(message.id, message.body) for message in messages]
            self._connection.executemany("INSERT INTO messages (id, body) VALUES (?, ?)", rows)
            added, added_bytes = len(rows), sum(len(body) for _, body in rows)
            dropped, dropped_bytes = self._make_room(added, added_bytes)
            if dropped:
                self._connection.execute("UPDATE dropped SET messages = messages + ?", (dropped,))
            # Counted by whoever reads only once all of it is certain: nothing below can fail but the commit itself.
            self._connection.execute("COMMIT")
            self._count += added - dropped
            self._bytes += added_bytes - dropped_bytes
            self._dropped += dropped
        return dropped

    def first(self) -> Waiting | None:
        """The oldest message, which stays. Raises StorageError."""
        with self._lock, self._reading():
            row = self._connection.execute("SELECT number, id, body FROM messages ORDER BY number LIMIT 1").fetchone()
        return None if row is None else Waiting(int(row[0]), Message(str(row[1]), str(row[2])))

    def done(self, waiting: Waiting) -> None:
        """Take a message off: its receiver has it, or never will. Raises StorageError; it then stays."""
        with self._lock, self._changing("NORMAL"):
            # It may have been dropped meanwhile, and its number taken by another.
            named = (waiting.number, waiting.message.id)
            gone = self._connection.execute("DELETE FROM messages WHERE number = ? AND id = ?", named).rowcount
            self._connection.execute("COMMIT")
            self._count -= gone
            self._bytes -= gone * len(waiting.message.body)

    def told(self, dropped: int) -> None:
        """The receiver knows that so many were dropped. Raises StorageError."""
        with self._lock, self._changing("NORMAL"):
            self._connection.execute("UPDATE dropped SET messages = messages - ?", (dropped,))
            self._connection.execute("COMMIT")
            self._dropped -= dropped

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            self._connection.close()

    def _make_room(self, added: int, added_bytes: int) -> tuple[int, int]:
        """Drop the oldest until the rest fits; give their number and bytes."""
        dropped = dropped_bytes = 0
        while True:
            count, size = self._count + added - dropped, self._bytes + added_bytes - dropped_bytes
            if size + OVERHEAD_BYTES * count <= self._limit_bytes or count == 0:
                return dropped, dropped_bytes
            number, length = self._connection.execute(
                "SELECT number, length(body) FROM messages ORDER BY number LIMIT 1"
            ).fetchone()
            self._connection.execute("DELETE FROM messages WHERE number = ?", (number,))
            dropped, dropped_bytes = dropped + 1, dropped_bytes + length

    def _opened_file(self, path: Path) -> sqlite3.Connection:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.open("ab"):  # says what SQLite would only call "unable to open"
                pass
            path.chmod(0o600)
        except OSError as error:
            raise StorageError(
                f"{path}: cannot write the queue: {error.strerror}", remedy="set queue.directory"
            ) from error
        try:
            return _opened(str(path))
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise UnavailableError(
                    f"another edge-asd uses the queue {path}", remedy="give this one its own queue.directory"
                ) from error
            raise StorageError(f"{path}: cannot open the queue: {error}", remedy="set queue.directory") from error
        except sqlite3.DatabaseError:
            self.damaged = path.with_name(path.name + ".damaged")
            _put_aside(path, self.damaged)
            return _opened(str(path))

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(f"{self._path}: {error}") from error

    @contextlib.contextmanager
    def _changing(self, synchronous: str) -> Iterator[None]:
        """A transaction that the body commits; undone when it fails."""
        try:
            self._connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._connection.execute("BEGIN IMMEDIATE")
            yield
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise StorageError(f"{self._path}: {error}") from error


def _opened(name: str) -> sqlite3.Connection:
    # Transactions are begun by hand: the module's own would begin one too late for the pragma.
    connection = sqlite3.connect(name, timeout=0.5, isolation_level=None, check_same_thread=False)
    try:
        # Exclusive: two processes would send everything twice; and it saves the shared-memory file.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("quick_check")
    except BaseException:
        connection.close()
        raise
    return connection


def _put_aside(path: Path, name: Path) -> None:
    with contextlib.suppress(OSError):
        path.replace(name)
    for beside in ("-wal", "-shm"):
        with contextlib.suppress(OSError):
            path.with_name(path.name + beside).unlink()

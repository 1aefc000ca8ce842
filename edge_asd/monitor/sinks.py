"""Where records go: anything with `write` and `close`. Here, JSON lines to a stream and to a file."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TextIO

from edge_asd.errors import StorageError
from edge_asd.monitor.records import Record, ScoreRecord

SCORES_PER_WRITE = 60
"""Score records gathered before they are written to a file: about a minute at the usual step."""


class Sink(Protocol):
    """Takes the records of a live run, in order."""

    def write(self, record: Record) -> None:
        """Take one record."""

    def close(self) -> None:
        """No more records follow; safe to call twice."""


@contextlib.contextmanager
def closed_at_end(sinks: Sequence[Sink]) -> Iterator[None]:
    """Close every sink, also when one of them fails to."""
    with contextlib.ExitStack() as closing:
        for sink in sinks:
            closing.callback(sink.close)
        yield


def json_line(record: Record) -> str:
    """The record as one line of strict JSON, newline included."""
    return json.dumps(record.to_dict(), allow_nan=False, ensure_ascii=False, separators=(", ", ": ")) + "\n"


class JsonLines:
    """JSON lines to an open stream, each flushed, for a program that reads along. The stream stays the caller's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, record: Record) -> None:
        self._stream.write(json_line(record))
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


class JsonLinesFile:
    """JSON lines appended to a file, sparing the card: scores are gathered, all else is written at once.

    path: the file; made when missing.
    warn: told, once per outage, that the file cannot be written.

    Opening raises StorageError. Later failures (a full card) lose records but never the run: each further record
    tries again.
    """

    def __init__(self, path: Path, *, warn: Callable[[str], None]) -> None:
        self._path = path
        self._warn = warn
        self._gathered: list[str] = []
        self._lost = 0
        try:
            with path.open("a", encoding="utf-8"):
                pass
        except OSError as error:
            raise StorageError(
                f"cannot write {path}: {error.strerror}", remedy="choose another output.file or free the path"
            ) from error

    def write(self, record: Record) -> None:
        self._gathered.append(json_line(record))
        if not isinstance(record, ScoreRecord) or len(self._gathered) >= SCORES_PER_WRITE:
            self._put()

    def close(self) -> None:
        self._put()

    def _put(self) -> None:
        if not self._gathered:
            return
        try:
            _append_whole(self._path, "".join(self._gathered).encode())
        except OSError as error:
            if not self._lost:
                self._warn(f"cannot write {self._path}: {error.strerror}; the run goes on, records for it are dropped")
            self._lost += len(self._gathered)
        else:
            if self._lost:
                self._warn(f"writing {self._path} again; {self._lost} records are missing from it")
            self._lost = 0
        self._gathered.clear()


def _append_whole(path: Path, data: bytes) -> None:
    """Append all of `data` or, when the disk refuses part of it, nothing: a reader never meets half a line."""
    rest = memoryview(data)
    with path.open("ab", buffering=0) as file:  # a buffer would write the rest again on closing
        before = file.seek(0, os.SEEK_END)
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(path, before)
            raise

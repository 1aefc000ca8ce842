"""Lines for a service's journal: what happens, but not the score of every second, which would wear out a card."""

from __future__ import annotations

from typing import TextIO

from edge_asd.formats import iso_utc
from edge_asd.monitor.meter import alarm_line, clock_line, health_line, summary_line
from edge_asd.monitor.records import (
    AlarmRecord,
    ClockRecord,
    HealthRecord,
    Record,
    ScoreRecord,
    SourceRecord,
    SummaryRecord,
)


class Journal:
    """A sink of one line an event.

    stream: stays the caller's. What a source repeats word by word (it tries again every 30 s) is said once.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._said: dict[str, str] = {}

    def write(self, record: Record) -> None:
        """Take one record."""
        if isinstance(record, ScoreRecord):
            return
        line = _line(record)
        if isinstance(record, SourceRecord):
            if self._said.get(record.machine) == line:
                return
            self._said[record.machine] = line
        self._stream.write(f"{record.machine}: {line}\n")
        self._stream.flush()

    def close(self) -> None:
        """Everything is written already."""
        self._stream.flush()


def _line(record: Record) -> str:
    if isinstance(record, AlarmRecord):
        return alarm_line(record, iso_utc)
    if isinstance(record, SummaryRecord):
        return summary_line(record, iso_utc)
    if isinstance(record, SourceRecord):
        return f"{record.source} {record.event}: {record.message}"
    if isinstance(record, HealthRecord):
        return health_line(record)
    if isinstance(record, ClockRecord):
        return clock_line(record, iso_utc)
    return ""

"""From records to rows: alarms, scores by the minute, and what is heard of the source, repeats counted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_asd.formats import digits
from edge_asd.monitor.records import AlarmRecord, ScoreRecord

MINUTE_S = 60
_FIGURES = re.compile(r"\d+(\.\d+)?")
REPEAT_S = 600.0
"""The same thing heard again within this is counted on the row it has, not written as another one: a loose plug or
an endless run of lost samples says the same thousands of times a day."""


def alarm_row(record: AlarmRecord) -> dict[str, Any]:
    """An alarm's start or end."""
    event, explanation = record.event, record.explanation
    return {
        "machine": record.machine,
        "id": event.id,
        "time": event.time,
        "start": event.start,
        "end": event.end,
        "reason": event.reason,
        "peak": digits(event.peak),
        "peak_time": event.peak_time,
        "threshold": digits(event.threshold),
        "explanation": explanation.text,
        "bands": _json([band.to_dict() for band in explanation.bands]),
        "findings": _json([finding.to_dict() for finding in explanation.findings]),
        "clock_known": record.clock_known,
    }


class Minute:
    """The scores of one machine in one minute, as they come."""

    def __init__(self, record: ScoreRecord) -> None:
        self.minute = minute_of(record.time)
        self._machine = record.machine
        self._clock_known = record.clock_known
        self._scores: list[float] = []
        self._level_sum = 0.0
        self._anomalous = 0
        self.add(record)

    def add(self, record: ScoreRecord) -> None:
        """One more score of the same minute."""
        self._scores.append(float(record.score))
        self._level_sum += float(record.level_dbfs)
        self._anomalous += bool(record.anomalous)

    def row(self) -> dict[str, Any]:
        """What they come to."""
        n = len(self._scores)
        return {
            "machine": self._machine,
            "minute": self.minute,
            "windows": n,
            "lowest": digits(min(self._scores)),
            "mean": digits(sum(self._scores) / n),
            "highest": digits(max(self._scores)),
            "level_dbfs": round(self._level_sum / n, 1),
            "anomalous": round(self._anomalous / n, 3),
            "clock_known": self._clock_known,
        }


def minute_of(time: float) -> int:
    """Beginning of the minute that `time` lies in, both Unix s."""
    return int(time // MINUTE_S) * MINUTE_S


@dataclass(frozen=True)
class Heard:
    """Something the source or the microphone's health says.

    type: "source" or "health". kind: one word. state: of a health event, "start" or "end". time: Unix UTC s.
    """

    machine: str
    type: str
    kind: str
    state: str | None
    source: str | None
    message: str
    time: float
    lost_s: float
    clock_known: bool

    def row(self, number: int) -> dict[str, Any]:
        """A row of its own."""
        return {**vars(self), "number": number, "last": self.time, "times": 1}


class Repeats:
    """Knows what was heard lately, so that the same again is counted and not written anew.

    number: gives each row of this run its own.
    """

    def __init__(self, number: Callable[[], int]) -> None:
        self._number = number
        self._rows: dict[tuple[str, str, str, str | None, str], dict[str, Any]] = {}
        self._changed: dict[int, dict[str, Any]] = {}

    def take(self, heard: Heard) -> dict[str, Any] | None:
        """The row of something new, to be written at once; None when it only repeats (see `changed`)."""
        words = _FIGURES.sub("", heard.message)  # "next attempt in 4 s" repeats "next attempt in 2 s"
        key = (heard.machine, heard.type, heard.kind, heard.state, words)
        row = self._rows.get(key)
        if row is not None and heard.time - row["last"] <= REPEAT_S:
            row.update(last=heard.time, times=row["times"] + 1, message=heard.message)
            row["lost_s"] += heard.lost_s
            self._changed[row["number"]] = row
            return None
        row = heard.row(self._number())
        self._rows = {known: old for known, old in self._rows.items() if heard.time - old["last"] <= REPEAT_S}
        self._rows[key] = row
        return dict(row)

    def changed(self) -> list[dict[str, Any]]:
        """Rows with repeats not yet written, which from now on they are."""
        rows = [dict(row) for row in self._changed.values()]
        self._changed.clear()
        return rows

    def forget(self) -> None:
        """What is heard from now on is new: the times of before are about to change."""
        self._rows.clear()
        self._changed.clear()


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))

"""What a machine's entities show now, in words for MQTT: the last score and level, alarm, health."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field

from edge_asd.formats import digits
from edge_asd.monitor.records import AlarmRecord, HealthRecord, Record, ScoreRecord, SourceRecord, SummaryRecord
from edge_asd.outputs.topics import OFF, ON, STATE_CHARACTERS

AWAY = ("waiting", "lost", "failed")
"""Events of a source after which no sound comes; they are the machine's health then."""
STARTING, OK, ENDED = "starting", "ok", "ended"


@dataclass
class _Machine:
    score: float | None = None
    level_dbfs: float = 0.0
    away: str = STARTING
    problems: set[str] = field(default_factory=set)
    shown: dict[str, str] = field(default_factory=dict)


class States:
    """Filled by the listening threads, read by the one that sends; nobody waits.

    machines: their names.
    """

    def __init__(self, machines: list[str]) -> None:
        self._machines = {name: _Machine() for name in machines}
        self._changed: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        for name, machine in self._machines.items():
            self._show(name, machine, "health", STARTING)

    @property
    def machines(self) -> list[str]:
        """Their names."""
        return list(self._machines)

    def write(self, record: Record) -> bool:
        """Take one record; whether there is something new for the broker to keep."""
        with self._lock:
            name = record.machine
            machine = self._machines.setdefault(name, _Machine())
            if isinstance(record, ScoreRecord):
                machine.score, machine.level_dbfs, machine.away = record.score, record.level_dbfs, ""
                self._show(name, machine, "alarm", ON if record.alarm else OFF)
            elif isinstance(record, AlarmRecord):
                self._show(name, machine, "alarm", ON if record.event.state == "start" else OFF)
                content = record.to_dict()
                words = {key: content[key] for key in ("id", "start", "end", "peak", "peak_time", "explanation")}
                self._show(name, machine, "alarm_details", json.dumps(words, allow_nan=False))
            elif isinstance(record, SourceRecord) and record.event in AWAY:
                machine.away, machine.score = record.event, None
            elif isinstance(record, SummaryRecord):
                machine.away, machine.score = ENDED, None
            elif isinstance(record, HealthRecord):
                change = machine.problems.add if record.state == "start" else machine.problems.discard
                change(record.kind)
            health = machine.away or ", ".join(sorted(machine.problems)) or OK
            self._show(name, machine, "health", health[:STATE_CHARACTERS])
            return bool(self._changed)

    def all(self) -> dict[tuple[str, str], str]:
        """Everything that is kept by the broker: (machine, what) -> text."""
        with self._lock:
            self._changed.clear()
            return {(name, what): text for name, m in self._machines.items() for what, text in m.shown.items()}

    def changed(self) -> dict[tuple[str, str], str]:
        """Of that, what is new since the last call of either."""
        with self._lock:
            changed, self._changed = self._changed, {}
            return changed

    def figures(self) -> dict[tuple[str, str], str]:
        """Score and level of each machine scored since the last call."""
        with self._lock:
            figures = {}
            for name, machine in self._machines.items():
                if machine.score is not None:
                    figures[name, "score"] = f"{digits(machine.score):g}"
                    figures[name, "level"] = f"{machine.level_dbfs:.1f}"
                    machine.score = None
            return figures

    def _show(self, name: str, machine: _Machine, what: str, text: str) -> None:
        if machine.shown.get(what) != text:
            machine.shown[what] = text
            self._changed[name, what] = text

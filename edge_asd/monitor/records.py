"""What a live run says, as records: one per score, alarm, source event and run. Times are UTC, ISO-8601 with `Z`.

Every record names the machine it is about: one process may watch several. A record made before the board knew the time
says so ("clock": "unset"); the ClockRecord that follows once it does says by how much such times were wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from edge_asd.formats import digits, iso_utc

if TYPE_CHECKING:
    from edge_asd.detector import WindowScore
    from edge_asd.explain import Explanation
    from edge_asd.monitor.alarm import AlarmEvent


@dataclass(frozen=True)
class ScoreRecord:
    """One window's result.

    machine: its name.
    time: the window's end, Unix UTC s.
    score: smoothed, 0 to 100; higher is more anomalous, always.
    window_score: of this window alone.
    threshold: the score is anomalous when above it; 50 for every machine and scorer (`edge_asd.calibration.scale`).
    level_dbfs: loudness of the window, dB re full scale.
    alarm: id of the alarm that is on, or None.
    """

    machine: str
    time: float
    score: float
    window_score: float
    threshold: float
    anomalous: bool
    level_dbfs: float
    alarm: str | None
    clock_known: bool = True

    @classmethod
    def of(cls, machine: str, score: WindowScore, alarm: str | None) -> ScoreRecord:
        """The record of `score`, given the alarm that is on after it."""
        return cls(
            machine=machine,
            time=score.time,
            score=score.score,
            window_score=score.window_score,
            threshold=score.threshold,
            anomalous=score.anomalous,
            level_dbfs=score.level_dbfs,
            alarm=alarm,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "type": "score",
            **_about(self),
            "time": iso_utc(self.time),
            "score": digits(self.score),
            "window_score": digits(self.window_score),
            "threshold": digits(self.threshold),
            "anomalous": bool(self.anomalous),
            "level_dbfs": round(float(self.level_dbfs), 2),
            "alarm": self.alarm,
        }


@dataclass(frozen=True)
class AlarmRecord:
    """An alarm's start or end, with what changed in the sound.

    machine: its name.
    event: state, times and peak.
    explanation: what changed against the nearest normal sound, in words, bands and findings.
    """

    machine: str
    event: AlarmEvent
    explanation: Explanation
    clock_known: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `end` is null while the alarm lasts."""
        event = self.event
        return {
            "type": "alarm",
            **_about(self),
            "state": event.state,
            "id": event.id,
            "time": iso_utc(event.time),
            "start": iso_utc(event.start),
            "end": None if event.end is None else iso_utc(event.end),
            "reason": event.reason,
            "peak": digits(event.peak),
            "peak_time": iso_utc(event.peak_time),
            "threshold": digits(event.threshold),
            "explanation": self.explanation.text,
            "bands": [band.to_dict() for band in self.explanation.bands],
            "findings": [finding.to_dict() for finding in self.explanation.findings],
        }


@dataclass(frozen=True)
class SourceRecord:
    """Something happened to the sound itself: opened, lost, found again, samples missing, ended.

    machine: its name.
    time: Unix UTC s.
    source: its name.
    event: one word a program can test.
    message: the same for a person, one line.
    lost_s: seconds of sound missing, 0 when none.
    """

    machine: str
    time: float
    source: str
    event: str
    message: str
    lost_s: float = 0.0
    clock_known: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "type": "source",
            **_about(self),
            "time": iso_utc(self.time),
            "source": self.source,
            "event": self.event,
            "message": self.message,
            "lost_s": round(self.lost_s, 4),
        }


@dataclass
class SummaryRecord:
    """What a run came to; counted up while it runs.

    machine: its name.
    time: when it ended, Unix UTC s.
    reason: "ended" (the sound did), "duration" (as asked), "stopped" (by a signal) or "failed".
    sound_s: seconds of sound heard; lost_s: seconds known to be missing; gaps: times sound was lost.
    windows, anomalous, alarms: how many.
    peak, peak_time: highest score and its window's end, None without a window.
    """

    machine: str
    time: float = 0.0
    reason: str = "ended"
    sound_s: float = 0.0
    lost_s: float = 0.0
    gaps: int = 0
    windows: int = 0
    anomalous: int = 0
    alarms: int = 0
    peak: float | None = field(default=None)
    peak_time: float | None = field(default=None)
    clock_known: bool = True

    def count(self, score: WindowScore) -> None:
        """Take one more window into account."""
        self.windows += 1
        self.anomalous += bool(score.anomalous)
        if self.peak is None or score.score > self.peak:
            self.peak, self.peak_time = score.score, score.time

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "type": "summary",
            **_about(self),
            "time": iso_utc(self.time),
            "reason": self.reason,
            "sound_s": round(self.sound_s, 3),
            "lost_s": round(self.lost_s, 3),
            "gaps": self.gaps,
            "windows": self.windows,
            "anomalous": self.anomalous,
            "alarms": self.alarms,
            "peak": None if self.peak is None else digits(self.peak),
            "peak_time": None if self.peak_time is None else iso_utc(self.peak_time),
        }


@dataclass(frozen=True)
class HealthRecord:
    """Something is wrong with what is heard, or well again.

    time: Unix UTC s. kind: one word a program can test. state: "start" or "end". message: for a person, one line.
    """

    machine: str
    time: float
    kind: str
    state: str
    message: str
    clock_known: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "type": "health",
            **_about(self),
            "time": iso_utc(self.time),
            "kind": self.kind,
            "state": self.state,
            "message": self.message,
        }


@dataclass(frozen=True)
class ClockRecord:
    """The system's clock was set, or stepped: times in the records before this one are wrong by `step_s`.

    time: now, Unix UTC s, right. step_s: to be added to the times of this run's earlier records.
    since: the run's first time, Unix UTC s, as it was given then: what is older belongs to another run.
    """

    machine: str
    time: float
    step_s: float
    since: float
    clock_known: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "type": "clock",
            **_about(self),
            "time": iso_utc(self.time),
            "step_s": round(self.step_s, 3),
            "since": iso_utc(self.since),
        }


Record: TypeAlias = ScoreRecord | AlarmRecord | SourceRecord | SummaryRecord | HealthRecord | ClockRecord


def _about(record: Record) -> dict[str, Any]:
    return {"machine": record.machine, **({} if record.clock_known else {"clock": "unset"})}

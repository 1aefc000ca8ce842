"""The sink that keeps what happened: sorts records into what must be on the card at once and what can wait."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_asd.formats import iso_utc
from edge_asd.monitor.alarm import alarm_id
from edge_asd.monitor.records import AlarmRecord, HealthRecord, Record, ScoreRecord, SourceRecord, SummaryRecord
from edge_asd.store.backlog import EVENTS, MINUTES, Backlog, Entry
from edge_asd.store.clipfiles import ClipJob, picture_bytes
from edge_asd.store.ledger import Ledger, Row
from edge_asd.store.quota import Limits
from edge_asd.store.ring import Clip, ClipRing
from edge_asd.store.rows import Heard, Minute, Repeats, alarm_row, minute_of
from edge_asd.store.writer import Writer

if TYPE_CHECKING:
    from edge_asd.contract import LogMelSpec
    from edge_asd.monitor.alarm import AlarmEvent
    from edge_asd.monitor.clock import RunClock
    from edge_asd.monitor.live import Tap

BATCH_S = 540.0
"""Minute scores are gathered this long before they are written, so that with the minute under way at most ten are
lost in a power cut."""


@dataclass(frozen=True)
class ClipSettings:
    """Which clips are kept.

    sound: as FLAC; False: no audio is ever stored. pictures: spectrograms, as PNG.
    before_s: pre-roll before an alarm's start. after_s: post-roll after it was raised.
    """

    sound: bool = True
    pictures: bool = True
    before_s: float = 10.0
    after_s: float = 20.0


class EventStore:
    """Keeps alarms, source and health events, scores per minute and clips in `directory`.

    limits, clips: see there. clock: the run's. warn: told what goes wrong with the card, for the journal.
    stored: called with machine, id and state ("start", "end") of an alarm once that is on the card.

    Alarms and events are committed as soon as the writing thread gets to it, minutes in batches of `BATCH_S`. `write`
    and the taps never wait for the card, and raise nothing for its sake: what cannot be written waits in memory, a
    bounded number of records, and is said.
    """

    def __init__(
        self,
        directory: Path,
        *,
        limits: Limits,
        clips: ClipSettings,
        clock: RunClock,
        warn: Callable[[str], None],
        stored: Callable[[str, str, str], None] = lambda machine, alarm, state: None,
    ) -> None:
        self._clips = clips
        self._stored = stored
        self._number = functools.partial(next, itertools.count(1))
        self._repeats = Repeats(self._number)
        self._minutes: dict[str, Minute] = {}
        self._batch: tuple[float, float] | None = None
        self._rings: dict[str, tuple[ClipRing, LogMelSpec]] = {}
        self._clock = clock
        self._steps, self._stepped_s, self._step_s = clock.steps, clock.stepped_s, 0.0
        self._backlog = Backlog()
        began = clock()
        self._writer = Writer(
            directory,
            self._backlog,
            limits,
            run=f"{alarm_id(began)}{clock.mark}-{os.getpid()}",
            began=began,
            clock=clock,
            warn=warn,
            told=self._own_trouble,
        )

    def taps(self, machine: str, spec: LogMelSpec) -> list[Tap]:
        """What must hear the sound of `machine`, heard through the front end `spec`; nothing where no clip is kept."""
        if not (self._clips.sound or self._clips.pictures):
            return []
        ring = ClipRing(spec.rate_hz, before_s=self._clips.before_s, after_s=self._clips.after_s)
        self._rings[machine] = (ring, spec)
        return [ring]

    def disk(self) -> dict[str, Any] | None:
        """Bytes used and free, and what is wrong with the store ("fault", None for nothing); never waits."""
        return self._writer.disk()

    @property
    def unstored(self) -> int:
        """Events that are lost because the card did not take them; complete once the store is closed."""
        return self._writer.unstored

    def write(self, record: Record) -> None:
        """Take one record."""
        self._follow_clock()
        if isinstance(record, ScoreRecord):
            self._count(record)
        elif isinstance(record, AlarmRecord):
            self._alarm(record)
        elif isinstance(record, SummaryRecord):
            self._hear(record, "source", "ended", None, None, f"the run ended: {record.reason}")
            self._end_of(record.machine)
        elif isinstance(record, SourceRecord):
            self._hear(record, "source", record.event, None, record.source, record.message, record.lost_s)
        elif isinstance(record, HealthRecord):
            self._hear(record, "health", record.kind, record.state, None, record.message)
        self._flush_when_due(record.time if isinstance(record, ScoreRecord | SourceRecord | HealthRecord) else None)

    def settle(self, timeout_s: float = 30.0) -> bool:
        """Have all that waits written now, and wait for it. False when the card did not take it in time."""
        self._backlog.wake()
        return self._backlog.keep_up(timeout_s)

    def keep_up(self, timeout_s: float = 30.0) -> bool:
        """Wait for what is due, and for nothing else: for sound that is read faster than it was made."""
        return self._backlog.keep_up(timeout_s)

    def close(self) -> None:
        """Write what waits and end the writing thread; safe to call twice."""
        for machine in list(self._rings):
            self._rings[machine][0].finish()
        for minute in self._minutes.values():
            self._put_minute(minute)
        self._minutes.clear()
        self._flush()
        self._writer.close()

    def _count(self, record: ScoreRecord) -> None:
        record = self._dated(record)
        minute = self._minutes.get(record.machine)
        if minute is not None and minute.minute == minute_of(record.time):
            minute.add(record)
            return
        if minute is not None:
            self._put_minute(minute)
        self._minutes[record.machine] = Minute(record)

    def _alarm(self, record: AlarmRecord) -> None:
        machine, event = record.machine, record.event
        stored = functools.partial(self._stored, machine, event.id, event.state)
        of = f"alarm {machine}/{event.id}"
        self._put(EVENTS, Ledger.put_alarm, alarm_row(record), urgent=True, stored=stored, event=of)
        if event.state != "start" or machine not in self._rings:
            return
        ring, spec = self._rings[machine]
        start, raised = _places(event, ring, spec.rate_hz)
        title = f"{machine}  {iso_utc(event.start)}  {record.explanation.text}"
        findings = record.explanation.findings

        def draw(clip: Clip) -> bytes:
            return picture_bytes(clip, spec, title, findings)

        def keep(clip: Clip) -> None:
            drawing = draw if self._clips.pictures else None
            self._backlog.add_clip(ClipJob(machine, event.id, clip, self._clips.sound, drawing))

        ring.want(start, raised, keep)

    def _hear(
        self,
        record: Any,
        kind_of_record: str,
        kind: str,
        state: str | None,
        source: str | None,
        message: str,
        lost_s: float = 0.0,
    ) -> None:
        heard = Heard(
            record.machine, kind_of_record, kind, state, source, message, record.time, lost_s, record.clock_known
        )
        row = self._repeats.take(heard)
        if row is not None:
            self._put(EVENTS, Ledger.put_heard, row, urgent=True, event=_heard(row))
        else:
            self._begin_batch(record.time)

    def _follow_clock(self) -> None:
        """The one clock of all machines was set: all that was dated by it so far is dated anew.

        Each machine tells of the step in a ClockRecord, sooner or later; here it is one step, of the clock itself.
        """
        if self._clock.steps == self._steps:
            return
        self._step_s = self._clock.stepped_s - self._stepped_s
        self._steps, self._stepped_s = self._clock.steps, self._clock.stepped_s
        for minute in self._minutes.values():
            self._put_minute(minute)
        self._minutes.clear()
        self._flush()
        self._repeats.forget()
        self._put(EVENTS, lambda ledger, row: ledger.redate(row["step_s"]), {"step_s": self._step_s}, urgent=True)

    def _dated(self, record: ScoreRecord) -> ScoreRecord:
        """A window that was in hand when the clock was set still has its old date."""
        now = self._clock()
        if self._step_s and abs(record.time + self._step_s - now) < abs(record.time - now):
            return dataclasses.replace(record, time=record.time + self._step_s)
        return record

    def _own_trouble(self, at: float, message: str) -> None:
        """On the writing thread: the store's own troubles belong into the store."""
        heard = Heard("", "health", "store", None, None, message, at, 0.0, True)
        row = heard.row(self._number())
        self._put(EVENTS, Ledger.put_heard, row, urgent=True, event=_heard(row))

    def _end_of(self, machine: str) -> None:
        if machine in self._rings:
            self._rings[machine][0].finish()
        minute = self._minutes.pop(machine, None)
        if minute is not None:
            self._put_minute(minute)
        self._flush()

    def _begin_batch(self, time_s: float) -> None:
        if self._batch is None:
            self._batch = (time.monotonic(), time_s)

    def _flush_when_due(self, time_s: float | None) -> None:
        """Sound read faster than it was made fills a batch sooner than the clock does."""
        if self._batch is None:
            return
        since_s, sound_s = self._batch
        old = time.monotonic() - since_s >= BATCH_S or (time_s is not None and time_s - sound_s >= BATCH_S)
        if old:
            self._flush()

    def _flush(self) -> None:
        """Have what only waits for its batch written now."""
        for row in self._repeats.changed():
            self._put(EVENTS, Ledger.put_heard, row, urgent=False, event=_heard(row))
        self._batch = None
        self._backlog.wake()

    def _put_minute(self, minute: Minute) -> None:
        self._begin_batch(float(minute.minute))
        self._put(MINUTES, Ledger.put_minute, minute.row(), urgent=False)

    def _put(
        self,
        kind: str,
        how: Callable[[Ledger, Row], None],
        row: Row,
        *,
        urgent: bool,
        stored: Callable[[], None] = lambda: None,
        event: str = "",
    ) -> None:
        self._backlog.add(Entry(kind, lambda ledger: how(ledger, row), stored, event), urgent=urgent)


def _heard(row: Row) -> str:
    return f"heard {row['number']}"


def _places(event: AlarmEvent, ring: ClipRing, rate_hz: int) -> tuple[int, int]:
    """Where in the stream an alarm starts and where it became known, from the windows that it comes with."""

    def place(time_s: float) -> int:
        nearest = min(event.evidence, key=lambda window: abs(window.time - time_s))
        return nearest.end_position + round((time_s - nearest.time) * rate_hz)

    if not event.evidence:
        raised = ring.position
        return raised - round((event.time - event.start) * rate_hz), raised
    return place(event.start), place(event.time)

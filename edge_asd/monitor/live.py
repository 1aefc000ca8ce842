"""The live loop: blocks from a source through detector and alarm to the sinks, each a call forward, none back."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from edge_asd.errors import EdgeAsdError
from edge_asd.monitor.alarm import AlarmEvent, AlarmTracker
from edge_asd.monitor.clock import RunClock
from edge_asd.monitor.records import AlarmRecord, ClockRecord, Record, ScoreRecord, SourceRecord, SummaryRecord
from edge_asd.monitor.sinks import Sink

if TYPE_CHECKING:
    from edge_asd.audio.block import AudioBlock, AudioSource
    from edge_asd.detector import WindowScore
    from edge_asd.enrolment.adaptation import Adapter
    from edge_asd.explain import Explanation
    from edge_asd.monitor.health import Health
    from edge_asd.monitor.shift import ShiftWatch


class Scorer(Protocol):
    """What the loop needs of a detector."""

    def push(self, block: AudioBlock) -> Iterable[WindowScore]:
        """Take a block; give the windows it completes."""

    def explain(self, scores: Sequence[WindowScore]) -> Explanation:
        """What changed in these windows against the nearest normal sound."""


class Tap(Protocol):
    """Hears the sound itself, beside the detector: for clips and for the health of the microphone."""

    def hear(self, block: AudioBlock) -> None:
        """Take the next block; must not wait for anything."""


class LiveRun:
    """One machine's run over one source.

    machine: its name, in every record.
    source, detector, alarm, sinks: the stages, in order; the caller closes the sinks.
    taps: hear every block before it is scored. health: judges the sound itself. shift: tells a shifted baseline.
    adapter: lets the bank follow slow drift.
    duration_s: end after this much sound, counted in samples heard; None: when the source ends.
    stop: set from a signal or another thread to end after the block in hand.
    clock: of the run; the source dates its sound by the same one.
    """

    def __init__(
        self,
        machine: str,
        source: AudioSource,
        detector: Scorer,
        alarm: AlarmTracker,
        sinks: Sequence[Sink],
        *,
        taps: Sequence[Tap] = (),
        health: Health | None = None,
        shift: ShiftWatch | None = None,
        adapter: Adapter | None = None,
        duration_s: float | None = None,
        stop: threading.Event | None = None,
        clock: RunClock,
    ) -> None:
        self._machine = machine
        self._taps = taps
        self._health = health
        self._shift = shift
        self._adapter = adapter
        self._source = source
        self._detector = detector
        self._alarm = alarm
        self._sinks = sinks
        self._samples_wanted = None if duration_s is None else max(1, round(duration_s * source.rate_hz))
        self._stop = stop or threading.Event()
        self._clock = clock
        self._began = clock()
        self._clock_steps, self._stepped_s = clock.steps, clock.stepped_s
        self._summary = SummaryRecord(machine)
        self._samples = 0
        self._last_time = 0.0
        self._loss_told = False

    def report(self, event: str, message: str, lost_s: float = 0.0, at: float | None = None) -> None:
        """Tell the sinks about the source: for what no block carries, and why sound was lost.

        at: Unix UTC s, None: now.
        """
        self._loss_told = self._loss_told or lost_s > 0
        before_s = self._clock.stepped_s
        self._follow_clock()  # nothing is scored while a microphone is waited for
        time = self._clock() if at is None else at + self._clock.stepped_s - before_s
        self._write(SourceRecord(self._machine, time, self._source.name, event, message, lost_s))

    def microphone(self, found: str, enrolled: str | None, *, found_hz: int = 0, enrolled_hz: int = 0) -> None:
        """A microphone was opened; see `Health.microphone`."""
        if self._health is None:
            return
        for record in self._health.microphone(
            found, enrolled, self._clock(), found_hz=found_hz, enrolled_hz=enrolled_hz
        ):
            self._write(record)

    def run(self) -> SummaryRecord:
        """Until the source ends, `duration_s` is over or `stop` is set. The summary is also the last record written.

        Errors of the source pass through, after the alarm that is on and the summary of what was heard until then.
        """
        try:
            self._loop()
        except EdgeAsdError:
            self._summary.reason = "failed"
            if self._samples:
                self._finish()
            raise
        finally:
            self._source.close()
        self._finish()
        return self._summary

    def _loop(self) -> None:
        for block in self._source.blocks():
            if self._stop.is_set():
                break
            self._take(block)
            if self._samples_wanted is not None and self._samples >= self._samples_wanted:
                self._summary.reason = "duration"
                return
        if self._stop.is_set():
            self._summary.reason = "stopped"

    def _take(self, block: AudioBlock) -> None:
        if block.gap_samples:
            lost_s = block.gap_samples / self._source.rate_hz
            self._summary.gaps += 1
            self._summary.lost_s += lost_s
            if not self._loss_told:
                message = f"{lost_s:.3f} s of sound were lost; windows start afresh"
                self.report("gap", message, lost_s, block.captured_at)
            self._loss_told = False
        self._samples += block.samples.size
        block = self._within_limit(block)
        for tap in self._taps:
            tap.hear(block)
        for record in self._health.judge(block) if self._health else ():
            self._write(record)
        for score in self._detector.push(block):
            self._summary.count(score)
            self._last_time = score.time
            self._follow_clock()
            event = self._alarm.update(score)
            self._write(ScoreRecord.of(self._machine, score, self._alarm.active_id))
            if event is not None:
                self._tell(event)
            for record in self._shift.judge(score, self._alarm.active_id) if self._shift else ():
                self._write(record)
            if self._adapter is not None:
                shifted = self._shift is not None and self._shift.on
                self._adapter.observe(score, disturbed=shifted or self._alarm.active_id is not None)

    def _within_limit(self, block: AudioBlock) -> AudioBlock:
        """The block, cut where `duration_s` ends."""
        if self._samples_wanted is None or self._samples <= self._samples_wanted:
            return block
        kept = block.samples.size - (self._samples - self._samples_wanted)
        self._samples = self._samples_wanted
        return dataclasses.replace(block, samples=block.samples[:kept])

    def _tell(self, event: AlarmEvent) -> None:
        if event.state == "start":
            self._summary.alarms += 1
        explanation = self._detector.explain(event.evidence)
        self._write(AlarmRecord(self._machine, event, self._shift.told(explanation) if self._shift else explanation))

    def _follow_clock(self) -> None:
        """Date anew once the system's clock was set. The window in hand still has its old date: a second's matter."""
        self._clock.poll()
        if self._clock.steps == self._clock_steps:
            return
        step_s = self._clock.stepped_s - self._stepped_s
        self._clock_steps, self._stepped_s = self._clock.steps, self._clock.stepped_s
        self._alarm.redate(step_s)
        self._write(ClockRecord(self._machine, self._clock(), step_s, self._began))
        self._began += step_s

    def _finish(self) -> None:
        event = self._alarm.finish()
        if event is not None:
            self._tell(event)
        # Sound that is not played at its own pace is dated ahead of the clock; the summary still comes last.
        self._summary.time = max(self._clock(), self._last_time)
        self._summary.sound_s = self._samples / self._source.rate_hz
        self._write(self._summary)

    def _write(self, record: Record) -> None:
        if not self._clock.known:
            record = dataclasses.replace(record, clock_known=False)
        for sink in self._sinks:
            sink.write(record)


@contextlib.contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Within it, the first SIGINT or SIGTERM sets `stop`; a second one ends the program as it would without us."""

    def handle(number: int, frame: object) -> None:
        stop.set()
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

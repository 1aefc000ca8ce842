"""The live loop with a fake source and clock; the real detector where scores matter, a scripted one elsewhere."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from edge_asd.audio.block import AudioBlock
from edge_asd.bundle.bundle import Bundle
from edge_asd.detector import WindowScore
from edge_asd.errors import DataError
from edge_asd.explain import Explanation
from edge_asd.formats import iso_utc
from edge_asd.monitor.alarm import AlarmSettings, AlarmTracker
from edge_asd.monitor.clock import RunClock
from edge_asd.monitor.live import LiveRun, stop_on_signals
from edge_asd.monitor.records import AlarmRecord, ClockRecord, Record, ScoreRecord, SourceRecord, SummaryRecord

RATE_HZ = 16000
BEGAN = 1_767_268_800.0


class FakeSource:
    """Gives prepared blocks; remembers that it was closed."""

    name = "fake"
    rate_hz = RATE_HZ

    def __init__(self, blocks: Sequence[AudioBlock], fails_with: Exception | None = None) -> None:
        self._blocks = blocks
        self._fails_with = fails_with
        self.given = 0
        self.closed = False

    def blocks(self) -> Iterator[AudioBlock]:
        for block in self._blocks:
            self.given += 1
            yield block
        if self._fails_with is not None:
            raise self._fails_with

    def close(self) -> None:
        self.closed = True


class ScriptedDetector:
    """One window a block, of the score prepared for it; threshold 1."""

    def __init__(self, scores: Sequence[float]) -> None:
        self._scores = list(scores)
        self.heard: list[AudioBlock] = []
        self.explained: list[Sequence[WindowScore]] = []

    def push(self, block: AudioBlock) -> list[WindowScore]:
        self.heard.append(block)
        score = self._scores[len(self.heard) - 1]
        end = block.position + block.samples.size
        time = block.captured_at + block.samples.size / RATE_HZ
        spectrum = np.zeros(4, np.float32)
        return [WindowScore(block.position, end, time, score, score, 1.0, score > 1.0, -30.0, spectrum, 0)]

    def explain(self, scores: Sequence[WindowScore]) -> Explanation:
        self.explained.append(scores)
        return Explanation("something rose", ())


class Kept:
    """A sink that keeps records."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def write(self, record: Record) -> None:
        self.records.append(record)

    def close(self) -> None:
        pass


def second_blocks(n: int, *, gap_before: int | None = None, gap_samples: int = 0) -> list[AudioBlock]:
    """`n` blocks of one second; before number `gap_before` some samples are missing."""
    blocks, position = [], 0
    for i in range(n):
        gap = gap_samples if i == gap_before else 0
        position += gap
        blocks.append(AudioBlock(np.zeros(RATE_HZ, np.float32), position, BEGAN + position / RATE_HZ, gap))
        position += RATE_HZ
    return blocks


def live(source: FakeSource, detector: object, kept: Kept, **options: object) -> LiveRun:
    alarm = AlarmTracker(AlarmSettings(confirm_s=1.0, release_s=1.0, cooldown_s=0.0), rate_hz=RATE_HZ)
    options.setdefault("clock", RunClock(wall=lambda: BEGAN + 999.0, monotonic=lambda: 0.0, is_set=lambda: True))
    return LiveRun("fan", source, detector, alarm, [kept], **options)  # type: ignore[arg-type]


class Listening:
    """A tap that counts samples."""

    def __init__(self) -> None:
        self.samples = 0

    def hear(self, block: AudioBlock) -> None:
        self.samples += block.samples.size


def kinds(kept: Kept) -> list[str]:
    return [str(record.to_dict()["type"]) for record in kept.records]


def test_scores_alarms_and_a_summary_come_in_order() -> None:
    kept, detector = Kept(), ScriptedDetector([0.5, 2.0, 3.0, 0.5, 0.5])
    source = FakeSource(second_blocks(5))
    summary = live(source, detector, kept).run()
    assert kinds(kept) == ["score", "score", "score", "alarm", "score", "score", "alarm", "summary"]
    start, end = (r for r in kept.records if isinstance(r, AlarmRecord))
    assert (start.event.start, start.event.time) == (BEGAN + 2, BEGAN + 3)
    assert (end.event.end, end.event.time, end.event.reason) == (BEGAN + 4, BEGAN + 5, "released")
    on = start.event.id
    assert [r.alarm for r in kept.records if isinstance(r, ScoreRecord)] == [None, None, on, on, None]
    assert [len(windows) for windows in detector.explained] == [2, 2]
    assert kept.records[-1] is summary
    assert (summary.reason, summary.sound_s, summary.windows, summary.alarms) == ("ended", 5.0, 5, 1)
    assert summary.time == BEGAN + 999.0
    assert source.closed


def test_the_duration_is_counted_in_samples_of_sound() -> None:
    kept, detector = Kept(), ScriptedDetector([0.5] * 9)
    source = FakeSource(second_blocks(9, gap_before=1, gap_samples=50 * RATE_HZ))
    summary = live(source, detector, kept, duration_s=2.5).run()
    assert [block.samples.size for block in detector.heard] == [RATE_HZ, RATE_HZ, RATE_HZ // 2]
    assert (summary.reason, summary.sound_s) == ("duration", 2.5)
    assert source.given == 3


def test_a_gap_is_reported_and_counted() -> None:
    kept = Kept()
    summary = live(FakeSource(second_blocks(3, gap_before=2, gap_samples=800)), ScriptedDetector([0.5] * 3), kept).run()
    (event,) = (r for r in kept.records if isinstance(r, SourceRecord))
    assert (event.event, event.source, event.lost_s) == ("gap", "fake", 0.05)
    assert kinds(kept) == ["score", "score", "source", "score", "summary"]
    assert (summary.gaps, summary.lost_s, summary.sound_s) == (1, 0.05, 3.0)


def test_a_loss_the_source_explained_is_told_once() -> None:
    kept = Kept()
    run = live(FakeSource(second_blocks(3, gap_before=0, gap_samples=800)), ScriptedDetector([0.5] * 3), kept)
    run.report("overrun", "the program was too slow", 0.05, BEGAN)
    summary = run.run()
    assert [r.event for r in kept.records if isinstance(r, SourceRecord)] == ["overrun"]
    assert (summary.gaps, summary.lost_s) == (1, 0.05)


def test_stop_ends_the_run_and_the_alarm() -> None:
    kept, stop = Kept(), threading.Event()

    class StoppingDetector(ScriptedDetector):
        def push(self, block: AudioBlock) -> list[WindowScore]:
            if len(self.heard) == 2:
                stop.set()
            return super().push(block)

    summary = live(FakeSource(second_blocks(9)), StoppingDetector([2.0] * 9), kept, stop=stop).run()
    assert kinds(kept) == ["score", "score", "alarm", "score", "alarm", "summary"]
    assert summary.reason == "stopped"
    last_alarm = kept.records[-2]
    assert isinstance(last_alarm, AlarmRecord)
    assert last_alarm.event.reason == "stopped"


def test_an_error_of_the_source_passes_after_what_was_heard_is_summed_up() -> None:
    kept = Kept()
    source = FakeSource(second_blocks(2), DataError("broken off"))
    with pytest.raises(DataError, match="broken off"):
        live(source, ScriptedDetector([0.5, 0.5]), kept).run()
    last = kept.records[-1]
    assert isinstance(last, SummaryRecord)
    assert (last.reason, last.windows) == ("failed", 2)
    assert source.closed


def test_a_source_that_fails_before_any_sound_leaves_no_summary() -> None:
    kept = Kept()
    with pytest.raises(DataError):
        live(FakeSource([], DataError("no such device")), ScriptedDetector([]), kept).run()
    assert kept.records == []


def test_the_real_detector_alarms_on_a_tone_and_names_its_band(tiny_bundle: Bundle, steady_sound) -> None:
    sound = np.concatenate([steady_sound(10.0, seed=1), steady_sound(10.0, seed=2, tone_hz=3000.0, tone_amplitude=0.3)])
    pieces = np.array_split(sound, 77)
    positions = np.cumsum([0, *(piece.size for piece in pieces[:-1])])
    blocks = [AudioBlock(p, int(at), BEGAN + at / RATE_HZ) for p, at in zip(pieces, positions, strict=True)]
    kept = Kept()
    summary = live(FakeSource(blocks), tiny_bundle.detector(smoothing_s=1.0), kept).run()
    assert summary.alarms == 1
    first = next(r for r in kept.records if isinstance(r, AlarmRecord))
    assert first.event.start >= BEGAN + 10.0
    assert any(b.from_hz < 3000 < b.to_hz and b.change_db > 3 for b in first.explanation.bands)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_set_stop_and_their_handlers_come_back(number: int) -> None:
    stop, before = threading.Event(), signal.getsignal(number)
    with stop_on_signals(stop):
        os.kill(os.getpid(), number)
        assert stop.is_set()
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_does_not_wait() -> None:
    stop = threading.Event()
    with pytest.raises(KeyboardInterrupt), stop_on_signals(stop):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_a_tap_hears_every_block_and_nothing_beyond_the_duration() -> None:
    tap = Listening()
    live(FakeSource(second_blocks(5)), ScriptedDetector([0.5] * 5), Kept(), taps=[tap]).run()
    assert tap.samples == 5 * RATE_HZ
    short = Listening()
    live(FakeSource(second_blocks(5)), ScriptedDetector([0.5] * 5), Kept(), taps=[short], duration_s=2.5).run()
    assert short.samples == round(2.5 * RATE_HZ)


def test_every_record_names_its_machine() -> None:
    kept = Kept()
    run = live(FakeSource(second_blocks(5)), ScriptedDetector([0.5, 2.0, 3.0, 0.5, 0.5]), kept)
    run.report("opened", "sound came")
    run.run()
    assert {record.to_dict()["machine"] for record in kept.records} == {"fan"}


def test_a_clock_set_in_the_middle_of_an_alarm_moves_its_start_and_is_told_once() -> None:
    now = {"wall": 500.0, "set": False}
    clock = RunClock(wall=lambda: now["wall"], monotonic=lambda: 0.0, is_set=lambda: bool(now["set"]))

    class SetLater(FakeSource):
        def blocks(self) -> Iterator[AudioBlock]:
            for i, block in enumerate(super().blocks()):
                if i == 4:
                    now.update(wall=500.0 + 86400.0, set=True)
                yield block

    kept = Kept()
    live(
        SetLater(second_blocks(8)), ScriptedDetector([0.5, 2.0, 3.0, 3.0, 3.0, 0.5, 0.5, 0.5]), kept, clock=clock
    ).run()
    (told,) = (record for record in kept.records if isinstance(record, ClockRecord))
    assert (told.step_s, told.since) == (86400.0, 500.0)
    start, end = (record for record in kept.records if isinstance(record, AlarmRecord))
    assert start.to_dict()["clock"] == "unset"
    assert "clock" not in end.to_dict()
    assert end.event.start == start.event.start + 86400.0
    assert end.event.id == start.event.id


def test_a_clock_set_while_a_microphone_is_waited_for_is_told_without_a_score() -> None:
    now = {"wall": 500.0, "set": False}
    clock = RunClock(wall=lambda: now["wall"], monotonic=lambda: 0.0, is_set=lambda: bool(now["set"]))
    kept = Kept()
    run = live(FakeSource([]), ScriptedDetector([]), kept, clock=clock)
    run.report("waiting", "not there", at=clock())
    now.update(wall=500.0 + 86400.0, set=True)
    run.report("waiting", "not there", at=clock())
    first, told, second = (record.to_dict() for record in kept.records)
    assert first["clock"] == "unset"
    assert (told["type"], told["step_s"]) == ("clock", 86400.0)
    assert second["time"] == iso_utc(500.0 + 86400.0) and "clock" not in second

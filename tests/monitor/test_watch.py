"""Several machines at once: what fails in one does not stop the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from edge_asd.errors import DataError, EdgeAsdError
from edge_asd.monitor.records import Record, ScoreRecord, SourceRecord, SummaryRecord
from edge_asd.monitor.watch import Together, watch


class Kept:
    """A sink that keeps records, and notices when two threads write at once."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.inside = self.worst = 0

    def write(self, record: Record) -> None:
        self.inside += 1
        self.worst = max(self.worst, self.inside)
        self.records.append(record)
        self.inside -= 1

    def close(self) -> None:
        pass


class Run:
    """A run that scores, and ends or fails."""

    def __init__(self, name: str, sink: Any, n_scores: int, failure: EdgeAsdError | None = None) -> None:
        self.name, self.sink, self.n_scores, self.failure = name, sink, n_scores, failure

    def run(self) -> SummaryRecord:
        for i in range(self.n_scores):
            self.sink.write(ScoreRecord(self.name, float(i), 1.0, 1.0, 50.0, False, -30.0, None))
        if self.failure:
            raise self.failure
        return SummaryRecord(self.name, windows=self.n_scores)


def watched(runs: dict[str, Callable[[], Any]], sink: Any, **options: Any) -> dict[str, Any]:
    options.setdefault("stop", threading.Event())
    return watch(runs, sink, clock=lambda: 0.0, **options)


def test_all_run_at_once_and_sinks_see_one_record_at_a_time() -> None:
    kept = Kept()
    together = Together([kept])
    meeting = threading.Barrier(3, timeout=20)

    def make(name: str) -> Callable[[], Run]:
        def made() -> Run:
            meeting.wait()  # passes only when all three are being started at the same time
            return Run(name, together, 500)

        return made

    ends = watched({name: make(name) for name in ("fan", "pump", "valve")}, together)
    assert {name: end.windows for name, end in ends.items()} == {"fan": 500, "pump": 500, "valve": 500}
    assert len(kept.records) == 1500
    assert kept.worst == 1


def test_one_that_fails_is_told_with_its_reason_and_the_others_finish() -> None:
    kept = Kept()
    together = Together([kept])
    ends = watched(
        {"fan": lambda: Run("fan", together, 2, DataError("broken")), "pump": lambda: Run("pump", together, 5)},
        together,
    )
    assert isinstance(ends["fan"], DataError)
    assert ends["pump"].windows == 5
    told = [record for record in kept.records if isinstance(record, SourceRecord | SummaryRecord)]
    assert [(r.machine, r.to_dict()["type"]) for r in told] == [("fan", "source"), ("fan", "summary")]


def test_as_a_service_it_is_started_again_until_it_works() -> None:
    kept = Kept()
    together = Together([kept])
    attempts = []

    def make() -> Run:
        attempts.append(1)
        if len(attempts) < 4:
            raise DataError("no bundle yet")
        return Run("fan", together, 1)

    ends = watched({"fan": make}, together, retry_s=0.001)
    assert ends["fan"].windows == 1
    waiting = [record for record in kept.records if isinstance(record, SourceRecord)]
    assert [record.event for record in waiting] == ["waiting"] * 3


def test_stopping_ends_the_waiting() -> None:
    stop = threading.Event()

    def make() -> Run:
        stop.set()
        raise DataError("never")

    ends = watched({"fan": make}, Together([Kept()]), retry_s=3600.0, stop=stop)
    assert isinstance(ends["fan"], DataError)


def test_a_fault_of_edge_asd_itself_is_not_swallowed() -> None:
    def make() -> Run:
        raise ZeroDivisionError("bug")

    with pytest.raises(ZeroDivisionError):
        watched({"fan": make}, Together([Kept()]))

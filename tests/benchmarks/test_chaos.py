"""The chaos harness: a handful of its faults for real, and what it makes of those that are not survived."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.chaos import faults, report
from benchmarks.chaos.fault import FAULTS, Fault, NotHeld, NotPossible, Outcome
from benchmarks.chaos.room import Room, make_room
from benchmarks.chaos.trial import Trial, tried

QUICK = ("kill-9-mid-alarm", "webhook-down", "config-unknown-key")
ROW = ["fault", "injected_by", "held", "recovery_s", "events_lost"]

pytestmark = pytest.mark.xdist_group("chaos")
faults.load()


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return make_room(tmp_path_factory.mktemp("chaos") / "room")


def test_some_faults_are_survived(room: Room, tmp_path: Path) -> None:
    with ThreadPoolExecutor(len(QUICK)) as pool:
        outcomes = list(pool.map(lambda name: tried(FAULTS[name], room, tmp_path / name, 0), QUICK))
    assert [(outcome.held, outcome.events_lost) for outcome in outcomes] == [(True, 0)] * len(QUICK), outcomes


def outcome_of(inject, tmp_path: Path) -> Outcome:  # type: ignore[no-untyped-def]
    one = Fault("made-up", "process", "nothing", "everything", inject)
    return tried(one, Room(tmp_path), tmp_path / "trial", 0)


def test_what_was_not_survived_is_written_as_such(tmp_path: Path) -> None:
    def deaf(trial: Trial) -> None:
        trial.recovery_s = 1.5
        trial.events_lost = 2
        trial.must(False, "it stayed deaf")

    assert outcome_of(deaf, tmp_path) == Outcome("made-up", "nothing", False, 1.5, 2, "it stayed deaf")


def test_a_harness_that_fails_is_no_survived_fault(tmp_path: Path) -> None:
    def broken(trial: Trial) -> None:
        raise KeyError("oops")

    outcome = outcome_of(broken, tmp_path)
    assert not outcome.held
    assert "the harness failed" in outcome.why and "oops" in outcome.why


def test_what_cannot_be_tried_here_gives_no_row(tmp_path: Path) -> None:
    def impossible(trial: Trial) -> None:
        raise NotPossible("no root")

    with pytest.raises(NotPossible):
        outcome_of(impossible, tmp_path)


def test_a_lost_alarm_is_counted(room: Room, tmp_path: Path) -> None:
    from edge_asd.monitor.clock import RunClock
    from edge_asd.store.quota import Limits
    from edge_asd.store.sink import ClipSettings, EventStore

    limits = Limits(quota_bytes=1_000_000, reserve_bytes=1)
    EventStore(tmp_path / "store", limits=limits, clips=ClipSettings(), clock=RunClock(), warn=print).close()
    trial = Trial(room, tmp_path / "trial", random.Random(0))
    with pytest.raises(NotHeld, match="told and not stored"):
        trial.count_lost({("fan", "20260101T000000-000Z", "start")}, tmp_path / "store")
    assert trial.events_lost == 1
    with pytest.raises(NotHeld, match="nothing was tried"):
        trial.count_lost(set(), tmp_path / "store")


def test_one_fault_repeated_replaces_its_row_only(tmp_path: Path) -> None:
    first, second = list(FAULTS)[:2]
    report.add_outcomes(tmp_path, [Outcome(second, "by", True, 1.0, 0), Outcome(first, "by", False, None, 1, "why")])
    report.add_outcomes(tmp_path, [Outcome(first, "by", True, 2.0, 0)])
    rows = json.loads((tmp_path / report.ROWS).read_text())
    assert [(row["fault"], row["held"], row["recovery_s"]) for row in rows] == [(first, True, 2.0), (second, True, 1.0)]
    assert [list(row) for row in rows] == [ROW, ROW]
    report.add_outcomes(tmp_path, [Outcome(second, "by", False, None, 3, "it stayed deaf")])
    report.write_table(tmp_path)
    table = (tmp_path / report.TABLE).read_text()
    assert "2 faults, 1 held, 3 events lost" in table
    assert "it stayed deaf" in table


def test_the_rows_in_the_repository_are_of_the_faults_there_are() -> None:
    rows = json.loads((Path(report.__file__).parents[1] / report.ROWS).read_text())
    assert len(rows) >= 40
    assert {row["fault"] for row in rows} <= set(FAULTS)
    assert all(list(row)[:5] == ROW for row in rows)

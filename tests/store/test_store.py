"""What is kept, when, and how it is found again after the power went."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.records import NOON, STEP_S, alarm_at, score_at
from edge_asd.errors import DataError, MissingInputError
from edge_asd.formats import iso_utc
from edge_asd.monitor.clock import RunClock
from edge_asd.monitor.records import ClockRecord, HealthRecord, SourceRecord, SummaryRecord
from edge_asd.store import writer
from edge_asd.store.ledger import Ledger
from edge_asd.store.reading import Query, Reader
from edge_asd.store.rows import Heard, Repeats
from edge_asd.store.schema import FILE, VERSION

if TYPE_CHECKING:
    from .conftest import Opened


def events(directory: Path, **query: Any) -> list[dict[str, Any]]:
    with Reader(directory) as reader:
        return reader.events(Query(**query))


def minutes(directory: Path) -> list[dict[str, Any]]:
    with Reader(directory) as reader:
        return list(reader.minutes(Query()))


def test_an_alarm_is_on_the_card_before_it_counts_and_its_end_joins_it(stores: Opened) -> None:
    store = stores()
    store.write(alarm_at(NOON))
    assert store.settle()
    assert stores.stored == [("fan", "20260101T120000-000Z", "start")]
    (begun,) = events(stores.directory, alarms_only=True)
    assert (begun["start"], begun["end"], begun["reason"]) == (iso_utc(NOON), None, "confirmed")
    store.write(alarm_at(NOON, "end"))
    assert store.settle()
    (ended,) = events(stores.directory, alarms_only=True)
    assert {key: ended[key] for key in ("id", "end", "reason", "peak", "threshold", "pinned")} == {
        "id": "20260101T120000-000Z",
        "end": iso_utc(NOON + 20),
        "reason": "released",
        "peak": 70.0,
        "threshold": 50.0,
        "pinned": False,
    }
    assert ended["explanation"].startswith("new tone near 2.0 kHz")
    assert [finding["kind"] for finding in ended["findings"]] == ["tone", "impacts"]
    assert ended["bands"][0]["change_db"] == 8.0


def test_the_same_told_twice_is_kept_once_and_a_late_start_does_not_undo_an_end(stores: Opened) -> None:
    store = stores()
    for record in (alarm_at(NOON), alarm_at(NOON), alarm_at(NOON, "end"), alarm_at(NOON), alarm_at(NOON, "end")):
        store.write(record)
    store.write(alarm_at(NOON, machine="pump"))
    assert store.settle()
    found = events(stores.directory)
    assert [(e["machine"], e["end"]) for e in found] == [("fan", iso_utc(NOON + 20)), ("pump", None)]


def test_an_alarm_that_was_on_when_the_power_went_is_closed_at_the_next_start(stores: Opened, tmp_path: Path) -> None:
    run = Ledger(stores.directory, FILE, "first", NOON, check=True)
    from edge_asd.store.rows import Minute, alarm_row

    run.apply([lambda one: one.put_alarm(alarm_row(alarm_at(NOON)))])
    run.apply([lambda one: one.put_alarm(alarm_row(alarm_at(NOON, machine="pump")))])
    run.apply([lambda one: one.put_minute(Minute(score_at(NOON + 300)).row())])
    run.close()
    store = stores()
    assert store.settle()
    found = {e["machine"]: (e["end"], e["reason"]) for e in events(stores.directory)}
    assert found == {
        "fan": (iso_utc(NOON + 360), "interrupted"),  # the last that is known of it
        "pump": (iso_utc(NOON + 3), "interrupted"),
    }
    store.write(alarm_at(NOON, machine="pump"))
    assert store.settle()
    store.close()
    stores()
    assert {e["reason"] for e in events(stores.directory)} == {"interrupted", "confirmed"}


def test_scores_are_counted_by_the_minute(stores: Opened) -> None:
    store = stores()
    for i in range(60):
        store.write(score_at(NOON + i, value=float(i)))
    store.write(score_at(NOON + 10, value=99.0, machine="pump"))
    store.write(SummaryRecord("fan", NOON + 60))
    store.close()
    assert minutes(stores.directory) == [
        {
            "machine": "fan",
            "time": iso_utc(NOON),
            "windows": 60,
            "lowest": 0.0,
            "mean": 29.5,
            "highest": 59.0,
            "level_dbfs": -31.4,
            "anomalous": 0.15,
        },
        {
            "machine": "pump",
            "time": iso_utc(NOON),
            "windows": 1,
            "lowest": 99.0,
            "mean": 99.0,
            "highest": 99.0,
            "level_dbfs": -31.4,
            "anomalous": 1.0,
        },
    ]


def test_minutes_are_written_in_batches_with_at_most_ten_of_them_in_memory(stores: Opened) -> None:
    store = stores()
    lag = []
    for i in range(int(3600 / STEP_S)):
        store.write(score_at(NOON + i * STEP_S))
        if i % 50 == 0 and i:
            assert store.keep_up()
            kept = minutes(stores.directory)
            lag.append(i * STEP_S / 60.0 - len(kept))
    assert max(lag) <= 10.0
    with sqlite3.connect(stores.directory / FILE) as connection:
        assert connection.execute("SELECT count(*) FROM minutes").fetchone()[0] >= 50


def test_what_repeats_is_counted_on_its_row(stores: Opened) -> None:
    store = stores()
    for i in range(100):
        store.write(SourceRecord("fan", NOON + 30 * i, "mic0", "waiting", f"no card; attempt {i}", 0.5))
    store.write(SourceRecord("fan", NOON + 3000, "mic0", "opened", "there again"))
    store.write(SourceRecord("fan", NOON + 30 * 99 + 601, "mic0", "waiting", "no card"))
    store.close()
    found = [(e["event"], e["times"], e["message"], e["lost_s"]) for e in events(stores.directory)]
    assert found == [
        ("waiting", 100, "no card; attempt 99", 50.0),
        ("opened", 1, "there again", 0.0),
        ("waiting", 1, "no card", 0.0),
    ]


def test_health_is_kept_with_its_state_and_unknown_records_are_let_pass(stores: Opened) -> None:
    store = stores()
    store.write(HealthRecord("fan", NOON, "clipping", "start", "too loud"))
    store.write(HealthRecord("fan", NOON + 5, "clipping", "end", "well again"))
    store.write(object())  # type: ignore[arg-type]
    store.close()
    found = [(e["type"], e["event"], e["state"]) for e in events(stores.directory)]
    assert found == [("health", "clipping", "start"), ("health", "clipping", "end")]


class UnsetClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.wall, self.known = 1000.0, False

    def run_clock(self) -> RunClock:
        return RunClock(wall=lambda: self.wall, monotonic=lambda: 0.0, is_set=lambda: self.known)

    def set_to(self, wall: float, clock: RunClock) -> None:
        self.wall, self.known = wall, True
        clock.poll()


def test_what_was_dated_before_the_clock_was_set_is_moved_and_marked(stores: Opened) -> None:
    earlier = stores()
    earlier.write(alarm_at(1100.0, "end", lasts_s=1.0))
    earlier.close()
    system = UnsetClock()
    clock = system.run_clock()
    store = stores(clock=clock)
    store.write(SourceRecord("fan", 1010.0, "mic0", "opened", "mic0", clock_known=False))
    store.write(alarm_at(1020.0, mark="-b00t", clock_known=False))
    for i in range(200):
        store.write(score_at(1000.0 + i, clock_known=False))
    step_s = NOON - 1200.0
    system.set_to(1000.0 + step_s, clock)
    store.write(ClockRecord("fan", NOON, step_s, 1000.0))
    store.write(score_at(1200.0))  # of the window in hand
    store.write(score_at(NOON + 1))
    store.write(ClockRecord("pump", NOON + 1, step_s, 1000.0))
    store.write(alarm_at(NOON - 180.0, "end", mark="-other"))
    ended = alarm_at(1020.0 + step_s, "end", mark="-b00t")
    ended = dataclasses.replace(ended, event=dataclasses.replace(ended.event, id="19700101T001700-000Z-b00t"))
    store.write(ended)
    store.close()
    found = {e.get("id") or e["event"]: e for e in events(stores.directory)}
    assert found["19700101T001820-000Z"]["start"] == iso_utc(1100.0)
    moved = found["19700101T001700-000Z-b00t"]
    assert moved["start"] == iso_utc(NOON - 180.0)
    assert moved["end"] == iso_utc(NOON - 160.0)
    assert (moved["redated_s"], "clock" in moved) == (step_s, False)
    assert found["opened"]["start"] == iso_utc(NOON - 190.0)
    assert found["opened"]["redated_s"] == step_s
    assert "redated_s" not in found["20260101T115700-000Z-other"]
    kept = minutes(stores.directory)
    assert [m["windows"] for m in kept] == [20, 60, 60, 60, 2]
    assert [m["time"] for m in kept][1:] == [iso_utc(NOON + 60 * i) for i in (-3, -2, -1, 0)]
    assert {m["redated_s"] for m in kept[:4]} == {step_s}
    assert "redated_s" not in kept[-1]


def test_until_the_clock_is_set_rows_say_so(stores: Opened) -> None:
    store = stores(clock=UnsetClock().run_clock())
    store.write(alarm_at(1020.0, mark="-b00t", clock_known=False))
    store.close()
    assert events(stores.directory)[0]["clock"] == "unset"


def test_a_clock_that_steps_again_moves_everything_again(stores: Opened) -> None:
    system = UnsetClock()
    clock = system.run_clock()
    store = stores(clock=clock)
    store.write(alarm_at(1010.0, clock_known=False))
    system.set_to(2000.0, clock)
    store.write(alarm_at(2010.0, machine="pump"))
    system.set_to(2100.0, clock)
    store.write(alarm_at(2110.0, machine="press"))
    store.close()
    assert [(e["machine"], e["start"], e.get("redated_s")) for e in events(stores.directory)] == [
        ("fan", iso_utc(2110.0), 1100.0),
        ("pump", iso_utc(2110.0), 100.0),
        ("press", iso_utc(2110.0), None),
    ]


@pytest.mark.parametrize("damage", ["overwritten", "middle", "no database"])
def test_a_damaged_store_is_set_aside_and_a_new_one_begun(stores: Opened, damage: str) -> None:
    store = stores()
    for i in range(300):
        store.write(alarm_at(NOON + 100.0 * i))
    store.close()
    path = stores.directory / FILE
    data = bytearray(path.read_bytes())
    if damage == "middle":
        data[len(data) // 2 : len(data) // 2 + 20000] = bytes(20000)
    else:
        data[: 4096 if damage == "overwritten" else len(data)] = b"rubbish " * (512 if damage == "overwritten" else 9)
    path.write_bytes(data)
    again = stores()
    again.write(alarm_at(NOON + 1e6))
    assert again.settle()
    aside = [name for name in stores.directory.iterdir() if "-damaged-" in name.name]
    assert [name.read_bytes() for name in aside if name.suffix == ".db"] == [bytes(data)]
    assert any("set aside as" in words for words in stores.said)
    found = events(stores.directory)
    ids = [e["id"] for e in found if e["type"] == "alarm"]
    assert len(ids) == len(set(ids))
    rescued = len(ids) - 1
    assert rescued > 100 if damage == "middle" else rescued == 0
    assert any(f"with {rescued} alarms of it" in e.get("message", "") for e in found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (f"PRAGMA user_version = {VERSION + 1}", "made by a newer edge-asd (schema 2, this one knows 1); upgrade"),
        ("PRAGMA application_id = 7", "a database of another program; choose another"),
    ],
)
def test_what_is_not_ours_is_refused_and_left_alone_while_the_run_goes_on(
    stores: Opened, change: str, said: str
) -> None:
    stores().close()
    with sqlite3.connect(stores.directory / FILE) as connection:
        connection.execute(change)
    with pytest.raises(DataError, match="choose another") as refusal:
        Reader(stores.directory)
    assert said in str(refusal.value)
    store = stores()
    store.write(alarm_at(NOON))
    assert not store.settle(0.3)
    assert said in str(store.disk())
    assert len([words for words in stores.said if said in words]) == 1
    store.close()
    assert not list(stores.directory.glob("*damaged*"))


def test_two_processes_do_not_write_one_store(stores: Opened) -> None:
    first = stores()
    assert first.settle()
    second = stores()
    second.write(alarm_at(NOON))
    assert not second.settle(0.3)
    assert "another edge-asd writes" in stores.said[-1]


def test_no_store_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no events are kept"):
        Reader(tmp_path)


def test_one_row_that_cannot_be_written_does_not_stop_the_others(stores: Opened) -> None:
    store = stores()
    bad = alarm_at(NOON + 50)
    store.write(dataclasses.replace(bad, event=dataclasses.replace(bad.event, peak_time=None)))  # type: ignore[arg-type]
    store.write(alarm_at(NOON))
    assert store.settle()
    assert [e["start"] for e in events(stores.directory)] == [iso_utc(NOON)]
    assert "fault in edge-asd itself" in stores.said[0]


def test_listening_never_waits_for_a_card_that_hangs(
    stores: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import threading

    hung = threading.Event()
    monkeypatch.setattr(Ledger, "apply", lambda self, entries: hung.wait(20))
    monkeypatch.setattr(writer, "CLOSING_S", 0.1)
    monkeypatch.setattr("edge_asd.store.backlog.ENTRIES_AT_MOST", 500)
    store = stores()
    for i in itertools.count():
        store.write(alarm_at(NOON + 100 * i))
        store.write(score_at(NOON + 100 * i))
        if i == 2000:
            break
    assert store._backlog.waiting() <= 500
    store.close()
    assert "does not answer" in stores.said[-1]
    assert "2001 events of this run could not be stored" in stores.said[-1]
    hung.set()


def test_killed_at_random_moments_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "benchmarks.store_kill", "--kills", "12", "--directory", str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = json.loads(done.stdout)
    assert (kept["kills"], kept["held"], kept["lost"], kept["twice"]) == (12, True, [], [])
    assert kept["acknowledged"] > 12


def test_a_loss_for_another_reason_is_no_repeat_but_other_figures_are() -> None:
    numbers = iter(range(1, 9))
    repeats = Repeats(lambda: next(numbers))

    def take(kind: str, message: str, time: float) -> bool:
        return repeats.take(Heard("fan", "source", kind, None, "mic0", message, time, 0.0, True)) is not None

    assert take("lost", "mic0 was interrupted", 100.0)
    assert take("lost", "mic0 is gone", 110.0)
    assert take("waiting", "not there; next attempt in 2 s", 111.0)
    assert not take("waiting", "not there; next attempt in 4 s", 113.0)
    assert not take("lost", "mic0 is gone", 120.0)
    (waiting, lost) = repeats.changed()
    assert (waiting["times"], lost["times"], lost["message"]) == (2, 2, "mic0 is gone")
    assert take("lost", "mic0 is gone", 120.0 + 601.0)

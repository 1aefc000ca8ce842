"""From the listening thread to a receiver: never waiting, in order, at least once, said in words when it fails."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_asd.monitor.records import SourceRecord, SummaryRecord
from edge_asd.outputs import outlet as outlets
from edge_asd.outputs.delivery import LONGEST_PAUSE_S, Backoff, Refused, TryLater
from edge_asd.outputs.message import Chosen, Message, message_of
from edge_asd.outputs.outlet import Outlet
from edge_asd.outputs.queue import DiskQueue
from tests.fakes.records import Impatient, alarm, score, until

MakeOutlet = Callable[..., Outlet]


class Shelf:
    """A receiver that keeps what it gets, and answers as it is told to."""

    def __init__(self) -> None:
        self.got: list[dict[str, object]] = []
        self.answers: list[Exception] = []
        self.silent = threading.Event()
        self.released = threading.Event()

    def deliver(self, message: Message) -> None:
        if self.silent.is_set():
            self.released.wait()
            raise TryLater("the run ends")
        if self.answers:
            raise self.answers.pop(0)
        self.got.append(json.loads(message.body))

    def close(self) -> None:
        self.released.set()


def test_alarms_arrive_in_order_with_ids_and_scores_do_not(make_outlet: MakeOutlet) -> None:
    shelf = Shelf()
    outlet = make_outlet(shelf)
    for number in range(3):
        outlet.write(score())
        outlet.write(alarm(number))
        outlet.write(alarm(number, "end"))
    until(lambda: len(shelf.got) == 6)
    assert [(got["id"], got["state"]) for got in shelf.got] == [
        (f"alarm-{n}", s) for n in range(3) for s in ("start", "end")
    ]
    assert len({str(got["message_id"]) for got in shelf.got}) == 6
    assert shelf.got[0]["device"] == "pi"
    until(lambda: outlet.sent == 6 and len(outlet.queue) == 0)


def test_an_id_stays_the_same_and_names_machine_and_device() -> None:
    first = message_of(alarm(1), "pi").id
    assert message_of(alarm(1), "pi").id == first
    others = [message_of(alarm(1), "pi2"), message_of(alarm(1, "end"), "pi"), message_of(alarm(1, machine="p"), "pi")]
    assert len({first, *(other.id for other in others)}) == 4
    assert first.isalnum()


def test_what_a_source_repeats_is_sent_once_and_alarms_only_means_that() -> None:
    waiting = SourceRecord("fan", 1.0, "mic0", "waiting", "no such device")
    chosen = Chosen()
    assert [chosen(record) for record in (waiting, waiting, score())] == [True, False, False]
    assert chosen(SourceRecord("pump", 1.0, "mic1", "waiting", "no such device"))
    assert chosen(SourceRecord("fan", 2.0, "mic0", "opened", "again"))
    assert chosen(waiting)
    assert chosen(SummaryRecord("fan"))
    alarms = Chosen(alarms_only=True)
    assert [alarms(record) for record in (waiting, SummaryRecord("fan"), alarm())] == [False, False, True]


def test_a_receiver_that_never_answers_delays_nothing(make_outlet: MakeOutlet) -> None:
    shelf = Shelf()
    shelf.silent.set()
    outlet = make_outlet(shelf)
    listened = threading.Thread(target=lambda: [outlet.write(alarm(number)) for number in range(500)])
    listened.start()
    listened.join(5.0)
    assert not listened.is_alive()
    until(lambda: len(outlet.queue) == 500)
    outlet.close()
    assert shelf.got == []


def test_a_card_that_stalls_delays_nothing(make_outlet: MakeOutlet, monkeypatch: pytest.MonkeyPatch) -> None:
    outlet, stalled = make_outlet(Shelf()), threading.Event()
    put = DiskQueue.put

    def stall(queue: DiskQueue, messages: list[Message]) -> int:
        stalled.wait()
        return put(queue, messages)

    monkeypatch.setattr(DiskQueue, "put", stall)
    for number in range(outlets.HELD_AT_MOST + 7):
        outlet.write(alarm(number))
    assert outlet.dropped in (6, 7)  # the first may have been taken already
    stalled.set()
    until(lambda: outlet.sent >= outlets.HELD_AT_MOST)


def test_it_is_tried_again_until_it_arrives_and_each_failure_said_once(make_outlet: MakeOutlet) -> None:
    shelf, said, backoff = Shelf(), list[str](), Impatient()
    shelf.answers = [TryLater("no route"), TryLater("no route"), TryLater("HTTP 503", 7.0)]
    outlet = make_outlet(shelf, warn=said.append, backoff=backoff)
    outlet.write(alarm(1))
    outlet.write(alarm(2))
    until(lambda: len(shelf.got) == 2)
    assert [got["id"] for got in shelf.got] == ["alarm-1", "alarm-2"]
    assert backoff.asked == [None, None, 7.0]
    assert [line.split(";")[0] for line in said[:2]] == ["out: no route", "out: HTTP 503"]
    assert said[2].startswith("out: works again, ")
    assert len(said) == 3


def test_one_that_is_refused_is_dropped_with_a_note_and_the_next_is_sent(make_outlet: MakeOutlet) -> None:
    shelf, said = Shelf(), list[str]()
    shelf.answers = [Refused("HTTP 404")]
    outlet = make_outlet(shelf, warn=said.append)
    outlet.write(alarm(1))
    outlet.write(alarm(2))
    until(lambda: len(shelf.got) == 1)
    assert shelf.got[0]["id"] == "alarm-2"
    assert "is refused and dropped: HTTP 404" in said[0]
    assert outlet.refused == 1


def test_a_full_queue_tells_the_receiver_and_people_how_many_are_missing(make_outlet: MakeOutlet) -> None:
    shelf, said = Shelf(), list[str]()
    shelf.answers = [TryLater("down") for _ in range(1000)]
    outlet = make_outlet(shelf, limit_bytes=3000, warn=said.append)
    for number in range(40):
        outlet.write(alarm(number))
        until(lambda number=number: len(outlet.queue) + outlet.dropped == number + 1)
    shelf.answers.clear()
    until(lambda: len(outlet.queue) == 0)
    notices = [got for got in shelf.got if got["type"] == "dropped"]
    alarms = [got for got in shelf.got if got["type"] == "alarm"]
    assert len(alarms) + outlet.dropped == 40
    assert alarms[-1]["id"] == "alarm-39"
    assert sum(int(str(notice["messages"])) for notice in notices) == outlet.dropped
    assert shelf.got[0]["type"] == "dropped"
    assert any("the queue is full; the oldest messages are dropped" in line for line in said)
    assert any(f"{outlet.dropped} messages were dropped meanwhile" in line for line in said)


def test_the_end_of_a_run_is_still_sent_and_closing_twice_is_fine(make_outlet: MakeOutlet) -> None:
    shelf = Shelf()
    outlet = make_outlet(shelf)
    outlet.write(SummaryRecord("fan", 1.8e9))
    outlet.close()
    outlet.close()
    assert [got["type"] for got in shelf.got] == ["summary"]


def test_a_receiver_that_is_away_does_not_hold_up_the_end(make_outlet: MakeOutlet, tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.answers = [TryLater("down") for _ in range(10**4)]
    outlet = make_outlet(shelf, backoff=Backoff(random.Random(1)))
    outlet.write(alarm(1))
    until(lambda: len(shelf.answers) < 10**4)
    outlet.close()
    queue = DiskQueue(tmp_path / "queue/out.db", 2**20)
    assert len(queue) == 1
    queue.close()


RUN_THAT_IS_KILLED = """
import random, sys, time
from pathlib import Path
from edge_asd.outputs.delivery import Backoff, TryLater
from edge_asd.outputs.message import Chosen
from edge_asd.outputs.outlet import Outlet
from edge_asd.outputs.queue import DiskQueue
from tests.fakes.records import alarm
class Nobody:
    def deliver(self, message):
        raise TryLater("no network")
    def close(self):
        pass
queue = DiskQueue(Path(sys.argv[1]), 2**20)
outlet = Outlet("out", queue, Nobody(), device="pi", chosen=Chosen(), backoff=Backoff(random.Random(1)), warn=print)
for number in range(20):
    outlet.write(alarm(number))
while len(queue) < 20:
    time.sleep(0.01)
print("written", flush=True)
time.sleep(60)
"""


def test_what_waited_when_the_run_was_killed_is_sent_by_the_next_one(make_outlet: MakeOutlet, tmp_path: Path) -> None:
    path = tmp_path / "queue/out.db"
    running = subprocess.Popen([sys.executable, "-c", RUN_THAT_IS_KILLED, path], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    while "written" not in running.stdout.readline():
        assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.wait()
    shelf = Shelf()
    make_outlet(shelf)
    until(lambda: len(shelf.got) == 20)
    assert [got["id"] for got in shelf.got] == [f"alarm-{number}" for number in range(20)]
    assert shelf.got[3]["message_id"] == message_of(alarm(3), "pi").id


def test_pauses_grow_to_five_minutes_and_start_anew() -> None:
    backoff = Backoff(random.Random(1))
    pauses = [backoff.next_s() for _ in range(12)]
    assert all(0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(pauses[:8]))
    assert max(pauses) <= LONGEST_PAUSE_S
    assert backoff.next_s(10**6) == LONGEST_PAUSE_S
    backoff.reset()
    assert backoff.next_s() <= 1.0
    assert backoff.next_s(30.0) == 30.0

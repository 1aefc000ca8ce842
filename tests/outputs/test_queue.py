"""The queue on the card: in order, bounded, there again after a kill, a full disk or damage."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_asd.errors import StorageError, UnavailableError
from edge_asd.outputs.message import Message
from edge_asd.outputs.queue import OVERHEAD_BYTES, DiskQueue


def messages(first: int, last: int, body: str = "{}") -> list[Message]:
    return [Message(f"m{number}", body) for number in range(first, last)]


def ids(queue: DiskQueue) -> list[str]:
    """All ids in order, taken off."""
    found = []
    while (waiting := queue.first()) is not None:
        found.append(waiting.message.id)
        queue.done(waiting)
    return found


def test_messages_come_back_in_order_also_from_a_new_process(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path / "new/q.db", 10**6)
    assert queue.put(messages(0, 3)) == 0
    first = queue.first()
    assert first is not None
    queue.done(first)
    queue.close()
    queue = DiskQueue(tmp_path / "new/q.db", 10**6)
    assert len(queue) == 2
    queue.put(messages(3, 4))
    assert ids(queue) == ["m1", "m2", "m3"]
    assert len(queue) == 0
    assert queue.first() is None


def test_one_that_was_dropped_while_it_was_sent_takes_no_other_with_it(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path / "q.db", 150 + OVERHEAD_BYTES)
    queue.put(messages(0, 1, "x" * 100))
    sending = queue.first()
    assert sending is not None
    queue.put(messages(1, 2, "x" * 100))
    queue.done(sending)
    assert len(queue) == 1
    assert ids(queue) == ["m1"]


def test_a_full_queue_drops_the_oldest_and_counts_them_across_runs(tmp_path: Path) -> None:
    room = 10 * (100 + OVERHEAD_BYTES)
    queue = DiskQueue(tmp_path / "q.db", room)
    assert queue.put(messages(0, 10, "x" * 100)) == 0
    assert queue.put(messages(10, 13, "x" * 100)) == 3
    assert (len(queue), queue.dropped) == (10, 3)
    queue.close()
    queue = DiskQueue(tmp_path / "q.db", room)
    assert queue.dropped == 3
    assert queue.put(messages(13, 14, "x" * 100)) == 1
    queue.told(4)
    assert queue.dropped == 0
    assert ids(queue) == [f"m{number}" for number in range(4, 14)]


def test_a_week_without_network_stays_within_its_bound_on_the_card(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path / "q.db", 2 * 2**20)
    for number in range(0, 4000, 50):
        queue.put(messages(number, number + 50, "x" * 2000))
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert queue.dropped > 2000
    assert size < 2 * 2 * 2**20 + 2 * 2**20


PUT_UNTIL_KILLED = """
import sys
from pathlib import Path
from edge_asd.outputs.message import Message
from edge_asd.outputs.queue import DiskQueue
queue = DiskQueue(Path(sys.argv[1]), 10**9)
number = 0
while True:
    queue.put([Message(f"m{number}", "x" * 500)])
    print(number, flush=True)
    number += 1
    if number % 3 == 0:
        queue.done(queue.first())
"""


def test_what_was_put_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    for kill in range(3):
        path = tmp_path / f"{kill}.db"
        running = subprocess.Popen([sys.executable, "-c", PUT_UNTIL_KILLED, path], stdout=subprocess.PIPE, text=True)
        assert running.stdout is not None
        said = [running.stdout.readline() for _ in range(10 + 7 * kill)]
        running.send_signal(signal.SIGKILL)
        said += running.stdout.readlines()
        last = int(said[-1])
        running.wait()
        queue = DiskQueue(path, 10**9)
        assert queue.damaged is None
        found = ids(queue)
        # Taken off may come back (not synced); put may be one more than was reported.
        assert found[-1] in (f"m{last}", f"m{last + 1}")
        assert found == [f"m{number}" for number in range(int(found[0][1:]), int(found[-1][1:]) + 1)]
        assert int(found[0][1:]) <= (last + 1) // 3 + 1


def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "q.db"
    path.write_bytes(b"this was a queue once" * 1000)
    queue = DiskQueue(path, 10**6)
    assert queue.damaged == tmp_path / "q.db.damaged"
    assert queue.damaged.is_file()
    queue.put(messages(0, 1))
    assert ids(queue) == ["m0"]


def test_two_processes_do_not_share_a_queue(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path / "q.db", 10**6)
    with pytest.raises(UnavailableError, match=r"another edge-asd uses the queue .*queue\.directory"):
        DiskQueue(tmp_path / "q.db", 10**6)
    queue.close()
    DiskQueue(tmp_path / "q.db", 10**6).close()


def test_others_cannot_read_what_waits(tmp_path: Path) -> None:
    DiskQueue(tmp_path / "queue/q.db", 10**6).put(messages(0, 1))
    assert (tmp_path / "queue").stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / "queue").iterdir())


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write the queue: File exists; set queue\.directory"):
        DiskQueue(tmp_path / "file/q.db", 10**6)


FULL_CARD = """
import resource, signal, sys
from pathlib import Path
from edge_asd.errors import StorageError
from edge_asd.outputs.message import Message
from edge_asd.outputs.queue import DiskQueue
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
queue = DiskQueue(Path(sys.argv[1]), 10**9)
queue.put([Message("kept", "x")])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    queue.put([Message(f"m{i}", "x" * 1000) for i in range(1000)])
except StorageError as error:
    print(error)
assert len(queue) == 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
queue.put([Message("later", "x")])
assert (queue.first().message.id, len(queue)) == ("kept", 2)
"""


def test_a_full_card_is_an_error_and_no_damage(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_CARD, str(tmp_path / "q.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert str(tmp_path / "q.db") in done.stdout
    queue = DiskQueue(tmp_path / "q.db", 10**9)
    assert queue.damaged is None
    assert ids(queue) == ["kept", "later"]

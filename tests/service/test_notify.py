"""What systemd is told, over a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_asd.monitor.records import ScoreRecord, SourceRecord, SummaryRecord
from edge_asd.service.notify import Notifier, ServiceSink


class Manager:
    """systemd's end of the socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        lines = []
        while True:
            try:
                lines += self.socket.recv(65536).decode().split("\n")
            except BlockingIOError:
                return lines


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[Manager, Notifier]]:
    address = str(tmp_path / "notify")
    manager = Manager(address)
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})
    assert notifier is not None
    yield manager, notifier
    notifier.close()
    manager.socket.close()


def scored(machine: str, alarm: str | None = None) -> ScoreRecord:
    return ScoreRecord(machine, 1.0, 12.5, 12.5, 50.0, False, -31.4, alarm)


def test_ready_comes_with_the_first_score_and_life_with_every_one(manager: tuple[Manager, Notifier]) -> None:
    systemd, notifier = manager
    sink = ServiceSink(notifier, ["fan"])
    sink.write(SourceRecord("fan", 0.0, "mic0", "opened", "at 48000 Hz"))
    assert systemd.heard() == [], "opened is not yet scored"
    sink.write(scored("fan"))
    assert systemd.heard() == ["STATUS=fan: score 12.5 of 50, -31 dBFS", "WATCHDOG=1", "READY=1"]
    sink.write(scored("fan", "20260101"))
    assert systemd.heard() == ["STATUS=fan: score 12.5 of 50, -31 dBFS, ALARM", "WATCHDOG=1"]


def test_waiting_for_a_microphone_is_ready_and_alive_and_losing_one_is_not(manager: tuple[Manager, Notifier]) -> None:
    systemd, notifier = manager
    sink = ServiceSink(notifier, ["fan"])
    sink.write(SourceRecord("fan", 0.0, "mic0", "waiting", "no such device"))
    assert systemd.heard() == ["STATUS=fan: waiting: no such device", "WATCHDOG=1", "READY=1"]
    sink.write(SourceRecord("fan", 0.0, "mic0", "lost", "the driver does not answer"))
    assert systemd.heard() == []


def test_one_silent_machine_of_two_keeps_the_watchdog_hungry(manager: tuple[Manager, Notifier]) -> None:
    systemd, notifier = manager
    sink = ServiceSink(notifier, ["fan", "pump"])
    for _ in range(3):
        sink.write(scored("fan"))
    assert not any(line in ("WATCHDOG=1", "READY=1") for line in systemd.heard())
    sink.write(scored("pump"))
    assert {"WATCHDOG=1", "READY=1"} <= set(systemd.heard())
    sink.write(scored("pump"))
    assert "WATCHDOG=1" not in systemd.heard()
    sink.write(SummaryRecord("fan", reason="ended"))
    sink.write(scored("pump"))
    assert "WATCHDOG=1" in systemd.heard(), "a machine whose sound has ended is not waited for"


def test_the_end_is_announced(manager: tuple[Manager, Notifier]) -> None:
    systemd, notifier = manager
    ServiceSink(notifier, ["fan"]).close()
    assert systemd.heard() == ["STOPPING=1"]


def test_without_a_manager_nobody_is_told() -> None:
    assert Notifier.from_environment({}) is None
    assert Notifier.from_environment({"NOTIFY_SOCKET": "vsock:2:1"}) is None


def test_a_manager_that_is_gone_or_does_not_read_does_no_harm(tmp_path: Path) -> None:
    gone = Notifier(str(tmp_path / "nobody"))
    gone.send("WATCHDOG=1")
    gone.close()
    deaf = Manager(str(tmp_path / "deaf"))
    notifier = Notifier(str(tmp_path / "deaf"))
    for _ in range(2000):
        notifier.send("STATUS=" + "x" * 500)
    notifier.close()
    assert deaf.heard()
    deaf.socket.close()


def test_the_abstract_namespace_is_understood() -> None:
    address = f"@edge-asd-test-{os.getpid()}"
    systemd, notifier = Manager(address), Notifier(address)
    notifier.send("READY=1")
    assert systemd.heard() == ["READY=1"]
    notifier.close()
    systemd.socket.close()

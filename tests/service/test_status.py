"""The status file, and the command that reads it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from edge_asd.cli import main
from edge_asd.errors import DataError, UnavailableError
from edge_asd.explain import Explanation
from edge_asd.monitor.alarm import AlarmEvent
from edge_asd.monitor.records import AlarmRecord, HealthRecord, ScoreRecord, SourceRecord, SummaryRecord
from edge_asd.service.status import FILE, StatusSink, read_status, status_path

NOON = 1767268800.0


def sink(folder: Path, *machines: str) -> StatusSink:
    bundles = {name: f"/etc/{name}.asd" for name in machines or ("fan",)}
    disk = {"free_bytes": 5_000_000_000, "used_bytes": 12_000_000}
    return StatusSink(folder / FILE, bundles, clock=lambda: NOON, monotonic=time.monotonic, disk=lambda: disk)


def scored(machine: str = "fan", alarm: str | None = None) -> ScoreRecord:
    return ScoreRecord(machine, NOON, 12.5, 12.5, 50.0, False, -31.44, alarm)


def test_last_score_level_alarm_and_disk_are_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = sink(tmp_path)
    status.write(scored())
    event = AlarmEvent("start", "id-1", NOON, NOON, None, 80.0, NOON, 50.0, "confirmed", ())
    status.write(AlarmRecord("fan", event, Explanation("new tone near 3.1 kHz", ())))
    status.write(scored(alarm="id-1"))
    assert main(["status", "--json", "--runtime-dir", str(tmp_path)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["machines"]["fan"] == {
        "state": "listening",
        "bundle": "/etc/fan.asd",
        "alarm": "id-1",
        "score": 12.5,
        "threshold": 50.0,
        "level_dbfs": -31.4,
        "last_score": "2026-01-01T12:00:00.000Z",
        "last_alarm": {"id": "id-1", "explanation": "new tone near 3.1 kHz"},
    }
    assert shown["pid"] == os.getpid()
    assert shown["faults"] == []
    assert main(["status", "--runtime-dir", str(tmp_path)]) == 0
    words = capsys.readouterr().out
    assert "fan: listening, score 12.5 of 50, -31 dBFS" in words
    assert "ALARM id-1" in words and "new tone near 3.1 kHz" in words
    assert "events take 12.0 MB, 5000 MB are free" in words


def test_a_machine_without_sound_is_a_fault_and_the_others_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = sink(tmp_path, "fan", "pump")
    status.write(scored("pump"))
    status.write(SourceRecord("fan", NOON, "mic0", "waiting", "no such device"))
    assert main(["status", "--json", "--runtime-dir", str(tmp_path)]) == 69
    (fault,) = json.loads(capsys.readouterr().out)["faults"]
    assert fault.startswith("fan: waiting") and "no such device" in fault
    status.write(scored("fan"))
    assert main(["status", "--runtime-dir", str(tmp_path)]) == 0
    status.write(SummaryRecord("fan", time=NOON, reason="ended"))
    assert main(["status", "--runtime-dir", str(tmp_path)]) == 69


def test_no_service_a_dead_one_and_a_hung_one_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with pytest.raises(UnavailableError, match="no service is running"):
        read_status(path, monotonic=time.monotonic)
    sink(tmp_path).write(scored())
    with pytest.raises(UnavailableError, match="hangs: nothing heard of it for 1000 s"):
        read_status(path, monotonic=lambda: time.monotonic() + 1000.0)
    status = json.loads(path.read_text())
    child = subprocess.Popen(["true"])
    child.wait()
    path.write_text(json.dumps({**status, "pid": child.pid}))
    with pytest.raises(UnavailableError, match="is gone"):
        read_status(path, monotonic=time.monotonic)
    for text in ("{", "[]", '{"pid": 1}'):
        path.write_text(text)
        with pytest.raises(DataError, match="not a status file"):
            read_status(path, monotonic=time.monotonic)


def test_an_orderly_end_leaves_no_file(tmp_path: Path) -> None:
    status = sink(tmp_path)
    status.write(scored())
    status.close()
    status.close()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_gone_does_not_end_the_listening(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    status = sink(folder)
    status.write(scored())
    (folder / FILE).unlink()
    folder.rmdir()
    status.write(scored())


def test_the_directory_systemd_made_is_used() -> None:
    assert status_path({"RUNTIME_DIRECTORY": "/run/edge-asd:/run/other"}) == Path("/run/edge-asd/status.json")
    assert status_path({}) == Path("/run/edge-asd/status.json")


def test_a_sick_microphone_is_a_fault_of_a_running_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = sink(tmp_path)
    status.write(scored())
    status.write(HealthRecord("fan", NOON, "hum", "start", "mains hum"))
    assert main(["status", "--runtime-dir", str(tmp_path)]) == 69
    assert "HEALTH hum: mains hum" in capsys.readouterr().out
    status.write(HealthRecord("fan", NOON, "hum", "end", "over"))
    assert main(["status", "--runtime-dir", str(tmp_path)]) == 0


def test_scores_of_many_machines_are_written_once_a_second_and_what_changes_at_once(tmp_path: Path) -> None:
    now_s = 0.0
    machines = dict.fromkeys(("fan", "pump"), "x.asd")
    status = StatusSink(tmp_path / FILE, machines, clock=lambda: NOON, monotonic=lambda: now_s)

    def shown() -> tuple[float, ...]:
        found = json.loads((tmp_path / FILE).read_bytes())["machines"]
        return tuple(machine.get("score", -1.0) for machine in found.values())

    def take(name: str, score: float, at_s: float, alarm: str | None = None) -> tuple[float, ...]:
        nonlocal now_s
        now_s = at_s
        status.write(ScoreRecord(name, NOON, score, score, 50.0, False, -31.0, alarm))
        return shown()

    assert take("fan", 1.0, 10.0) == (1.0, -1.0)
    assert take("pump", 2.0, 10.1) == (1.0, 2.0), "it begins to be heard"
    assert take("fan", 3.0, 10.9) == (1.0, 2.0)
    assert take("pump", 4.0, 11.1) == (3.0, 4.0)
    assert take("fan", 80.0, 11.2, alarm="id-1") == (80.0, 4.0)

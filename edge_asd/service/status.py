"""The state of a running service in one small file, for `edge-asd status` and whoever else may read it.

The file lies in the service's runtime directory, in memory: it costs the card nothing and is gone with the service.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from edge_asd import __version__
from edge_asd.errors import DataError, StorageError, UnavailableError
from edge_asd.formats import digits, iso_utc
from edge_asd.monitor.records import AlarmRecord, HealthRecord, Record, ScoreRecord, SourceRecord, SummaryRecord

FILE = "status.json"
DIRECTORY_VARIABLE = "RUNTIME_DIRECTORY"
DEFAULT_DIRECTORY = Path("/run/edge-asd")
LISTENING, ENDED = "listening", "ended"
SCORES_EVERY_S = 1.0
"""However many machines there are; the file costs as much as a tenth of what a machine's window does."""
STALE_S = 120.0
"""A service that wrote nothing for so long is hung or gone: longer than the longest pause between two attempts."""


def status_path(environment: Mapping[str, str]) -> Path:
    """Where the service's status lies: in $RUNTIME_DIRECTORY, else /run/edge-asd."""
    # systemd separates several directories by colons; ours is the first.
    named = environment.get(DIRECTORY_VARIABLE, "").split(":")[0]
    return (Path(named) if named else DEFAULT_DIRECTORY) / FILE


class StatusSink:
    """Writes the status file on every event and change, and on other scores once a second.

    path: of the file. machines: name -> path of its bundle.
    clock: UTC seconds; monotonic: seconds that never jump, the same for every process of this boot.
    disk: bytes free and used where events are kept and what is wrong there ("fault", None for nothing), or None.
    """

    def __init__(
        self,
        path: Path,
        machines: Mapping[str, str],
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        disk: Callable[[], dict[str, Any] | None] = lambda: None,
    ) -> None:
        self._path = path
        self._monotonic = monotonic
        self._disk = disk
        self._began_s = monotonic()
        self._written_s = -SCORES_EVERY_S
        self._status: dict[str, Any] = {"version": __version__, "pid": os.getpid(), "since": iso_utc(clock())}
        self._machines: dict[str, dict[str, Any]] = {
            name: {"state": "starting", "bundle": bundle, "alarm": None} for name, bundle in machines.items()
        }

    def write(self, record: Record) -> None:
        """Take one record."""
        machine = self._machines.setdefault(record.machine, {"alarm": None})
        before = machine.get("state"), machine["alarm"]
        if isinstance(record, ScoreRecord):
            machine.update(
                state=LISTENING,
                score=digits(record.score),
                threshold=digits(record.threshold),
                level_dbfs=round(record.level_dbfs, 1),
                last_score=iso_utc(record.time),
                alarm=record.alarm,
            )
        elif isinstance(record, AlarmRecord):
            machine["last_alarm"] = {"id": record.event.id, "explanation": record.explanation.text}
        elif isinstance(record, SourceRecord):
            machine.update(source=record.source, last_event=f"{iso_utc(record.time)} {record.event}: {record.message}")
            if record.event in ("waiting", "lost"):
                machine["state"] = record.event
        elif isinstance(record, HealthRecord):
            health = machine.setdefault("health", {})
            if record.state == "start":
                health[record.kind] = record.message
            else:
                health.pop(record.kind, None)
        elif isinstance(record, SummaryRecord):
            machine.update(state=ENDED, reason=record.reason)
        like_before = isinstance(record, ScoreRecord) and (machine.get("state"), machine["alarm"]) == before
        if not like_before or self._monotonic() - self._written_s >= SCORES_EVERY_S:
            self._put()

    def close(self) -> None:
        """The service ends in order: nothing is left that could be taken for a running one."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _put(self) -> None:
        now_s = self._written_s = self._monotonic()
        status = {
            **self._status,
            "uptime_s": round(now_s - self._began_s, 1),
            "written_at_monotonic_s": round(now_s, 3),
            "machines": self._machines,
            "disk": self._disk(),
        }
        # Memory that is full, or a directory taken away, must not end the listening; the reader sees a stale file.
        with contextlib.suppress(OSError):
            _replace(self._path, json.dumps(status, allow_nan=False).encode())


def _replace(path: Path, data: bytes) -> None:
    """Whole or not at all, but without the fsync a file in memory has no use for."""
    descriptor, temporary = tempfile.mkstemp(prefix=".status.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_status(path: Path, *, monotonic: Callable[[], float]) -> dict[str, Any]:
    """The status of the running service.

    Raises UnavailableError when none runs (no file, its process gone, or nothing written for 2 minutes), StorageError,
    DataError.
    """
    start = "start it with: sudo systemctl start edge-asd"
    try:
        status = json.loads(path.read_bytes())
        pid, age_s = int(status["pid"]), monotonic() - float(status["written_at_monotonic_s"])
    except FileNotFoundError as error:
        raise UnavailableError(f"no service is running here ({path} does not exist)", remedy=start) from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a status file ({error})") from error
    if not Path(f"/proc/{pid}").exists():
        raise UnavailableError(f"the service is not running: its process {pid} is gone", remedy=start)
    if age_s > STALE_S:
        remedy = "see edge-asd service logs; systemd restarts a hung service by itself"
        raise UnavailableError(f"the service hangs: nothing heard of it for {age_s:.0f} s", remedy=remedy)
    return dict(status)


def faults(status: Mapping[str, Any]) -> list[str]:
    """What is wrong with a running service, in words; empty when every machine is listened to and events are kept."""
    found = []
    if (status.get("disk") or {}).get("fault"):
        found.append(f"store: {status['disk']['fault']}")
    for name, machine in status["machines"].items():
        if machine.get("state") != LISTENING:
            found.append(f"{name}: {machine.get('state')} ({machine.get('last_event', 'nothing heard yet')})")
        found += [f"{name}: {kind}: {words}" for kind, words in machine.get("health", {}).items()]
    return found


def in_words(status: Mapping[str, Any]) -> Iterable[str]:
    """Lines for a person."""
    yield f"edge-asd {status['version']}, process {status['pid']}, up {status['uptime_s']:.0f} s"
    for name, machine in status["machines"].items():
        line = f"{name}: {machine.get('state')}"
        if "score" in machine:
            line += f", score {machine['score']:.1f} of {machine['threshold']:g}, {machine['level_dbfs']:.0f} dBFS"
            line += f", last at {machine['last_score']}"
        if machine.get("alarm"):
            line += f", ALARM {machine['alarm']}"
        yield line
        if machine.get("last_alarm"):
            yield f"  last alarm {machine['last_alarm']['id']}: {machine['last_alarm']['explanation']}"
        if machine.get("state") != LISTENING and "last_event" in machine:
            yield f"  {machine['last_event']}"
        for kind, words in machine.get("health", {}).items():
            yield f"  HEALTH {kind}: {words}"
    disk = status.get("disk")
    if disk:
        yield f"disk: events take {disk['used_bytes'] / 1e6:.1f} MB, {disk['free_bytes'] / 1e6:.0f} MB are free"
        if disk.get("fault"):
            yield f"  {disk['fault']}"

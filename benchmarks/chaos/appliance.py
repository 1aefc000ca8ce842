"""A real `edge-asd run --wait` with a fake microphone, started, watched and maltreated from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.chaos.fault import NotHeld
from benchmarks.chaos.room import CONFIRM_S, SMOOTHING_S, Room, environment
from tests.fakes.microphone import FakeMicrophones

LIMIT_S = 45.0
"""Longer than the longest pause between two attempts at a microphone."""
SETTINGS: dict[str, Any] = {
    "audio": {"device": "mic16"},
    "detector": {"smoothing_s": SMOOTHING_S},
    "alarm": {"confirm_s": CONFIRM_S, "release_s": 0.5, "cooldown_s": 0},
}


class Appliance:
    """One service and all it stands in: its folder has config.yaml, the microphones, run/ and store/.

    config: sections of its own, over `SETTINGS`. words: further words of the command line. variables: of its
    environment. before: words put before the program (a namespace, a limit). stdout: a descriptor or file in place of
    the pipe whose lines become `records`. stdin: likewise, in place of nothing.
    """

    def __init__(
        self,
        room: Room,
        folder: Path,
        config: Mapping[str, Any] | None = None,
        *,
        words: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        stdin: Any = subprocess.DEVNULL,
        stdout: Any = subprocess.PIPE,
    ) -> None:
        self.room = room
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.store = folder / "store"
        (folder / "run").mkdir(exist_ok=True)
        self._microphones = FakeMicrophones(folder, room.plugin)
        self._notices = _Notices(folder / "notify")
        self._environment = {
            **self._microphones.environment(),
            **environment(),
            "ALSA_CONFIG_PATH": self._microphones.environment()["ALSA_CONFIG_PATH"],
            "RUNTIME_DIRECTORY": str(folder / "run"),
            "NOTIFY_SOCKET": str(folder / "notify"),
            **(variables or {}),
        }
        self._words = list(words)
        self._before = list(before)
        self._stdin = stdin
        self._stdout = stdout
        self.records: list[dict[str, Any]] = []
        self.stderr = ""
        self._process: subprocess.Popen[str] | None = None
        self.play("normal")
        settings = {"model": {"bundle": str(room.bundle)}, "store": {"directory": "store"}}
        self.configure({**settings, **SETTINGS, **(config or {})})

    def configure(self, config: Mapping[str, Any] | str | bytes) -> None:
        """Write the config: sections, or the file's text."""
        data = config if isinstance(config, bytes) else None
        text = config if isinstance(config, str) else json.dumps(config, default=str) if data is None else ""
        (self.folder / "config.yaml").write_bytes(data if data is not None else text.encode())

    # The world around it

    def microphone(self, state: str, name: str = "mic16") -> None:
        """Tell a fake microphone what to do, never half a word."""
        _replace(self.folder / name, state)

    def play(self, sound: str, name: str = "mic16") -> None:
        """Have a microphone hear a sound of the room from now on."""
        link = self.folder / f"{name}.sound.new"
        link.symlink_to(self.room.sound(sound))
        link.replace(self.folder / f"{name}.sound")

    # The process

    def start(self) -> float:
        """Start it; the monotonic time of that."""
        command = [*self._before, sys.executable, "-m", "edge_asd", "run", "--wait", "--config", "config.yaml"]
        self._process = subprocess.Popen(
            [*command, "--json", *self._words],
            cwd=self.folder,
            env=self._environment,
            stdin=self._stdin,
            stdout=self._stdout,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self._process.stdout is not None:
            threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True).start()
        return time.monotonic()

    @property
    def process(self) -> subprocess.Popen[str]:
        """The one started last."""
        assert self._process is not None
        return self._process

    @property
    def running(self) -> bool:
        """Whether it still does."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: int) -> float:
        """Send it a signal; the monotonic time of that."""
        os.kill(self.process.pid, number)
        return time.monotonic()

    def kill(self) -> float:
        """SIGKILL, and wait until it is gone."""
        at = self.signal(signal.SIGKILL)
        self.process.wait()
        return at

    def stop(self, limit_s: float = LIMIT_S) -> int:
        """SIGTERM as a manager sends it; the exit code. Raises NotHeld when it does not end."""
        if self.running:
            self.signal(signal.SIGTERM)
        return self.ended(limit_s)

    def ended(self, limit_s: float = LIMIT_S) -> int:
        """Wait for its end; the exit code."""
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise NotHeld(f"it does not end within {limit_s:g} s") from None

    def close(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(OSError):
            if self.running:
                self.signal(signal.SIGCONT)
                self.kill()
        self._notices.close()

    # What it says

    def watched_by_manager(self, since: float) -> int:
        """How often the watchdog was fed since a monotonic time."""
        return sum(at >= since and "WATCHDOG=1" in text for at, text in list(self._notices.heard))

    def status(self) -> dict[str, Any]:
        """The status file, empty where there is none."""
        try:
            return dict(json.loads((self.folder / "run/status.json").read_text()))
        except (OSError, ValueError):
            return {}

    def wait(
        self, wanted: Callable[[dict[str, Any]], Any], what: str, *, since: float = 0.0, limit_s: float = LIMIT_S
    ) -> dict[str, Any]:
        """The first record that is wanted and came after `since` (monotonic). Raises NotHeld when none comes."""
        end = time.monotonic() + limit_s
        seen = 0
        while True:
            ended = not self.running
            fresh = self.records[seen:]
            for record in fresh:
                if record["arrived"] >= since and wanted(record):
                    return record
            seen += len(fresh)
            if not fresh and (ended or time.monotonic() > end):
                said = " ".join(self.stderr.split())[-300:]
                gone = f"; it ended with {self.process.returncode}" if ended else ""
                raise NotHeld(f"no {what} within {limit_s:g} s{gone}; it said: {said or 'nothing'}")
            time.sleep(0.02)

    def said(self, words: str, limit_s: float = LIMIT_S) -> str:
        """Wait until stderr has `words`; all of it."""
        end = time.monotonic() + limit_s
        while words not in self.stderr:
            if time.monotonic() > end:
                raise NotHeld(f"it never says {words!r}; it said: {' '.join(self.stderr.split())[-300:] or 'nothing'}")
            time.sleep(0.02)
        return self.stderr

    def score(self, since: float, machine: str | None = None, limit_s: float = LIMIT_S) -> float:
        """Seconds from `since` to the next score."""

        def fits(record: dict[str, Any]) -> bool:
            return record["type"] == "score" and machine in (None, record["machine"])

        return float(self.wait(fits, "score", since=since, limit_s=limit_s)["arrived"]) - since

    def source(self, event: str, since: float = 0.0, limit_s: float = LIMIT_S) -> dict[str, Any]:
        """An event of the source."""
        return self.wait(
            lambda r: r["type"] == "source" and r["event"] == event, f"{event!r}", since=since, limit_s=limit_s
        )

    def alarm(self, microphone: str = "mic16", *, end: bool = True) -> dict[str, Any]:
        """Break the machine, wait for the alarm, mend it (unless `end` is False), wait for the alarm's end."""
        since = time.monotonic()
        self.play("faulty", microphone)
        started = self.wait(lambda r: r["type"] == "alarm" and r["state"] == "start", "alarm", since=since)
        if end:
            self.play("normal", microphone)
            self.wait(
                lambda r: r["type"] == "alarm" and r["state"] == "end" and r["id"] == started["id"],
                "end of the alarm",
                since=since,
            )
        return started

    def told(self) -> set[tuple[str, str, str]]:
        """Machine, id and state of every alarm it has told."""
        return {(r["machine"], r["id"], r["state"]) for r in list(self.records) if r["type"] == "alarm"}

    def read_from(self, descriptor: int) -> None:
        """Take records from a pipe that was given as `stdout`."""
        stream = os.fdopen(os.dup(descriptor), encoding="utf-8", errors="replace")
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: Any) -> None:
        with contextlib.suppress(ValueError):  # closed under our hands, by a fault
            for line in stream:
                with contextlib.suppress(json.JSONDecodeError):  # cut short by a kill
                    self.records.append({**json.loads(line), "arrived": time.monotonic()})

    def _listen(self, stream: Any) -> None:
        with contextlib.suppress(ValueError):
            for line in stream:
                self.stderr = (self.stderr + line)[-20000:]


class _Notices:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.heard: list[tuple[float, str]] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._socket.recv(4096):
                self.heard.append((time.monotonic(), data.decode(errors="replace")))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.replace(path)

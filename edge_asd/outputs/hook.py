"""A command of the user's own, run for each message: no shell, one at a time, JSON on its standard input."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence

from edge_asd.errors import ConfigError
from edge_asd.outputs.delivery import Refused, TryLater
from edge_asd.outputs.message import Message

TRY_LATER = 75
"""EX_TEMPFAIL of sysexits.h: the command asks to be run again for this message."""
KEPT_BACK = ("CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Variables that are the service's own business."""


class Hook:
    """Runs a command.

    command: program and arguments. timeout_s: then it and all it started is killed. environment: usually `os.environ`.

    Raises ConfigError where the program is not there or cannot be run.
    """

    def __init__(self, command: Sequence[str], *, timeout_s: float, environment: Mapping[str, str]) -> None:
        program = shutil.which(command[0], path=environment.get("PATH", os.defpath))
        if program is None:
            raise ConfigError(
                f"hook.command: {command[0]} is no program that can be run", remedy="give its whole path, and chmod +x"
            )
        self._command = [program, *command[1:]]
        self._timeout_s = timeout_s
        self._environment = {name: value for name, value in environment.items() if name not in KEPT_BACK}
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._closed = False

    def deliver(self, message: Message) -> None:
        """Run it once. Raises TryLater (exit code 75, or it cannot be started), Refused (any other failure)."""
        with self._lock:
            if self._closed:
                raise TryLater("the run ends")
            try:
                # Its output goes where ours goes for people: the journal. A session of its own, to kill all of it.
                self._running = running = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=2, env=self._environment, start_new_session=True
                )
            except OSError as error:
                raise TryLater(f"cannot start {self._command[0]}: {error.strerror}") from error
        try:
            running.communicate(message.body.encode() + b"\n", timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            _kill(running)
            raise Refused(f"{self._command[0]} was killed after {self._timeout_s:g} s") from None
        finally:
            with self._lock:
                self._running = None
        if running.returncode == TRY_LATER or self._closed:
            raise TryLater(f"{self._command[0]} asks to be run again (exit code {TRY_LATER})")
        if running.returncode != 0:
            raise Refused(f"{self._command[0]} ended with exit code {running.returncode}")

    def close(self) -> None:
        """Kill what still runs; its message is kept for the next run."""
        with self._lock:
            self._closed = True
            if self._running is not None:
                _kill(self._running)


def _kill(running: subprocess.Popen[bytes]) -> None:
    """End the command and whatever it started in its session."""
    with contextlib.suppress(OSError):
        os.killpg(running.pid, signal.SIGKILL)
    if running.stdin is not None:
        with contextlib.suppress(OSError):
            running.stdin.close()
    running.wait()

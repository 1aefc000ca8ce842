"""A real mosquitto, on a free port, that can be stopped, killed and started again."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

PROGRAM = shutil.which("mosquitto", path="/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin")
START_S = 10.0


def need_mosquitto() -> None:
    """Skip, saying what is missing."""
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (apt install mosquitto)")
    pytest.importorskip("paho.mqtt.client", reason="pip install 'edge-asd[mqtt]'")


class Mosquitto:
    """A broker. lines: of its config besides the listener, such as for TLS and passwords."""

    def __init__(self, folder: Path, *lines: str, anonymous: bool = True) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._folder = folder
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)  # as root, it runs under a user of its own
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            "\n".join(
                [
                    f"listener {self.port} 127.0.0.1",
                    f"allow_anonymous {str(anonymous).lower()}",
                    "user root",
                    "log_type all",
                    "persistence false",
                    *lines,
                    "",
                ]
            )
        )
        self._running: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it and wait until it listens."""
        assert PROGRAM is not None
        log = (self._folder / "log").open("ab")
        self._running = subprocess.Popen([PROGRAM, "-c", str(self._config)], stdout=log, stderr=log)
        log.close()
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert self._running.poll() is None, self.log()
                time.sleep(0.02)
        raise AssertionError(self.log())

    def kill(self) -> None:
        """End it at once, so that it says farewell to nobody."""
        if self._running is not None:
            self._running.send_signal(signal.SIGCONT)
            self._running.kill()
            self._running.wait()
            self._running = None

    def freeze(self) -> None:
        """It stays connected and answers nothing."""
        assert self._running is not None
        self._running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self._running is not None
        self._running.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """What it said."""
        return (self._folder / "log").read_text()

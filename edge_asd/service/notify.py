"""What systemd is told: ready, alive, how it goes. Source: sd_notify(3), the protocol's datagrams.

Being alive is told from sound that was scored, or from the deliberate state of waiting for a microphone, of every
machine; never from a timer. A run that hangs anywhere between microphone and score falls silent and is restarted.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Mapping

from edge_asd.monitor.records import Record, ScoreRecord, SourceRecord, SummaryRecord

SOCKET_VARIABLE = "NOTIFY_SOCKET"
WAITING = "waiting"
"""Event of a source that is not there and will be tried again."""


class Notifier:
    """Sends to the manager's socket; a manager that is gone is no reason to fail.

    address: of $NOTIFY_SOCKET; a leading @ stands for Linux's abstract namespace.
    """

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Notifier | None:
        """The one systemd named, or None when nobody wants to know."""
        address = environment.get(SOCKET_VARIABLE, "")
        return cls(address) if address[:1] in ("/", "@") else None

    def send(self, *lines: str) -> None:
        """Send assignments such as "READY=1"."""
        # A full queue or a manager being re-executed: the next message follows within a second.
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(lines).encode(), self._address)

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()


class ServiceSink:
    """Tells the manager how the machines fare.

    machines: names of all that are watched; only when each of them has shown life is the watchdog fed.
    """

    def __init__(self, notifier: Notifier, machines: Iterable[str]) -> None:
        self._notifier = notifier
        self._silent = dict.fromkeys(machines, True)
        self._ready = False
        self._words: dict[str, str] = {}

    def write(self, record: Record) -> None:
        """Take one record."""
        if isinstance(record, SummaryRecord):
            # A machine that has ended (its sound has) must not keep the others from being seen alive.
            self._silent.pop(record.machine, None)
            self._words[record.machine] = record.reason
            return
        alive = isinstance(record, ScoreRecord) or (isinstance(record, SourceRecord) and record.event == WAITING)
        words = _in_words(record)
        if words:
            self._words[record.machine] = words
        if not alive:
            return
        self._silent[record.machine] = False
        lines = [f"STATUS={'; '.join(f'{name}: {text}' for name, text in self._words.items())}"]
        if not any(self._silent.values()):
            lines.append("WATCHDOG=1")
            if not self._ready:
                lines.append("READY=1")
                self._ready = True
            self._silent = dict.fromkeys(self._silent, True)
        self._notifier.send(*lines)

    def close(self) -> None:
        """The service ends."""
        self._notifier.send("STOPPING=1")
        self._notifier.close()


def _in_words(record: Record) -> str:
    if isinstance(record, ScoreRecord):
        alarm = ", ALARM" if record.alarm else ""
        return f"score {record.score:.1f} of {record.threshold:g}, {record.level_dbfs:.0f} dBFS{alarm}"
    if isinstance(record, SourceRecord):
        return f"{record.event}: {record.message}".replace("\n", " ")
    return ""

"""A connection to an MQTT broker, kept up by one thread that does all that concerns it (paho-mqtt, its API version 2).

States (alarm, health) are retained and sent when they change, scores at a settable pace, events from the queue with
QoS 1. The broker tells others that we are gone (last will), and Home Assistant is told anew whenever it starts.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_asd.monitor.records import Record
from edge_asd.outputs.delivery import Backoff, TryLater
from edge_asd.outputs.message import Message
from edge_asd.outputs.secrets import Secret
from edge_asd.outputs.states import States
from edge_asd.outputs.tls import failure_in_words
from edge_asd.outputs.topics import OFFLINE, ONLINE, Topics, discovery, topic_part

if TYPE_CHECKING:
    from paho.mqtt.client import Client

WAIT_S = 2.0
"""Between two looks at the connection's age; whatever is to be sent or comes in is seen at once."""
CONNECT_TIMEOUT_S = 10.0
ACKNOWLEDGED_WITHIN_S = 60.0
"""A broker that is connected and acknowledges nothing for so long is left and connected to anew."""
FAREWELL_S = 1.0
VERSIONS = ("v3.1.1", "v5")


@dataclass(frozen=True)
class Broker:
    """Where the broker is and how it is spoken to.

    protocol: of VERSIONS. context: for TLS, None: none. password: of `user`. keepalive_s: see MqttConfig.
    """

    host: str
    port: int
    protocol: str = "v3.1.1"
    context: ssl.SSLContext | None = None
    user: str | None = None
    password: Secret | None = None
    keepalive_s: int = 30


@dataclass
class _Job:
    """A message being delivered. number: paho's, once it was handed over."""

    topic: str
    body: str
    done: threading.Event
    number: int | None = None
    since_s: float = 0.0
    sent: bool = False
    refusal: str = ""


class MqttLink:
    """A sink for the states of machines, and the receiver of the queue's messages.

    topics: where to. prefix: where Home Assistant listens for announcements, None: it is not told.
    score_s: seconds between two scores. backoff: between attempts to connect. warn: told when the broker is lost and
    found.
    """

    def __init__(
        self,
        broker: Broker,
        topics: Topics,
        machines: list[str],
        *,
        prefix: str | None,
        score_s: float,
        backoff: Backoff,
        warn: Callable[[str], None],
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._states = States(machines)
        self._prefix = prefix
        self._score_s = score_s
        self._backoff = backoff
        self._warn = warn
        self._closing = threading.Event()
        self._job: _Job | None = None
        self._connected = False
        self._announce = False
        self._scores_due_s = 0.0
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._reason = ""
        self._failing = ""
        self._client = self._made_client()
        self._thread = threading.Thread(target=self._run, name="edge-asd mqtt", daemon=True)
        self._thread.start()

    def write(self, record: Record) -> None:
        """Take one record; never waits."""
        if self._states.write(record) or time.monotonic() >= self._scores_due_s:
            self._ring()

    def deliver(self, message: Message) -> None:
        """Return once the broker has acknowledged it, however long that takes. Raises TryLater."""
        machine = json.loads(message.body).get("machine")
        topic = self._topics.queue_event if machine is None else self._topics.of(machine, "event")
        job = self._job = _Job(topic, message.body, threading.Event())
        self._ring()
        while not job.done.wait(WAIT_S) and not self._closing.is_set():
            pass
        if self._closing.is_set() and not job.sent:
            raise TryLater("the run ends")
        if job.refusal:
            raise TryLater(f"the broker refuses it: {job.refusal}")

    def close(self) -> None:
        """Say offline and leave; safe to call twice."""
        self._closing.set()
        self._ring()
        self._thread.join(CONNECT_TIMEOUT_S / 2)
        if not self._thread.is_alive():
            self._bell.close()
            self._ear.close()

    def _made_client(self) -> Client:
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        broker = self._broker
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"edge-asd-{topic_part(self._topics.device)}",
            protocol=paho.MQTTv5 if broker.protocol == VERSIONS[1] else paho.MQTTv311,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.will_set(self._topics.availability, OFFLINE, qos=1, retain=True)
        if broker.user is not None:
            client.username_pw_set(broker.user, None if broker.password is None else broker.password.text())
        if broker.context is not None:
            client.tls_set_context(broker.context)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.connect_async(broker.host, broker.port, keepalive=broker.keepalive_s)
        return client

    def _run(self) -> None:
        while not self._closing.is_set():
            self._reason = ""
            try:
                self._client.reconnect()
                self._stay()
            except OSError as error:
                self._reason = failure_in_words(error)
            except Exception as fault:  # paho's or ours: this thread must outlive it
                self._reason = f"{type(fault).__name__}: {fault}"
            self._connected = False
            if not self._closing.is_set():
                self._fails(self._reason or "the connection was lost")
                self._closing.wait(self._backoff.next_s())
        if self._job is not None:
            self._job.done.set()

    def _stay(self) -> None:
        """As long as the connection lasts."""
        while self._turn():
            if self._closing.is_set():
                self._leave()
                return
            if self._connected:
                self._publish_due()
                if self._job is not None and self._is_overdue(self._job):
                    self._reason = f"nothing was acknowledged for {ACKNOWLEDGED_WITHIN_S:g} s"
                    self._client.disconnect()
                    return

    def _turn(self) -> bool:
        """Wait for the bell or the broker, and read and write what there is; whether the connection still is."""
        connection: Any = self._client.socket()
        if connection is None:
            return False
        # TLS may hold what was read already: nobody would wake us for that.
        held = isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
        writing = [connection] if self._client.want_write() else []
        readable, writable, _ = select.select([connection, self._ear], writing, [], 0.0 if held else WAIT_S)
        if self._ear in readable:
            self._ear.recv(4096)
        result = self._client.loop_read() if held or connection in readable else 0
        if result == 0 and writable:
            result = self._client.loop_write()
        return (result or self._client.loop_misc()) == 0

    def _ring(self) -> None:
        """Wake the thread. A bell that is full has been rung."""
        with contextlib.suppress(OSError):
            self._bell.send(b"!")

    def _publish_due(self) -> None:
        if self._announce:
            self._announce = False
            if self._prefix is not None:
                for machine in self._states.machines:
                    self._publish(*discovery(self._prefix, self._topics, machine, self._score_s), retain=True)
            self._publish(self._topics.availability, ONLINE, retain=True)
            states = self._states.all()
        else:
            states = self._states.changed()
        for (machine, what), text in states.items():
            self._publish(self._topics.of(machine, what), text, retain=True)
        now_s = time.monotonic()
        if now_s >= self._scores_due_s:
            figures = self._states.figures()
            for (machine, what), text in figures.items():
                self._client.publish(self._topics.of(machine, what), text, qos=0)
            if figures:
                self._scores_due_s = now_s + self._score_s
        job = self._job
        if job is not None and job.number is None:
            job.since_s = now_s
            job.number = self._client.publish(job.topic, job.body, qos=1).mid

    def _publish(self, topic: str, text: str, *, retain: bool) -> None:
        self._client.publish(topic, text, qos=1, retain=retain)

    def _is_overdue(self, job: _Job) -> bool:
        if job.number is None or time.monotonic() - job.since_s < ACKNOWLEDGED_WITHIN_S:
            return False
        job.since_s = time.monotonic()  # paho sends it again once connected
        return True

    def _leave(self) -> None:
        if self._connected:
            last = self._client.publish(self._topics.availability, OFFLINE, qos=1, retain=True)
            end_s = time.monotonic() + FAREWELL_S
            while not last.is_published() and time.monotonic() < end_s and self._turn():
                pass
        self._client.disconnect()

    def _on_connect(self, client: Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._reason = f"the broker refuses us: {str(reason).lower()}; check mqtt.user and mqtt.password_file"
            return
        self._connected = self._announce = True
        self._scores_due_s = 0.0
        self._backoff.reset()
        if self._prefix is not None:
            client.subscribe(f"{self._prefix}/status", qos=1)
        if self._failing:
            self._warn(f"mqtt: connected to {self._broker.host} port {self._broker.port}")
            self._failing = ""

    def _on_disconnect(self, client: Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._connected = False
        self._reason = self._reason or f"the connection was lost: {str(reason).lower()}"

    def _on_message(self, client: Client, data: Any, message: Any) -> None:
        """Home Assistant has started: it knows nothing of us unless the broker has kept it."""
        if message.payload == ONLINE.encode():
            self._announce = True

    def _on_publish(self, client: Client, data: Any, number: int, reason: Any, properties: Any) -> None:
        job = self._job
        if job is not None and job.number == number:
            self._job = None
            job.sent = True
            job.refusal = str(reason) if reason.is_failure else ""
            job.done.set()

    def _fails(self, reason: str) -> None:
        """Say it once for each reason."""
        if reason != self._failing:
            self._warn(f"mqtt: {self._broker.host} port {self._broker.port}: {reason}; it is tried again")
        self._failing = reason


def own_name() -> str:
    """What this board calls itself on the network."""
    return socket.gethostname().split(".")[0] or "edge-asd"

"""Receivers that can be slow, dead or nasty, and remember what they were given."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from typing import Any


def free_port() -> int:
    """A port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Received:
    """Messages by their id."""

    def __init__(self) -> None:
        self.ids: dict[str, set[str]] = {}
        self.times = 0

    def take(self, body: str) -> None:
        """One message, JSON."""
        content = json.loads(body)
        if content.get("type") == "alarm":
            self.times += 1
            named = json.dumps([content["machine"], content["id"], content["state"]])
            self.ids.setdefault(named, set()).add(content["message_id"])

    @property
    def alarms(self) -> set[tuple[str, str, str]]:
        """Machine, id and state of each."""
        return {tuple(json.loads(named)) for named in list(self.ids)}

    @property
    def renamed(self) -> list[str]:
        """Alarms that came under two ids."""
        return [named for named, ids in self.ids.items() if len(ids) > 1]


class WebhookReceiver(Received):
    """An HTTP server. answer: the status it gives; slow_s: how long that takes. port: its own, also while down."""

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self.answer = 204
        self.slow_s = 0.0
        self.asked = 0
        self._server: http.server.ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/hook"

    def start(self) -> None:
        """Listen."""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.asked += 1
                status = outer.answer
                time.sleep(outer.slow_s)
                if status < 300:
                    outer.take(body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:  # the sender did not wait for the answer
                    return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class Subscriber(Received):
    """Another client of an MQTT broker, which comes back to it by itself; the broker keeps for it what it misses."""

    def __init__(self, port: int, user: str | None = None, password: str | None = None, ca: str | None = None) -> None:
        super().__init__()
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        self._ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        if user is not None:
            self._client.username_pw_set(user, password)
        if ca is not None:
            self._client.tls_set(ca)
        self._client.on_connect = lambda client, *rest: client.subscribe("edge-asd/#", 1)
        self._client.on_subscribe = lambda *rest: self._ready.set()
        self._client.on_disconnect = lambda *rest: self._ready.clear()
        self._client.on_message = lambda client, data, message: self._heard(message.payload.decode())
        self._client.connect_async("localhost", port, keepalive=60)
        self._client.loop_start()

    def ready(self) -> bool:
        """Whether it hears what is published."""
        return self._ready.is_set()

    def _heard(self, text: str) -> None:
        if text.startswith("{") and '"message_id"' in text:
            self.take(text)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()

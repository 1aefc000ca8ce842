"""Figures for Prometheus, fetched at /metrics. It listens: on loopback, or elsewhere for those who know a token."""

from __future__ import annotations

import hmac
import ipaddress
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from edge_asd import __version__
from edge_asd.errors import ConfigError, UnavailableError
from edge_asd.monitor.records import AlarmRecord, HealthRecord, Record, ScoreRecord, SourceRecord, SummaryRecord
from edge_asd.outputs.secrets import Secret

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from edge_asd.outputs.outlet import Outlet

PATH = "/metrics"
CONNECTIONS_AT_MOST = 4
"""A further one is closed at once: whoever holds connections open cannot fill this process with threads."""
REQUEST_TIMEOUT_S = 5.0
NOT_LISTENING = ("waiting", "lost", "failed")
"""Events of a source after which no sound comes."""


class Metrics:
    """A sink that counts.

    machines: names, so that each has its figures from the start. clock: UTC seconds.
    outlets: whose queues are told about.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        machines: Sequence[str],
        *,
        clock: Callable[[], float],
        outlets: Sequence[Outlet] = (),
    ) -> None:
        from prometheus_client import Counter, Gauge, Info, ProcessCollector, disable_created_metrics

        disable_created_metrics()
        ProcessCollector(registry=registry)

        def gauge(name: str, words: str, *labels: str) -> Gauge:
            return Gauge(f"edge_asd_{name}", words, ("machine", *labels), registry=registry)

        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"edge_asd_{name}", words, ("machine", *labels), registry=registry)

        self._score = gauge("score", "Anomaly score of the last window, 0 to 100; higher is more anomalous")
        self._threshold = gauge("score_threshold", "Score above which sound is anomalous")
        self._level = gauge("level_dbfs", "Loudness of the last window in dB re full scale")
        self._alarm = gauge("alarm_active", "1 while an alarm is on")
        self._listening = gauge("listening", "1 while sound comes and is scored")
        self._last = gauge("last_score_timestamp_seconds", "When the last window ended, Unix time")
        self._problem = gauge("health_problem", "1 while the microphone has this problem", "kind")
        self._windows = counter("windows", "Windows scored")
        self._anomalous = counter("anomalous_windows", "Windows with a score above the threshold")
        self._alarms = counter("alarms", "Alarms raised")
        self._lost = counter("lost_sound_seconds", "Sound known to be missing")
        self._events = counter("source_events", "What happened to the source of sound", "event")
        Info("edge_asd", "The program", registry=registry).info({"version": __version__})
        Gauge("edge_asd_start_time_seconds", "When this run began, Unix time", registry=registry).set(clock())
        for machine in machines:
            for metric in (self._alarm, self._listening, self._windows, self._anomalous, self._alarms, self._lost):
                metric.labels(machine)
        if outlets:
            registry.register(_Queues(outlets))

    def write(self, record: Record) -> None:
        """Take one record."""
        machine = record.machine
        if isinstance(record, ScoreRecord):
            self._score.labels(machine).set(record.score)
            self._threshold.labels(machine).set(record.threshold)
            self._level.labels(machine).set(record.level_dbfs)
            self._alarm.labels(machine).set(record.alarm is not None)
            self._listening.labels(machine).set(1)
            self._last.labels(machine).set(record.time)
            self._windows.labels(machine).inc()
            self._anomalous.labels(machine).inc(bool(record.anomalous))
        elif isinstance(record, AlarmRecord):
            self._alarm.labels(machine).set(record.event.state == "start")
            self._alarms.labels(machine).inc(record.event.state == "start")
        elif isinstance(record, SourceRecord):
            self._events.labels(machine, record.event).inc()
            self._lost.labels(machine).inc(record.lost_s)
            if record.event in NOT_LISTENING:
                self._listening.labels(machine).set(0)
        elif isinstance(record, SummaryRecord):
            self._listening.labels(machine).set(0)
        elif isinstance(record, HealthRecord):
            self._problem.labels(machine, record.kind).set(record.state == "start")

    def close(self) -> None:
        """Nothing is held."""


class _Queues:
    """What waits to be sent, read when asked for."""

    def __init__(self, outlets: Sequence[Outlet]) -> None:
        self._outlets = outlets

    def collect(self) -> Any:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        waiting = GaugeMetricFamily("edge_asd_queue_messages", "Messages waiting on the card", labels=["output"])
        counts = {
            "sent": CounterMetricFamily("edge_asd_messages_sent", "Messages delivered", labels=["output"]),
            "refused": CounterMetricFamily("edge_asd_messages_refused", "Messages refused for good", labels=["output"]),
            "dropped": CounterMetricFamily(
                "edge_asd_messages_dropped", "Messages dropped from a full queue", labels=["output"]
            ),
        }
        for outlet in self._outlets:
            waiting.add_metric([outlet.name], len(outlet.queue))
            for name, family in counts.items():
                family.add_metric([outlet.name], getattr(outlet, name))
        return [waiting, *counts.values()]


class MetricsServer:
    """Answers GET /metrics from the registry, on a thread of its own.

    address: of an interface, or localhost. token: asked for as `Authorization: Bearer`; needed unless loopback.

    Raises ConfigError (an address others can reach, and no token), UnavailableError (the port is taken).
    """

    def __init__(self, registry: CollectorRegistry, address: str, port: int, *, token: Secret | None) -> None:
        refuse_reachable(address, has_token=token is not None)
        try:
            self._server = _Server(address, port, registry, token)
        except (OSError, OverflowError) as error:
            words = getattr(error, "strerror", None) or str(error)
            raise UnavailableError(
                f"cannot listen on {address} port {port}: {words}", remedy="choose another prometheus.port"
            ) from error
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="edge-asd metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def refuse_reachable(address: str, *, has_token: bool) -> None:
    """Raise ConfigError for an address that others can reach, unless a token is asked of them."""
    if not has_token and not is_loopback(address):
        raise ConfigError(
            f"prometheus.address {address} can be reached by others, and no token is set",
            remedy="set prometheus.token_file, or leave the address at 127.0.0.1",
        )


def is_loopback(address: str) -> bool:
    """Whether only this device can reach the address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: str, port: int, registry: CollectorRegistry, token: Secret | None) -> None:
        self.registry = registry
        self.token = token
        self._room = threading.BoundedSemaphore(CONNECTIONS_AT_MOST)
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), _Handler)

    def server_bind(self) -> None:
        """Bind; the base class would ask the name server who we are, and wait for its answer."""
        # Fetches of the run before linger in TIME-WAIT for a minute; a port that somebody listens on stays refused.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """One more connection, if there is room for it."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread to be had
            self._room.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve it and make room again."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nobody's fault."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_TIMEOUT_S
    server_version = "edge-asd"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a fetch."""
        if not self._is_allowed(self.headers.get("Authorization") or ""):
            self._answer(401, b"a token is needed\n", {"WWW-Authenticate": "Bearer"})
        elif self.path.split("?")[0] != PATH:
            self._answer(404, b"the figures are at /metrics\n", {})
        else:
            from prometheus_client.exposition import choose_encoder

            encoder, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(200, encoder(self.server.registry), {"Content-Type": content_type})

    def log_message(self, format: str, *args: Any) -> None:
        """A fetch every few seconds belongs into no journal."""

    def _is_allowed(self, given: str) -> bool:
        token = self.server.token
        # Compared in a time that says nothing about how much of it is right.
        return token is None or hmac.compare_digest(given.encode("utf-8", "replace"), b"Bearer " + token.reveal())

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain; charset=utf-8", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

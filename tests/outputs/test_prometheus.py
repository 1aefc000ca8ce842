"""Figures for Prometheus, fetched over a real socket and parsed by its own parser; who may fetch them."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("prometheus_client", reason="pip install 'edge-asd[prometheus]'")

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from edge_asd import __version__
from edge_asd.errors import ConfigError, UnavailableError
from edge_asd.monitor.records import HealthRecord, SourceRecord, SummaryRecord
from edge_asd.outputs import prometheus
from edge_asd.outputs.delivery import TryLater
from edge_asd.outputs.message import Message
from edge_asd.outputs.outlet import Outlet
from edge_asd.outputs.prometheus import CONNECTIONS_AT_MOST, Metrics, MetricsServer
from edge_asd.outputs.secrets import Secret
from tests.fakes.records import alarm, score, until

Figures = dict[tuple[str, ...], float]


def fetched(port: int, *, path: str = "/metrics", headers: dict[str, str] | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=headers or {})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def figures(port: int) -> Figures:
    """(name, label values in order of their names...) -> value, as Prometheus' own parser reads them."""
    status, text = fetched(port)
    assert status == 200
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def server(registry: CollectorRegistry) -> Iterator[MetricsServer]:
    made = MetricsServer(registry, "127.0.0.1", 0, token=None)
    yield made
    made.close()


def test_a_fetch_shows_what_happened(registry: CollectorRegistry, server: MetricsServer) -> None:
    metrics = Metrics(registry, ["fan", "pump"], clock=lambda: 1.7e9)
    before = figures(server.port)
    assert before["edge_asd_windows_total", "pump"] == 0
    assert before["edge_asd_listening", "pump"] == 0
    for value in (10.0, 60.0):
        metrics.write(score(value=value))
    metrics.write(alarm())
    metrics.write(SourceRecord("pump", 1.8e9, "mic1", "lost", "gone", 2.5))
    seen = figures(server.port)
    expected = {
        ("edge_asd_info", __version__): 1,
        ("edge_asd_start_time_seconds",): 1.7e9,
        ("edge_asd_score", "fan"): 60.0,
        ("edge_asd_score_threshold", "fan"): 50.0,
        ("edge_asd_level_dbfs", "fan"): -31.25,
        ("edge_asd_last_score_timestamp_seconds", "fan"): 1.8e9,
        ("edge_asd_windows_total", "fan"): 2,
        ("edge_asd_anomalous_windows_total", "fan"): 1,
        ("edge_asd_alarm_active", "fan"): 1,
        ("edge_asd_alarms_total", "fan"): 1,
        ("edge_asd_listening", "fan"): 1,
        ("edge_asd_listening", "pump"): 0,
        ("edge_asd_lost_sound_seconds_total", "pump"): 2.5,
        ("edge_asd_source_events_total", "lost", "pump"): 1,
    }
    assert {key: seen.get(key) for key in expected} == expected
    metrics.write(HealthRecord("fan", 1.8e9, "clipped", "start", "too loud"))
    assert figures(server.port)["edge_asd_health_problem", "clipped", "fan"] == 1
    metrics.write(HealthRecord("fan", 1.8e9, "clipped", "end", "well again"))
    assert figures(server.port)["edge_asd_health_problem", "clipped", "fan"] == 0
    metrics.write(alarm(state="end"))
    metrics.write(SummaryRecord("fan"))
    after = figures(server.port)
    assert (after["edge_asd_alarm_active", "fan"], after["edge_asd_alarms_total", "fan"]) == (0, 1)
    assert after["edge_asd_listening", "fan"] == 0
    assert after["process_resident_memory_bytes",] > 1e6


def test_names_keep_to_the_conventions(registry: CollectorRegistry, server: MetricsServer) -> None:
    metrics = Metrics(registry, ["fan"], clock=lambda: 0.0)
    metrics.write(score())
    text = fetched(server.port)[1]
    for family in text_string_to_metric_families(text):
        if family.name.startswith("process_"):
            continue
        assert family.documentation
        for sample in family.samples:
            assert sample.name.startswith("edge_asd_")
            assert not sample.name.endswith("_created")
            assert sample.name.endswith("_total") == (family.type == "counter")


def test_openmetrics_is_spoken_to_whoever_asks(registry: CollectorRegistry, server: MetricsServer) -> None:
    Metrics(registry, ["fan"], clock=lambda: 0.0)
    _, text = fetched(server.port, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert text.endswith("# EOF\n")


def test_queues_are_told_about(
    registry: CollectorRegistry, server: MetricsServer, make_outlet: Callable[..., Outlet]
) -> None:
    class Nobody:
        def deliver(self, message: Message) -> None:
            raise TryLater("down")

        def close(self) -> None:
            pass

    outlet = make_outlet(Nobody())
    Metrics(registry, ["fan"], clock=lambda: 0.0, outlets=[outlet])
    outlet.write(alarm())
    until(lambda: figures(server.port)["edge_asd_queue_messages", "out"] == 1)
    assert figures(server.port)["edge_asd_messages_sent_total", "out"] == 0


def test_only_metrics_are_there(server: MetricsServer) -> None:
    assert fetched(server.port, path="/")[0] == 404
    assert fetched(server.port, path="/metrics?x=1")[0] == 200


def test_an_address_others_can_reach_needs_a_token_and_asks_for_it(registry: CollectorRegistry) -> None:
    for address in ("0.0.0.0", "::", "192.168.1.5", "fan.local"):
        with pytest.raises(ConfigError, match=r"can be reached by others.*prometheus\.token_file"):
            MetricsServer(registry, address, 0, token=None)
    server = MetricsServer(registry, "0.0.0.0", 0, token=Secret(b"open sesame"))
    for given in (None, "", "Bearer ", "Bearer wrong", "open sesame", "Bearer open sesam\xe9"):
        status, body = fetched(server.port, headers={} if given is None else {"Authorization": given})
        assert (status, "sesame" in body) == (401, False)
    assert fetched(server.port, headers={"Authorization": "Bearer open sesame"})[0] == 200
    server.close()


def test_a_port_that_is_taken_is_said_at_the_start(registry: CollectorRegistry, server: MetricsServer) -> None:
    with pytest.raises(UnavailableError, match=r"cannot listen on 127\.0\.0\.1 port .*: Address already in use"):
        MetricsServer(registry, "127.0.0.1", server.port, token=None)
    with pytest.raises(UnavailableError, match="cannot listen on"):
        MetricsServer(registry, "no.such.host.invalid", 0, token=Secret(b"x"))


def test_a_run_begun_anew_listens_although_fetches_of_the_one_before_linger(registry: CollectorRegistry) -> None:
    before = MetricsServer(registry, "127.0.0.1", 0, token=None)
    with socket.create_connection(("127.0.0.1", before.port), timeout=10) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        while client.recv(65536):  # to its end: the side that hangs up first keeps the connection in TIME-WAIT
            pass
    before.close()
    with socket.socket() as plain, pytest.raises(OSError, match="in use"):
        plain.bind(("127.0.0.1", before.port))
    again = MetricsServer(registry, "127.0.0.1", before.port, token=None)
    assert fetched(again.port)[0] == 200
    again.close()


def test_connections_that_are_only_held_cost_no_more_than_their_number(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus._Handler, "timeout", 0.3)
    held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(CONNECTIONS_AT_MOST)]
    extra = socket.create_connection(("127.0.0.1", server.port))
    extra.settimeout(10)
    assert extra.recv(1) == b""
    until(lambda: _is_answered(server.port))
    for connection in (*held, extra):
        connection.close()


def _is_answered(port: int) -> bool:
    try:
        return fetched(port)[0] == 200
    except (OSError, http.client.HTTPException):
        return False

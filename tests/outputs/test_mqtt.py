"""MQTT against a real mosquitto: what Home Assistant is told, alarms through outages, logins and certificates."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_asd.monitor.records import HealthRecord, SourceRecord, SummaryRecord
from edge_asd.outputs.mqtt import Broker, MqttLink
from edge_asd.outputs.outlet import Outlet
from edge_asd.outputs.secrets import Secret
from edge_asd.outputs.tls import client_context
from edge_asd.outputs.topics import Topics, topic_part
from tests.fakes.broker import Mosquitto, need_mosquitto
from tests.fakes.certificates import Authority
from tests.fakes.records import Impatient, alarm, score, until

BASE = "edge-asd/pi/fan"
CONFIG = "homeassistant/device/edge_asd_pi_fan/config"
VERSIONS = ["v3.1.1", "v5"]


class Listener:
    """Another client of the broker: keeps what it hears (topic, payload, retained), in order."""

    def __init__(self, port: int, *topics: str) -> None:
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        self.heard: list[tuple[str, str, bool]] = []
        self._ready = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *rest: client.subscribe([(topic, 1) for topic in topics or ("#",)])
        self.client.on_subscribe = lambda *rest: self._ready.set()
        self.client.on_message = lambda client, data, message: self.heard.append(
            (message.topic, message.payload.decode(), message.retain)
        )
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._ready.wait(10)

    def payloads(self, topic: str) -> list[str]:
        return [payload for heard, payload, _ in self.heard if heard == topic]

    def last(self, topic: str) -> str:
        return str(until(lambda: self.payloads(topic))[-1])

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Bench:
    """Makes brokers, listeners and links, and ends them all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[Any] = []
        self.said: list[str] = []

    def broker(self, *lines: str, anonymous: bool = True) -> Mosquitto:
        made = Mosquitto(self._folder / "broker", *lines, anonymous=anonymous)
        self._made.append(made)
        return made

    def listener(self, broker: Mosquitto, *topics: str) -> Listener:
        made = Listener(broker.port, *topics)
        self._made.append(made)
        return made

    def link(self, port: int, *, machines: tuple[str, ...] = ("fan",), score_s: float = 0.0, **more: Any) -> MqttLink:
        broker = Broker(**{"host": "localhost", "port": port, **more})
        made = MqttLink(
            broker,
            Topics("edge-asd", "pi"),
            list(machines),
            prefix="homeassistant",
            score_s=score_s,
            backoff=Impatient(),
            warn=self.said.append,
        )
        self._made.append(made)
        return made

    def close(self) -> None:
        for made in reversed(self._made):
            (made.kill if isinstance(made, Mosquitto) else made.close)()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    need_mosquitto()
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("protocol", VERSIONS)
def test_home_assistant_learns_all_from_one_retained_message(bench: Bench, protocol: str) -> None:
    broker = bench.broker()
    bench.link(broker.port, protocol=protocol)
    early = bench.listener(broker)
    payload = json.loads(early.last(CONFIG))
    late = bench.listener(broker, CONFIG)
    until(lambda: late.heard)
    assert late.heard[0][2], "not retained"
    assert payload["device"]["identifiers"] == ["edge_asd_pi_fan"]
    assert payload["device"]["name"] == "fan"
    assert payload["origin"]["name"] == "edge-asd"
    parts = payload["components"]
    assert {name: part["platform"] for name, part in parts.items()} == {
        "alarm": "binary_sensor",
        "score": "sensor",
        "level": "sensor",
        "health": "sensor",
    }
    assert parts["alarm"]["device_class"] == "problem"
    assert "device_class" not in parts["level"]
    assert parts["level"]["unit_of_measurement"] == "dBFS"
    assert parts["score"]["state_class"] == "measurement"
    topics = [part["state_topic"] for part in parts.values()]
    assert len(set(topics)) == 4, "a shared state topic lets one entity reset another"
    assert len({part["unique_id"] for part in parts.values()}) == 4
    early.last(payload["availability_topic"])


def test_states_arrive_where_the_announcement_says_and_numbers_are_numbers(bench: Bench) -> None:
    broker = bench.broker()
    heard = bench.listener(broker)
    link = bench.link(broker.port)
    parts = json.loads(heard.last(CONFIG))["components"]
    link.write(score(value=12.5))
    assert float(heard.last(parts["score"]["state_topic"])) == 12.5
    assert float(heard.last(parts["level"]["state_topic"])) == pytest.approx(-31.25, abs=0.051)
    until(lambda: heard.last(parts["alarm"]["state_topic"]) == parts["alarm"]["payload_off"])
    until(lambda: heard.last(parts["health"]["state_topic"]) == "ok")
    link.write(alarm())
    until(lambda: heard.last(parts["alarm"]["state_topic"]) == parts["alarm"]["payload_on"])
    details = json.loads(heard.last(parts["alarm"]["json_attributes_topic"]))
    assert details["explanation"] == "a new tone at 1000 Hz"
    for kind in ("hum", "clipped"):
        link.write(HealthRecord("fan", 1.8e9, kind, "start", "so it sounds"))
    until(lambda: heard.last(parts["health"]["state_topic"]) == "clipped, hum")
    link.write(SourceRecord("fan", 1.8e9, "mic0", "waiting", "no such device"))
    until(lambda: heard.last(parts["health"]["state_topic"]) == "waiting")
    link.write(SummaryRecord("fan"))
    until(lambda: heard.last(parts["health"]["state_topic"]) == "ended")


def test_alarm_and_health_are_there_for_whoever_comes_later(bench: Bench) -> None:
    broker = bench.broker()
    link = bench.link(broker.port)
    link.write(score(value=80.0, alarm="alarm-0"))
    late = bench.listener(broker)
    until(lambda: late.payloads(f"{BASE}/alarm") == ["ON"])
    latest = bench.listener(broker)
    until(lambda: (f"{BASE}/alarm", "ON", True) in latest.heard and (f"{BASE}/health", "ok", True) in latest.heard)
    assert not any(topic.endswith("/score") for topic, _, _ in latest.heard)


def test_home_assistant_that_starts_again_is_told_again(bench: Bench) -> None:
    broker = bench.broker()
    heard = bench.listener(broker)
    link = bench.link(broker.port)
    link.write(score())
    until(lambda: heard.payloads(f"{BASE}/alarm"))
    before = len(heard.payloads(CONFIG))
    heard.client.publish("homeassistant/status", "offline")
    heard.client.publish("homeassistant/status", "online")
    until(lambda: len(heard.payloads(CONFIG)) == before + 1)
    until(lambda: len(heard.payloads(f"{BASE}/alarm")) == 2)


def test_several_machines_are_several_devices(bench: Bench) -> None:
    broker = bench.broker()
    heard = bench.listener(broker)
    link = bench.link(broker.port, machines=("fan", "pump 2"))
    link.write(score("pump 2", 33.0))
    part = topic_part("pump 2")
    payload = json.loads(heard.last(f"homeassistant/device/edge_asd_pi_{part}/config"))
    assert payload["device"]["name"] == "pump 2"
    assert heard.last(payload["components"]["score"]["state_topic"]) == "33"
    assert not heard.payloads(f"{BASE}/score")


def test_scores_come_at_their_pace_and_the_last_one_counts(bench: Bench) -> None:
    broker = bench.broker()
    heard = bench.listener(broker)
    link = bench.link(broker.port, score_s=3600.0)
    link.write(score(value=1.0))
    until(lambda: heard.payloads(f"{BASE}/score") == ["1"])
    for value in range(2, 50):
        link.write(score(value=float(value)))
    link.write(alarm())
    until(lambda: heard.payloads(f"{BASE}/alarm") == ["OFF", "ON"])
    assert heard.payloads(f"{BASE}/score") == ["1"]


@pytest.mark.parametrize("protocol", VERSIONS)
def test_the_broker_says_so_when_we_are_gone(bench: Bench, protocol: str) -> None:
    broker = bench.broker()
    heard = bench.listener(broker, "edge-asd/pi/availability")
    link = bench.link(broker.port, protocol=protocol)
    until(lambda: heard.payloads("edge-asd/pi/availability") == ["online"])
    link._client.socket().shutdown(2)  # as a cut cable: no farewell
    # After a new connection "online" may be told once more: the state is retained and telling it twice changes nothing.
    until(lambda: heard.payloads("edge-asd/pi/availability")[:3] == ["online", "offline", "online"])
    link.close()
    until(lambda: heard.payloads("edge-asd/pi/availability")[-1] == "offline")


@pytest.mark.parametrize("protocol", VERSIONS)
def test_alarms_wait_out_a_broker_that_is_killed(
    bench: Bench, protocol: str, make_outlet: Callable[..., Outlet]
) -> None:
    broker = bench.broker()
    heard = bench.listener(broker, f"{BASE}/event")
    outlet = make_outlet(bench.link(broker.port, protocol=protocol))
    outlet.write(alarm(0))
    until(lambda: heard.payloads(f"{BASE}/event"))
    until(lambda: outlet.sent == 1)
    broker.kill()
    heard.close()
    for number in range(1, 6):
        outlet.write(alarm(number))
        outlet.write(alarm(number, "end"))
    until(lambda: len(outlet.queue) == 10)
    until(lambda: any("refused" in line for line in bench.said))
    assert any("it is tried again" in line for line in bench.said)
    broker.start()
    until(lambda: outlet.sent == 11 and len(outlet.queue) == 0)
    # The link may be back before any listener: the broker's own log says what came.
    came = re.compile(rf"Received PUBLISH from edge-asd-pi \(d\d, q1, r0, m\d+, '{BASE}/event'")
    until(lambda: len(came.findall(broker.log())) >= 11)
    again = bench.listener(broker, f"{BASE}/event")
    outlet.write(alarm(6))
    until(lambda: any(json.loads(payload)["id"] == "alarm-6" for payload in again.payloads(f"{BASE}/event")))
    assert any(f"connected to localhost port {broker.port}" in line for line in bench.said)


def test_what_waited_arrives_in_order_with_its_ids(bench: Bench, make_outlet: Callable[..., Outlet]) -> None:
    broker = bench.broker()
    broker.freeze()
    outlet = make_outlet(bench.link(broker.port))
    for number in range(20):
        outlet.write(alarm(number))
    until(lambda: len(outlet.queue) == 20)
    broker.thaw()
    heard = bench.listener(broker, f"{BASE}/event")
    until(lambda: len(outlet.queue) == 0)
    got = [json.loads(payload) for payload in heard.payloads(f"{BASE}/event")]
    ids = [int(one["id"].split("-")[1]) for one in got]
    assert ids == sorted(ids)
    assert len({one["message_id"] for one in got}) == len(got)


def test_a_broker_that_never_answers_delays_nothing(bench: Bench, make_outlet: Callable[..., Outlet]) -> None:
    broker = bench.broker()
    link = bench.link(broker.port)
    outlet = make_outlet(link)
    outlet.write(alarm(0))
    until(lambda: outlet.sent == 1)
    broker.freeze()

    def listen() -> None:
        for number in range(1, 200):
            for sink in (link, outlet):
                sink.write(score())
                sink.write(alarm(number))

    listening = threading.Thread(target=listen)
    listening.start()
    listening.join(10)
    assert not listening.is_alive()
    until(lambda: len(outlet.queue) == 199)
    outlet.close()


def password_file(folder: Path) -> Path:
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto_passwd is not installed (apt install mosquitto)")
    path = folder / "passwords"
    subprocess.run([program, "-c", "-b", str(path), "fan", "right"], check=True, capture_output=True)
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("protocol", VERSIONS)
def test_a_wrong_password_is_said_and_a_right_one_lets_in(bench: Bench, protocol: str, tmp_path: Path) -> None:
    broker = bench.broker(f"password_file {password_file(tmp_path)}", anonymous=False)
    wrong = bench.link(broker.port, protocol=protocol, user="fan", password=Secret(b"wr0ng-pass"))
    said = until(lambda: bench.said)[0]
    assert re.search(r"the broker refuses us: (not authori[sz]ed|bad user ?name or password)", said)
    assert "mqtt.password_file" in said
    assert "wr0ng-pass" not in "".join(bench.said)
    wrong.close()
    bench.said.clear()
    bench.link(broker.port, protocol=protocol, user="fan", password=Secret(b"right"))
    until(lambda: "as 'edge-asd-pi'" in broker.log() or "as edge-asd-pi" in broker.log())
    until(lambda: "Received PUBLISH from edge-asd-pi" in broker.log())
    assert bench.said == []


def test_certificates_are_checked_on_both_sides(bench: Bench, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("localhost")
    broker = bench.broker(
        f"cafile {authority.certificate}", f"certfile {certificate}", f"keyfile {key}", "require_certificate true"
    )

    def context(ca_file: Path | None, name: str | None) -> Any:
        own = authority.issue(name) if name else (None, None)
        return client_context(
            "mqtt",
            ca_file=str(ca_file) if ca_file else None,
            cert_file=str(own[0]) if own[0] else None,
            key_file=str(own[1]) if own[1] else None,
        )

    stranger = bench.link(broker.port, context=context(None, "fan"))
    assert "bad certificate: " in until(lambda: bench.said)[0]
    stranger.close()
    bench.said.clear()
    misnamed = bench.link(broker.port, host="127.0.0.1", context=context(authority.certificate, "fan"))
    assert "bad certificate: IP address mismatch" in until(lambda: bench.said)[0]
    misnamed.close()
    bench.said.clear()
    nameless = bench.link(broker.port, context=context(authority.certificate, None))
    until(lambda: bench.said)
    nameless.close()
    bench.said.clear()
    bench.link(broker.port, context=context(authority.certificate, "fan"))
    until(lambda: "Received PUBLISH from edge-asd-pi" in broker.log())
    assert bench.said == []


def test_an_expired_certificate_is_refused(bench: Bench, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("localhost", expired=True)
    broker = bench.broker(f"certfile {certificate}", f"keyfile {key}")
    trusted = client_context("mqtt", ca_file=str(authority.certificate), cert_file=None, key_file=None)
    bench.link(broker.port, context=trusted)
    assert (
        "certificate has expired; check ca_file, the host's name and this device's clock"
        in until(lambda: bench.said)[0]
    )


def test_nobody_there_is_said_once_and_closing_does_not_wait(bench: Bench) -> None:
    broker = bench.broker()
    broker.kill()
    link = bench.link(broker.port)
    until(lambda: link._backoff.asked.__len__() > 3)  # type: ignore[attr-defined]
    assert len(bench.said) == 1
    assert f"mqtt: localhost port {broker.port}: Connection refused; it is tried again" == bench.said[0]
    link.close()
    assert not link._thread.is_alive()


def test_names_fit_topics_and_stay_apart() -> None:
    assert topic_part("fan-3_b") == "fan-3_b"
    parts = [topic_part(name) for name in ("a/b", "a b", "a+b", "", "Lüfter")]
    assert len(set(parts)) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", part) for part in parts)
    assert os.sep not in "".join(parts)

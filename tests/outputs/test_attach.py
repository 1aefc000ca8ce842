"""Ways out as a user meets them: off unless set in the config, refused at the start when wrong, silent on secrets."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from edge_asd.bundle.bundle import Bundle, save_bundle
from edge_asd.cli import main
from edge_asd.config import load_config
from edge_asd.errors import EdgeAsdError
from edge_asd.outputs.attach import output_sinks, state_directory
from edge_asd.outputs.queue import DiskQueue
from tests.fakes.broker import Mosquitto, need_mosquitto
from tests.fakes.records import alarm, until

SECRET = "correct-horse-battery"
RATE_HZ = 16000
QUICK = "alarm: {confirm_s: 0.5, release_s: 0.5}\n"


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("EDGE_ASD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


@pytest.fixture
def place(tmp_path: Path, tiny_bundle: Bundle, steady_sound: Callable[..., np.ndarray]) -> Path:
    """A folder with a bundle, sound that turns bad, and a secret."""
    save_bundle(tiny_bundle, tmp_path / "fan.asd")
    ill = np.concatenate([steady_sound(4.0, seed=1), steady_sound(8.0, seed=2, tone_hz=3000.0, tone_amplitude=0.3)])
    soundfile.write(tmp_path / "ill.wav", ill, RATE_HZ, subtype="FLOAT")
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "secret").chmod(0o600)
    return tmp_path


def configured(folder: Path, text: str) -> Path:
    path = folder / "fan.yaml"
    path.write_text(QUICK + text)
    return path


def watch(place: Path, text: str, *words: str) -> int:
    bundle = ["--bundle", str(place / "fan.asd")]
    return main(["run", *bundle, "--config", str(configured(place, text)), "--input", str(place / "ill.wav"), *words])


@pytest.fixture
def inbox() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Port and messages of a web server."""
    got: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_address[1], got
    server.shutdown()
    server.server_close()


def test_an_alarm_reaches_webhook_hook_and_broker(
    place: Path, inbox: tuple[int, list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    need_mosquitto()
    port, got = inbox
    broker = Mosquitto(place / "broker")
    text = (
        f"webhook: {{url: 'http://127.0.0.1:{port}/', secret_file: secret, send: alarms}}\n"
        f"hook: {{command: [/bin/sh, -c, 'cat >> {place}/hooked']}}\n"
        f"mqtt: {{host: 127.0.0.1, port: {broker.port}, device_id: pi}}\n"
    )
    assert watch(place, text, "--fast", "--json") == 0
    broker.kill()
    out, err = capsys.readouterr()
    alarms = [line for line in map(json.loads, out.splitlines()) if line["type"] == "alarm"]
    assert [line["state"] for line in alarms] == ["start", "end"]
    assert [(one["machine"], one["id"], one["state"], one["device"]) for one in got] == [
        ("fan", line["id"], line["state"], "pi") for line in alarms
    ]
    hooked = [json.loads(line)["message_id"] for line in (place / "hooked").read_text().splitlines()]
    assert hooked == [one["message_id"] for one in got]
    assert "'edge-asd/pi/fan/event'" in broker.log()
    assert SECRET not in out + err


def test_what_could_not_be_sent_waits_for_the_next_run(
    place: Path, inbox: tuple[int, list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    port, got = inbox
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = free.getsockname()[1]
    assert watch(place, f"webhook: {{url: 'http://127.0.0.1:{nobody}/'}}\n", "--fast", "--json") == 0
    said = capsys.readouterr().err
    queue = DiskQueue(place / "state/queue/webhook.db", 10**6)
    waiting = len(queue)
    queue.close()
    assert f"webhook: {waiting} messages wait on the card for the next run" in said
    assert waiting >= 3
    config = load_config(configured(place, f"webhook: {{url: 'http://127.0.0.1:{port}/'}}\n"), environment={}).config
    environment = {"STATE_DIRECTORY": str(place / "state")}
    (sink,) = output_sinks(config, ["fan"], clock=time.time, environment=environment, warn=lambda words: None)
    until(lambda: len(got) == waiting)
    sink.close()
    assert [one["state"] for one in got if one["type"] == "alarm"] == ["start", "end"]
    assert got[-1]["type"] == "summary"


LISTENING = "0A"


def listening_sockets(pid: int) -> int:
    """Listening TCP sockets, of any address, that the process holds."""
    links = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    tables = [Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    return sum(1 for row in rows if row[3] == LISTENING and f"socket:[{row[9]}]" in links)


@pytest.mark.parametrize(("text", "n_listening"), [("", 0), ("prometheus: {port: PORT}\n", 1)])
def test_nothing_listens_unless_metrics_are_asked_for(place: Path, text: str, n_listening: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = configured(place, text.replace("PORT", str(port)))
    words = ["run", "--bundle", place / "fan.asd", "--config", config, "--input", place / "ill.wav", "--json"]
    running = subprocess.Popen([sys.executable, "-m", "edge_asd", *words], stdout=subprocess.PIPE)
    try:
        assert running.stdout is not None
        while json.loads(running.stdout.readline())["type"] != "score":
            pass
        assert listening_sockets(running.pid) == n_listening
        if n_listening:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/metrics")
            assert 'edge_asd_windows_total{machine="fan"}' in connection.getresponse().read().decode()
            connection.close()
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("webhook: {url: gopher://x}", 78, "no address of the web"),
        ("webhook: {url: 'https://x/', secret_file: none}", 66, "none does not exist; write the secret into it"),
        ("webhook: {url: 'https://x/', secret_file: 'credential:web'}", 78, "add LoadCredential=web:FILE"),
        ("webhook: {url: 'https://x/', ca_file: none.pem}", 78, "webhook.ca_file: "),
        ("webhook: {url: 'https://x/', ca_file: secret}", 78, "webhook.ca_file: "),
        ("webhook: {url: 'https://x/', cert_file: secret}", 78, "webhook.cert_file: "),
        ("mqtt: {host: x, password_file: secret}", 78, "mqtt.password_file without mqtt.user"),
        ("mqtt: {host: x, ca_file: secret}", 78, "TLS is off; set mqtt.tls: true"),
        ("mqtt: {host: x, tls: yes please}", 78, "give true or false"),
        ("mqtt: {host: x, topic: 'a/#'}", 78, "leave out + and #"),
        ("mqtt: {host: x, protocol: v4}", 78, "v3.1.1 or v5"),
        ("prometheus: {port: 9000, address: 0.0.0.0}", 78, "set prometheus.token_file"),
        ("hook: {command: [/no/such/program]}", 78, "is no program that can be run"),
        ("hook: {command: ls -l}", 78, "give a list of words"),
        ("hook: {command: []}", 78, "give a list of words"),
        ("hook: {command: [a, [b]]}", 78, "hook.command, word 2 is a list; give text"),
    ],
)
def test_what_is_wrong_is_refused_at_the_start(
    place: Path, text: str, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert watch(place, text + "\n", "--fast") == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert SECRET not in err


@pytest.mark.parametrize(
    ("text", "package", "extra"),
    [
        ("mqtt: {host: x}", "paho", "mqtt"),
        ("prometheus: {port: 9000}", "prometheus_client", "prometheus"),
    ],
)
def test_a_missing_package_is_said_at_the_start_with_what_mends_it(
    place: Path,
    text: str,
    package: str,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert watch(place, text + "\n", "--fast") == 69
    assert f"pip install 'edge-asd[{extra}]'" in capsys.readouterr().err


def test_settings_show_the_file_of_a_secret_and_never_the_secret(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "mqtt: {host: x, user: u, password_file: secret}\nwebhook: {url: 'https://x/', token_file: 'credential:tok'}\n"
        "hook: {command: [/bin/true, a b]}\n"
    )
    path = configured(place, text)
    assert main(["run", "--config", str(path), "--print-config"]) == 0
    shown = capsys.readouterr().out
    assert f"password_file: {place / 'secret'}" in shown
    assert "credential:tok" in shown
    assert SECRET not in shown
    (place / "again.yaml").write_text(shown)
    assert load_config(place / "again.yaml", environment={}).config == load_config(path, environment={}).config


def test_no_error_shows_a_secret_even_to_those_who_debug(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGE_ASD_DEBUG", "1")
    (place / "secret").write_text(f"whsec_{SECRET}***")
    for text in (
        "webhook: {url: 'https://x/', secret_file: secret}",
        "mqtt: {host: x, user: u, password_file: secret, topic: '#'}",
        "prometheus: {port: 9000, address: no.such.host.invalid, token_file: secret}",
    ):
        assert watch(place, text + "\n", "--fast") in (69, 78)
    shown = capsys.readouterr()
    assert "Traceback" in shown.err
    assert SECRET not in shown.out + shown.err


def test_a_card_that_is_read_only_does_not_end_the_run(place: Path, inbox: tuple[int, list[dict[str, Any]]]) -> None:
    port, got = inbox
    (place / "nowhere").write_text("a file where the directory should be")
    text = f"webhook: {{url: 'http://127.0.0.1:{port}/'}}\nqueue: {{directory: nowhere}}\n"
    said: list[str] = []
    config = load_config(configured(place, text), environment={}).config
    sinks = output_sinks(config, ["fan"], clock=time.time, environment={}, warn=said.append)
    sinks[0].write(alarm())
    until(lambda: got)
    for sink in sinks:
        sink.close()
    assert "what waits is kept in memory" in said[0]


def test_one_that_is_wrong_leaves_nothing_of_the_others_behind(place: Path) -> None:
    config = load_config(
        configured(place, "webhook: {url: 'http://127.0.0.1:9/'}\nhook: {command: [/no/such]}\n"), environment={}
    ).config
    environment = {"STATE_DIRECTORY": str(place / "s")}
    before = threading.active_count()
    with pytest.raises(EdgeAsdError):
        output_sinks(config, ["fan"], clock=time.time, environment=environment, warn=lambda words: None)
    until(lambda: threading.active_count() <= before)
    DiskQueue(place / "s/queue/webhook.db", 10**6).close()


def test_state_is_kept_where_systemd_or_the_user_says() -> None:
    assert state_directory({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "HOME": "/h"}) == Path("/var/lib/a")
    assert state_directory({"XDG_STATE_HOME": "/x", "HOME": "/h"}) == Path("/x/edge-asd")
    assert state_directory({"HOME": "/h"}) == Path("/h/.local/state/edge-asd")

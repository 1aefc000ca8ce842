"""The webhook against real servers: what it sends, what it makes of answers, slowness, breakage and certificates."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_asd.errors import ConfigError
from edge_asd.outputs.delivery import Refused, TryLater
from edge_asd.outputs.message import Message, message_of
from edge_asd.outputs.outlet import Outlet
from edge_asd.outputs.secrets import Secret
from edge_asd.outputs.tls import client_context
from edge_asd.outputs.webhook import Webhook
from tests.fakes.certificates import Authority
from tests.fakes.records import alarm, until

MESSAGE = message_of(alarm(1), "pi")
NOW = 1.9e9


class Server:
    """A real HTTP(S) server that keeps requests; `answers` are status and headers, 204 when there are no more."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                status, headers = outer.answers.pop(0) if outer.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def webhook(port: int, **more: Any) -> Webhook:
    wanted = {"timeout_s": 5.0, "secret": None, "token": None, "context": None, "clock": lambda: NOW, **more}
    return Webhook(wanted.pop("url", f"http://127.0.0.1:{port}/hook?a=1"), **wanted)


def test_what_arrives_is_signed_json_with_an_id(server: Server) -> None:
    webhook(server.port, secret=Secret(b"not telling"), token=Secret(b"open sesame")).deliver(MESSAGE)
    path, headers, body = server.requests[0]
    assert path == "/hook?a=1"
    assert json.loads(body) == json.loads(MESSAGE.body)
    assert json.loads(body)["explanation"] == "a new tone at 1000 Hz"
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Bearer open sesame"
    assert headers["webhook-id"] == MESSAGE.id == json.loads(body)["message_id"]
    assert headers["webhook-timestamp"] == "1900000000"
    signed = f"{headers['webhook-id']}.1900000000.".encode() + body
    expected = base64.b64encode(hmac.new(b"not telling", signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_the_signature_is_that_of_the_standard(server: Server) -> None:
    """The example of standardwebhooks.com's own libraries: id, timestamp, body, secret and signature."""
    secret = Secret(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = '{"test": 2432232314}'
    message = Message("msg_p5jXN8AQM9LWM0D4loKWxJek", body)
    webhook(server.port, secret=secret, clock=lambda: 1614265330.4).deliver(message)
    assert server.requests[0][1]["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_without_secret_and_token_nothing_is_signed(server: Server) -> None:
    webhook(server.port).deliver(MESSAGE)
    assert not {"webhook-signature", "authorization"} & set(server.requests[0][1])


@pytest.mark.parametrize(
    ("status", "headers", "error", "pause_s"),
    [
        (400, {}, Refused, None),
        (401, {}, Refused, None),
        (404, {}, Refused, None),
        (408, {}, TryLater, None),
        (429, {"Retry-After": "17"}, TryLater, 17.0),
        (500, {}, TryLater, None),
        (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, TryLater, None),
        (302, {"Location": "/login"}, TryLater, None),
    ],
)
def test_what_answers_mean(
    server: Server, status: int, headers: dict[str, str], error: type[Exception], pause_s: float | None
) -> None:
    server.answers = [(status, headers)]
    with pytest.raises(error, match=f"HTTP {status}") as raised:
        webhook(server.port).deliver(MESSAGE)
    assert getattr(raised.value, "pause_s", None) == pause_s
    assert len(server.requests) == 1


def lone(serve: Callable[[socket.socket], None]) -> int:
    """A server of one connection; give its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with listening, listening.accept()[0] as connection:
            serve(connection)

    threading.Thread(target=run, daemon=True).start()
    return int(listening.getsockname()[1])


def never_answers(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def drips(connection: socket.socket) -> None:
    try:
        while True:
            connection.send(b"H")
            threading.Event().wait(0.02)
    except OSError:
        pass


def hangs_up(connection: socket.socket) -> None:
    connection.recv(10)


def talks_nonsense(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.send(b"\x00\x01 what?\r\n\r\n")


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        (never_answers, "no answer in time"),
        (drips, "no answer in time"),
        (hangs_up, "reset|closed|Broken pipe"),
        (talks_nonsense, "no HTTP answer"),
    ],
)
def test_a_broken_receiver_is_tried_again_later(serve: Callable[[socket.socket], None], words: str) -> None:
    with pytest.raises(TryLater, match=words):
        webhook(lone(serve), timeout_s=0.3).deliver(MESSAGE)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_receiver_that_never_shakes_hands_is_left(scheme: str) -> None:
    port = lone(drips)
    with pytest.raises(TryLater):
        webhook(port, url=f"{scheme}://127.0.0.1:{port}/", timeout_s=0.3).deliver(MESSAGE)


def test_nobody_there(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(TryLater, match="Connection refused"):
        webhook(port).deliver(MESSAGE)


def test_through_a_queue_each_arrives_once_the_receiver_is_back(
    server: Server, make_outlet: Callable[..., Outlet]
) -> None:
    server.answers = [(503, {}), (503, {}), (204, {}), (500, {})]
    outlet = make_outlet(webhook(server.port))
    for number in range(3):
        outlet.write(alarm(number))
    until(lambda: outlet.sent == 3)
    sent = [json.loads(body)["id"] for _, _, body in server.requests]
    assert sent == ["alarm-0", "alarm-0", "alarm-0", "alarm-1", "alarm-1", "alarm-2"]
    assert len({headers["webhook-id"] for _, headers, _ in server.requests}) == 3


def test_the_end_of_the_run_hangs_up_on_a_silent_receiver(make_outlet: Callable[..., Outlet]) -> None:
    heard = threading.Event()

    def silent(connection: socket.socket) -> None:
        connection.recv(10)
        heard.set()
        never_answers(connection)

    outlet = make_outlet(webhook(lone(silent), timeout_s=300.0))
    outlet.write(alarm(1))
    assert heard.wait(10)
    outlet.close()
    assert not outlet._sender.is_alive()


def test_tls_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = Server(authority.server_context("localhost"))
    url = f"https://localhost:{server.port}/hook"
    trusted = client_context("webhook", ca_file=str(authority.certificate), cert_file=None, key_file=None)
    webhook(0, url=url, context=trusted).deliver(MESSAGE)
    assert len(server.requests) == 1
    with pytest.raises(TryLater, match=r"bad certificate: .*ca_file"):
        webhook(0, url=url).deliver(MESSAGE)
    server.close()
    stranger = Server(authority.server_context("somebody.else"))
    with pytest.raises(TryLater, match=r"bad certificate: .*mismatch"):
        webhook(0, url=f"https://localhost:{stranger.port}/", context=trusted).deliver(MESSAGE)
    stranger.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://a/b", "no address of the web"),
        ("fan", "no address of the web"),
        ("http://", "no address of the web"),
        ("http://a/b c", "no address of the web"),
        ("http://a:99999/", "Port out of range"),
        ("https://me:secret@a/", "holds a password"),
    ],
)
def test_a_url_that_cannot_be_one_is_refused(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as raised:
        webhook(0, url=url)
    assert "secret" not in str(raised.value)


def test_a_secret_that_is_not_what_it_says_is_refused() -> None:
    with pytest.raises(ConfigError, match="not base64"):
        webhook(1, secret=Secret(b"whsec_***"))

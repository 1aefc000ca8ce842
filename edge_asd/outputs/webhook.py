"""A POST of JSON for each message, signed so that its receiver knows who sent it and when.

Signature: Standard Webhooks 1.0 (standardwebhooks.com), for which there are libraries in many languages: the headers
`webhook-id`, `webhook-timestamp` (Unix seconds) and `webhook-signature`: "v1," and the base64 of HMAC-SHA256 over
"id.timestamp.body".
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import http.client
import socket
import ssl
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from edge_asd import __version__
from edge_asd.errors import ConfigError
from edge_asd.outputs.delivery import Refused, TryLater
from edge_asd.outputs.message import Message
from edge_asd.outputs.secrets import Secret
from edge_asd.outputs.tls import failure_in_words

KEPT_STATUSES = (408, 425, 429)
"""Of the 4xx, those that say: not now."""
SECRET_PREFIX = b"whsec_"
"""Before a secret that is written in base64, as the standard wants; any other file is taken as it stands."""


class Webhook:
    """A receiver at a URL.

    url: http or https; redirects are not followed. timeout_s: for a whole exchange.
    secret: signs; token: goes into `Authorization: Bearer`. context: for https.
    clock: UTC seconds; dates the signature, so it should be right.

    Raises ConfigError for a URL that cannot be one.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        secret: Secret | None,
        token: Secret | None,
        context: ssl.SSLContext | None,
        clock: Callable[[], float],
    ) -> None:
        self._host, self._port, self._target, self._tls = _parts(url)
        self._timeout_s = timeout_s
        self._secret = None if secret is None else signing_key(secret)
        self._token = token
        self._context = (context or ssl.create_default_context()) if self._tls else None
        self._clock = clock
        self._open: http.client.HTTPConnection | None = None

    def deliver(self, message: Message) -> None:
        """POST it once. Raises TryLater (no answer, 5xx, 408, 425, 429, a redirect), Refused (other 4xx)."""
        kind = http.client.HTTPSConnection if self._tls else http.client.HTTPConnection
        connection = self._open = kind(self._host, self._port)
        late = threading.Event()

        def end() -> None:
            late.set()
            _hang_up(connection)

        # A socket's own timeout begins anew with every byte; a receiver that drips them would hold us for ever.
        limit = threading.Timer(self._timeout_s, end)
        limit.daemon = True
        limit.start()
        try:
            self._connect(connection)
            body = message.body.encode()
            connection.request("POST", self._target, body, self._headers(message.id, body))
            answer = connection.getresponse()
            status, pause = answer.status, answer.headers.get("Retry-After", "")
        except OSError as error:
            raise TryLater("no answer in time" if late.is_set() else failure_in_words(error)) from error
        except http.client.HTTPException as error:
            words = "no answer in time" if late.is_set() else f"no HTTP answer ({type(error).__name__})"
            raise TryLater(words) from error
        finally:
            limit.cancel()
            self._open = None
            connection.close()
        if 200 <= status < 300:
            return
        if 400 <= status < 500 and status not in KEPT_STATUSES:
            raise Refused(f"HTTP {status}")
        raise TryLater(f"HTTP {status}", float(pause) if pause.isascii() and pause.isdigit() else None)

    def close(self) -> None:
        """Hang up on whoever is still thinking."""
        connection = self._open
        if connection is not None:
            _hang_up(connection)

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        """Connect and shake hands, in two steps: `connection.sock` is then the one to hang up on, all the while."""
        connection.sock = socket.create_connection((self._host, connection.port), self._timeout_s)
        if self._context is not None:
            connection.sock = self._context.wrap_socket(
                connection.sock, server_hostname=self._host, do_handshake_on_connect=False
            )
            connection.sock.do_handshake()

    def _headers(self, mark: str, body: bytes) -> dict[str, str]:
        stamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"edge-asd/{__version__}",
            "webhook-id": mark,
            "webhook-timestamp": stamp,
        }
        if self._secret is not None:
            headers["webhook-signature"] = signature(self._secret, mark, stamp, body)
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.text()}"
        return headers


def signature(key: Secret, mark: str, stamp: str, body: bytes) -> str:
    """What stands in `webhook-signature`."""
    signed = b".".join((mark.encode(), stamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key.reveal(), signed, hashlib.sha256).digest()).decode()


def signing_key(secret: Secret) -> Secret:
    """The bytes that sign. Raises ConfigError for a whsec_ secret that is not base64."""
    value = secret.reveal()
    if not value.startswith(SECRET_PREFIX):
        return secret
    try:
        return Secret(base64.b64decode(value.removeprefix(SECRET_PREFIX), validate=True))
    except binascii.Error:
        raise ConfigError("webhook.secret_file: what follows whsec_ is not base64", remedy="copy it anew") from None


def _parts(url: str) -> tuple[str, int | None, str, bool]:
    """Host, port, path with query, and whether by TLS."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"webhook.url: {error}", remedy="give https://host/path") from None
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or any(c <= " " for c in url):
        raise ConfigError("webhook.url is no address of the web", remedy="give https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("webhook.url holds a password", remedy="put a token into webhook.token_file")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return host, port, target, parts.scheme == "https"


def _hang_up(connection: http.client.HTTPConnection) -> None:
    """End whatever the connection's thread waits for."""
    opened = connection.sock
    if opened is not None:
        with contextlib.suppress(OSError):
            # Of the bare socket: a TLS one would wait for a farewell.
            socket.socket.shutdown(opened, socket.SHUT_RDWR)

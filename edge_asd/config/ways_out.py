"""Settings of the ways out: MQTT, webhook, Prometheus, hook, and the queues before them. All are off by default."""

from __future__ import annotations

from dataclasses import dataclass

from edge_asd.config.setting import setting


@dataclass(frozen=True)
class QueueConfig:
    """Where what is to be sent waits until its receiver has it: a queue each for MQTT, webhook and hook."""

    directory: str | None = setting(None, kind="path", optional=True)
    """Where queues are kept; unset: `queue` in the state directory (of the service, else of the user)."""
    size: int = setting(16 * 2**20, kind="size")
    """What each queue may take at most, such as 16MiB (some 8000 alarms); beyond it the oldest are dropped."""


@dataclass(frozen=True)
class MqttConfig:
    """To an MQTT broker, and by it to Home Assistant; off without a host."""

    host: str | None = setting(None, kind="text", optional=True)
    """The broker's name or address."""
    port: int | None = setting(None, kind="whole", at_least=1, at_most=65535, optional=True)
    """Its port; unset: 1883, with TLS 8883."""
    protocol: str = setting("v3.1.1", kind="text", choices=("v3.1.1", "v5"))
    """Version of MQTT."""
    tls: bool = setting(False, kind="switch")
    """Encrypted, and the broker's certificate checked against its name."""
    ca_file: str | None = setting(None, kind="path", optional=True)
    """Certificates (PEM) trusted in place of the system's, for a broker with a CA of one's own."""
    cert_file: str | None = setting(None, kind="path", optional=True)
    """Own certificate (PEM), where the broker asks for one."""
    key_file: str | None = setting(None, kind="path", optional=True)
    """Its secret key (PEM)."""
    user: str | None = setting(None, kind="text", optional=True)
    """Name to log in with."""
    password_file: str | None = setting(None, kind="secret", optional=True)
    """File with the password, or credential:NAME of systemd."""
    device_id: str | None = setting(None, kind="text", optional=True)
    """What this board is called in topics and as a client, once per broker; unset: its host name."""
    topic: str = setting("edge-asd", kind="text")
    """First part of every topic."""
    score_s: float = setting(10.0, kind="number", at_least=1, at_most=3600)
    """Seconds between two scores that are sent; alarms go at once."""
    keepalive_s: int = setting(30, kind="whole", at_least=5, at_most=65535)
    """Seconds of silence after which the connection is tested."""
    home_assistant: bool = setting(True, kind="switch")
    """Announce each machine to Home Assistant, which then shows it by itself."""
    discovery_prefix: str = setting("homeassistant", kind="text")
    """Where Home Assistant listens for announcements."""


@dataclass(frozen=True)
class WebhookConfig:
    """A POST of JSON for each event; off without a URL."""

    url: str | None = setting(None, kind="text", optional=True)
    """Where to: https://... or http://..."""
    send: str = setting("all", kind="text", choices=("all", "alarms"))
    """Alarms only, or whatever happens (never each score)."""
    secret_file: str | None = setting(None, kind="secret", optional=True)
    """File with the secret that signs what is sent (HMAC-SHA256), or credential:NAME of systemd."""
    token_file: str | None = setting(None, kind="secret", optional=True)
    """File with a token for `Authorization: Bearer`, or credential:NAME of systemd."""
    ca_file: str | None = setting(None, kind="path", optional=True)
    """Certificates (PEM) trusted in place of the system's."""
    cert_file: str | None = setting(None, kind="path", optional=True)
    """Own certificate (PEM), where the receiver asks for one."""
    key_file: str | None = setting(None, kind="path", optional=True)
    """Its secret key (PEM)."""
    timeout_s: float = setting(10.0, kind="number", at_least=0.1, at_most=300)
    """Seconds the receiver may take for a whole exchange."""


@dataclass(frozen=True)
class PrometheusConfig:
    """Figures for Prometheus to fetch at /metrics; off without a port. The only thing that ever listens."""

    port: int | None = setting(None, kind="whole", at_least=1, at_most=65535, optional=True)
    """Port to listen on."""
    address: str = setting("127.0.0.1", kind="text")
    """Address to listen on; another than this device's own (loopback) asks for a token."""
    token_file: str | None = setting(None, kind="secret", optional=True)
    """File with the token asked of whoever fetches (Authorization: Bearer), or credential:NAME of systemd."""


@dataclass(frozen=True)
class HookConfig:
    """A command of one's own for each alarm's start and end; off without a command."""

    command: tuple[str, ...] | None = setting(None, kind="words", optional=True)
    """Program and arguments, no shell; it gets the alarm as JSON on standard input."""
    send: str = setting("alarms", kind="text", choices=("all", "alarms"))
    """Alarms only, or whatever happens (never each score)."""
    timeout_s: float = setting(30.0, kind="number", at_least=0.1, at_most=3600)
    """Seconds it may take; then it is killed."""

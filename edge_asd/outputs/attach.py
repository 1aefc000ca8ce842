"""From the configuration to the sinks of the ways out; nothing is loaded for those that are off."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_asd.errors import StorageError, UnavailableError
from edge_asd.outputs.delivery import Backoff, Receiver
from edge_asd.outputs.message import Chosen
from edge_asd.outputs.mqtt import Broker, MqttLink, own_name
from edge_asd.outputs.outlet import Outlet
from edge_asd.outputs.queue import DiskQueue
from edge_asd.outputs.secrets import Secret, read_secret
from edge_asd.outputs.settled import hook_of, mqtt_context, webhook_of
from edge_asd.outputs.topics import Topics
from edge_asd.state import state_directory

if TYPE_CHECKING:
    from edge_asd.config import Config
    from edge_asd.config.ways_out import MqttConfig, WebhookConfig
    from edge_asd.monitor.records import Record
    from edge_asd.monitor.sinks import Sink
    from edge_asd.outputs.prometheus import MetricsServer

IN_MEMORY_BYTES = 2**20
"""Of a queue that the card does not take."""
MQTT_PORT, MQTT_TLS_PORT = 1883, 8883
CLOSED_WITHIN_S = 10.0
"""Half of what the unit gives the service to stop."""


def output_sinks(
    config: Config,
    machines: Sequence[str],
    *,
    clock: Callable[[], float],
    environment: Mapping[str, str],
    warn: Callable[[str], None],
) -> list[Sink]:
    """The sinks of all ways out that are configured, usually none.

    machines: names. clock: UTC seconds. environment: usually `os.environ`. warn: told what a person should know, also
    later, when a receiver fails and recovers.

    Raises ConfigError, MissingInputError, StorageError (secrets, certificates, commands, addresses that are wrong),
    UnavailableError (a package is missing, a port or a queue is taken).
    """
    making = _Making(config, list(machines), clock, environment, warn)
    try:
        if config.mqtt.host is not None:
            making.mqtt(config.mqtt, config.mqtt.host)
        if config.webhook.url is not None:
            making.webhook(config.webhook, config.webhook.url)
        if config.hook.command is not None:
            making.hook(config.hook.command)
        if config.prometheus.port is not None:
            making.prometheus(config.prometheus.port)
    except BaseException:
        for sink in making.sinks:
            sink.close()
        raise
    return [_Together(making.sinks)] if making.sinks else []


class _Together:
    """All ways out as one sink: when the run ends, they end at the same time, not one after the other."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    def write(self, record: Record) -> None:
        """Take one record."""
        for sink in self._sinks:
            sink.write(record)

    def close(self) -> None:
        """Within some seconds, whatever the receivers do; safe to call twice."""
        threads = [threading.Thread(target=sink.close, daemon=True) for sink in self._sinks]
        for thread in threads:
            thread.start()
        end_s = time.monotonic() + CLOSED_WITHIN_S
        for thread in threads:
            thread.join(max(0.0, end_s - time.monotonic()))


class _Making:
    def __init__(
        self,
        config: Config,
        machines: list[str],
        clock: Callable[[], float],
        environment: Mapping[str, str],
        warn: Callable[[str], None],
    ) -> None:
        self._config = config
        self._machines = machines
        self._clock = clock
        self._environment = environment
        self._warn = warn
        self._device = config.mqtt.device_id or own_name()
        self._outlets: list[Outlet] = []
        self.sinks: list[Sink] = []

    def mqtt(self, wanted: MqttConfig, host: str) -> None:
        try:
            import paho.mqtt.client  # noqa: F401 (here, not on a thread nobody watches)
        except ImportError as error:
            raise _missing("paho-mqtt", "mqtt", "mqtt.host") from error
        context = mqtt_context(wanted)
        password = self._secret("mqtt.password_file", wanted.password_file)
        if context is None and password is not None:
            self._warn("warning: mqtt: the password crosses the network unencrypted; mqtt.tls: true mends it")
        broker = Broker(
            host,
            wanted.port or (MQTT_TLS_PORT if wanted.tls else MQTT_PORT),
            wanted.protocol,
            context,
            wanted.user,
            password,
            wanted.keepalive_s,
        )
        queue = self._queue("mqtt")
        link = MqttLink(
            broker,
            Topics(wanted.topic.strip("/"), self._device),
            self._machines,
            prefix=wanted.discovery_prefix.strip("/") if wanted.home_assistant else None,
            score_s=wanted.score_s,
            backoff=self._backoff(),
            warn=self._warn,
        )
        # States first: whoever gets an event finds them up to date. The outlet closes the link, after its last words.
        self.sinks.append(_States(link))
        self._outlet("mqtt", queue, link, Chosen())

    def webhook(self, wanted: WebhookConfig, url: str) -> None:
        secret = self._secret("webhook.secret_file", wanted.secret_file)
        token = self._secret("webhook.token_file", wanted.token_file)
        receiver = webhook_of(wanted, url, secret=secret, token=token, clock=self._clock)
        if token is not None and not url.lower().startswith("https:"):
            self._warn("warning: webhook: the token crosses the network unencrypted; a https URL mends it")
        self._outlet("webhook", self._queue("webhook"), receiver, Chosen(alarms_only=wanted.send == "alarms"))

    def hook(self, command: tuple[str, ...]) -> None:
        wanted = self._config.hook
        receiver = hook_of(wanted, command, self._environment)
        self._outlet("hook", self._queue("hook"), receiver, Chosen(alarms_only=wanted.send == "alarms"))

    def prometheus(self, port: int) -> None:
        try:
            from prometheus_client import CollectorRegistry
        except ImportError as error:
            raise _missing("prometheus-client", "prometheus", "prometheus.port") from error
        from edge_asd.outputs.prometheus import Metrics, MetricsServer

        wanted = self._config.prometheus
        token = self._secret("prometheus.token_file", wanted.token_file)
        registry = CollectorRegistry()
        metrics = Metrics(registry, self._machines, clock=self._clock, outlets=self._outlets)
        self.sinks.append(_Served(metrics, MetricsServer(registry, wanted.address, port, token=token)))

    def _secret(self, setting: str, named: str | None) -> Secret | None:
        return None if named is None else read_secret(setting, named, self._environment, warn=self._warn)

    def _queue(self, name: str) -> DiskQueue:
        wanted = self._config.queue
        directory = Path(wanted.directory) if wanted.directory else state_directory(self._environment) / "queue"
        try:
            return DiskQueue(directory / f"{name}.db", wanted.size)
        except StorageError as error:
            # A card gone read-only must not make the device deaf: what it hears now is still told.
            self._warn(f"warning: {name}: {error}; what waits is kept in memory and lost with the run")
            return DiskQueue(None, min(wanted.size, IN_MEMORY_BYTES))

    def _outlet(self, name: str, queue: DiskQueue, receiver: Receiver, chosen: Chosen) -> None:
        outlet = Outlet(
            name,
            queue,
            receiver,
            device=self._device,
            chosen=chosen,
            backoff=self._backoff(),
            warn=self._warn,
        )
        self._outlets.append(outlet)
        self.sinks.append(outlet)

    def _backoff(self) -> Backoff:
        return Backoff(random.Random(os.urandom(8)))  # unlike any other board's


class _States:
    """A link that somebody else closes."""

    def __init__(self, link: MqttLink) -> None:
        self._link = link

    def write(self, record: Record) -> None:
        """Take one record."""
        self._link.write(record)

    def close(self) -> None:
        """Left to the link's outlet."""


class _Served:
    """The figures with the server that shows them."""

    def __init__(self, metrics: Sink, server: MetricsServer) -> None:
        self._metrics = metrics
        self._server = server

    def write(self, record: Record) -> None:
        """Take one record."""
        self._metrics.write(record)

    def close(self) -> None:
        """Stop listening."""
        self._server.close()


def _missing(package: str, extra: str, setting: str) -> UnavailableError:
    return UnavailableError(
        f"{setting} is set, and the package {package} is not installed",
        remedy=f"pip install 'edge-asd[{extra}]'",
    )

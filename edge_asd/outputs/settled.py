"""Settings of the ways out that must fit together or fit this device: `run` refuses by them, `config check` tells.

Nothing here opens a socket or a queue, or reads a secret; nothing is loaded for a way out that is off.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edge_asd.errors import ConfigError
from edge_asd.outputs.tls import client_context

if TYPE_CHECKING:
    import ssl

    from edge_asd.config import Config
    from edge_asd.config.ways_out import HookConfig, MqttConfig, WebhookConfig
    from edge_asd.outputs.hook import Hook
    from edge_asd.outputs.secrets import Secret
    from edge_asd.outputs.webhook import Webhook


def refuse_unsettled(config: Config, environment: Mapping[str, str]) -> None:
    """Raise the ConfigError with which `output_sinks` would refuse what is configured, but for the secrets' content.

    environment: usually `os.environ`.
    """
    if config.mqtt.host is not None:
        mqtt_context(config.mqtt)
    if config.webhook.url is not None:
        webhook_of(config.webhook, config.webhook.url, secret=None, token=None, clock=time.time)
    if config.hook.command is not None:
        hook_of(config.hook, config.hook.command, environment)
    if config.prometheus.port is not None:
        from edge_asd.outputs.prometheus import refuse_reachable

        refuse_reachable(config.prometheus.address, has_token=config.prometheus.token_file is not None)


def mqtt_context(wanted: MqttConfig) -> ssl.SSLContext | None:
    """TLS for the broker, None where it is off. Raises ConfigError, also for what else does not fit together."""
    if wanted.password_file is not None and wanted.user is None:
        raise ConfigError("mqtt.password_file without mqtt.user", remedy="name the user, too")
    for key in ("topic", "discovery_prefix"):
        if any(c in "+#\0" for c in getattr(wanted, key)):
            raise ConfigError(f"mqtt.{key} is {getattr(wanted, key)!r}", remedy="leave out + and #")
    if wanted.tls:
        return _context("mqtt", wanted)
    for key in ("ca_file", "cert_file", "key_file"):
        if getattr(wanted, key) is not None:
            raise ConfigError(f"mqtt.{key} is set and TLS is off", remedy="set mqtt.tls: true")
    return None


def webhook_of(
    wanted: WebhookConfig, url: str, *, secret: Secret | None, token: Secret | None, clock: Callable[[], float]
) -> Webhook:
    """The receiver at `url`; see `Webhook`. Raises ConfigError."""
    from edge_asd.outputs.webhook import Webhook

    tls = url.lower().startswith("https:")
    return Webhook(
        url,
        timeout_s=wanted.timeout_s,
        secret=secret,
        token=token,
        context=_context("webhook", wanted) if tls else None,
        clock=clock,
    )


def hook_of(wanted: HookConfig, command: tuple[str, ...], environment: Mapping[str, str]) -> Hook:
    """What runs `command`; see `Hook`. Raises ConfigError."""
    from edge_asd.outputs.hook import Hook

    return Hook(command, timeout_s=wanted.timeout_s, environment=environment)


def _context(section: str, wanted: MqttConfig | WebhookConfig) -> ssl.SSLContext:
    return client_context(section, ca_file=wanted.ca_file, cert_file=wanted.cert_file, key_file=wanted.key_file)

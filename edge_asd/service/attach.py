"""From the environment systemd gives to the sinks that serve it; none of them in a run by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from edge_asd.service.notify import Notifier, ServiceSink
from edge_asd.service.status import DIRECTORY_VARIABLE, StatusSink, status_path

if TYPE_CHECKING:
    from edge_asd.monitor.sinks import Sink


def service_sinks(
    machines: Mapping[str, str],
    environment: Mapping[str, str],
    *,
    clock: Callable[[], float],
    disk: Callable[[], dict[str, Any] | None] = lambda: None,
) -> list[Sink]:
    """What a service owes its manager and its user.

    machines: name -> path of its bundle. environment: usually `os.environ`. clock: UTC seconds.
    disk: bytes free and used where events are kept (see `StatusSink`).
    """
    sinks: list[Sink] = []
    if environment.get(DIRECTORY_VARIABLE):
        path = status_path(environment)
        sinks.append(StatusSink(path, machines, clock=clock, monotonic=time.monotonic, disk=disk))
    # After the file, so that whoever waited for "ready" finds it.
    notifier = Notifier.from_environment(environment)
    if notifier is not None:
        sinks.append(ServiceSink(notifier, machines))
    return sinks

"""Where a store lies when nobody has said where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edge_asd.store.schema import FILE

STATE_VARIABLE = "STATE_DIRECTORY"
SERVICE_DIRECTORY = Path("/var/lib/edge-asd")
"""What systemd names in STATE_DIRECTORY for the unit that `edge-asd service install` writes."""


def service_directory(environment: Mapping[str, str]) -> Path | None:
    """The state directory systemd gives a service; None for a run by hand."""
    # systemd separates several directories by colons; ours is the first.
    named = environment.get(STATE_VARIABLE, "").split(":")[0]
    return Path(named) if named else None


def own_directory(environment: Mapping[str, str]) -> Path:
    """Where a person's programs keep their state. Source: XDG Base Directory Specification."""
    state = environment.get("XDG_STATE_HOME", "")
    home = Path(environment.get("HOME") or "/")
    return (Path(state) if state.startswith("/") else home / ".local/state") / "edge-asd"


def directory_to_read(environment: Mapping[str, str], service: Path = SERVICE_DIRECTORY) -> Path:
    """Where to look for events: the service's, unless only the person asking has kept some."""
    named = service_directory(environment)
    if named is not None:
        return named
    own = own_directory(environment)
    return own if (own / FILE).exists() and not service.exists() else service if service.exists() else own

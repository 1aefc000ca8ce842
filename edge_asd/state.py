"""Where a program keeps its state when nobody has said where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

STATE_VARIABLE = "STATE_DIRECTORY"
SERVICE_DIRECTORY = Path("/var/lib/edge-asd")
"""What systemd names in STATE_DIRECTORY for the unit that `edge-asd service install` writes."""


def service_directory(environment: Mapping[str, str]) -> Path | None:
    """The state directory systemd gives a service; None for a run by hand."""
    # systemd separates several directories by colons; ours is the first.
    named = environment.get(STATE_VARIABLE, "").split(":")[0]
    return Path(named) if named else None


def own_directory(environment: Mapping[str, str]) -> Path:
    """Where a person's programs keep their state. Source: XDG Base Directory Specification 0.8."""
    state = environment.get("XDG_STATE_HOME", "")
    home = Path(environment.get("HOME") or "/")
    return (Path(state) if state.startswith("/") else home / ".local/state") / "edge-asd"


def state_directory(environment: Mapping[str, str]) -> Path:
    """Of the service, else of the person."""
    return service_directory(environment) or own_directory(environment)

"""Whether a run keeps a store, and where."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edge_asd.config.settings import StoreConfig
from edge_asd.contract import LogMelSpec
from edge_asd.monitor.clock import RunClock
from edge_asd.store.attach import StoreParts, store_parts
from edge_asd.store.schema import FILE


def parts(environment: dict[str, str], **settings: object) -> StoreParts:
    config = dataclasses.asdict(StoreConfig(**settings))  # type: ignore[arg-type]
    return store_parts(**config, environment=environment, clock=RunClock(), warn=print)


@pytest.mark.parametrize(
    ("settings", "service", "where"),
    [
        ({}, False, None),
        ({}, True, "state"),
        ({"enabled": False}, True, None),
        ({"enabled": True}, False, "home/.local/state/edge-asd"),
        ({"directory": "named"}, False, "named"),
        ({"directory": "named"}, True, "named"),
        ({"directory": "named", "enabled": False}, False, None),
    ],
)
def test_a_service_keeps_a_store_and_a_run_by_hand_where_it_is_told_to(
    tmp_path: Path, settings: dict[str, object], service: bool, where: str | None
) -> None:
    if "directory" in settings:
        settings = {**settings, "directory": str(tmp_path / "named")}
    environment = {"HOME": str(tmp_path / "home")}
    if service:
        environment["STATE_DIRECTORY"] = f"{tmp_path}/state:/other"
    made = parts(environment, **settings)
    for sink in made.sinks:
        sink.close()
    found = [str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob(FILE)]
    assert found == ([where] if where else [])
    assert (made.disk() is None) == (where is None)
    assert len(made.taps("fan", LogMelSpec())) == (where is not None)


@pytest.mark.parametrize(
    ("settings", "taps"),
    [({"clips": False}, 0), ({"clips": False, "pictures": True}, 1), ({"pictures": False}, 1), ({}, 1)],
)
def test_pictures_follow_the_privacy_switch_unless_they_are_asked_for(
    tmp_path: Path, settings: dict[str, object], taps: int
) -> None:
    made = parts({}, directory=str(tmp_path), **settings)
    assert len(made.taps("fan", LogMelSpec())) == taps
    for sink in made.sinks:
        sink.close()

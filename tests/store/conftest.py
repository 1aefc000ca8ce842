"""A store in a directory of its own, and what it said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_asd.monitor.clock import RunClock
from edge_asd.store.quota import Limits
from edge_asd.store.sink import ClipSettings, EventStore

LIMITS = Limits(quota_bytes=50_000_000, reserve_bytes=1)


@dataclass
class Opened:
    """Stores that a test opens, closed at its end.

    said: warnings. stored: machine, id, state of alarms that are on the card.
    """

    directory: Path
    said: list[str] = field(default_factory=list)
    stored: list[tuple[str, str, str]] = field(default_factory=list)
    open: list[EventStore] = field(default_factory=list)

    def __call__(
        self,
        *,
        limits: Limits = LIMITS,
        clips: ClipSettings | None = None,
        clock: RunClock | None = None,
        directory: Path | None = None,
    ) -> EventStore:
        store = EventStore(
            directory or self.directory,
            limits=limits,
            clips=clips or ClipSettings(before_s=1.0, after_s=1.0),
            clock=clock or RunClock(),
            warn=self.said.append,
            stored=lambda *words: self.stored.append(words),
        )
        self.open.append(store)
        return store


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Opened]:
    opened = Opened(tmp_path / "store")
    yield opened
    for store in opened.open:
        store.close()

"""Outlets that are closed at the end of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_asd.outputs.delivery import Backoff, Receiver
from edge_asd.outputs.message import Chosen
from edge_asd.outputs.outlet import Outlet
from edge_asd.outputs.queue import DiskQueue
from tests.fakes.records import Impatient

MakeOutlet = Callable[..., Outlet]


@pytest.fixture
def make_outlet(tmp_path: Path) -> Iterator[MakeOutlet]:
    """A function (receiver, limit_bytes, warn, ...) -> outlet with its queue at tmp_path/queue/out.db."""
    made: list[Outlet] = []

    def make(
        receiver: Receiver,
        *,
        limit_bytes: int = 2**20,
        warn: Callable[[str], None] = lambda words: None,
        backoff: Backoff | None = None,
        chosen: Chosen | None = None,
    ) -> Outlet:
        queue = DiskQueue(tmp_path / "queue/out.db", limit_bytes)
        outlet = Outlet(
            "out",
            queue,
            receiver,
            device="pi",
            chosen=chosen or Chosen(),
            backoff=backoff or Impatient(),
            warn=warn,
        )
        made.append(outlet)
        return outlet

    yield make
    for outlet in made:
        outlet.close()

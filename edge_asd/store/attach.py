"""From the settings to the store of a run: where it lies, and whether there is one at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_asd.state import service_directory, state_directory

if TYPE_CHECKING:
    from edge_asd.contract import LogMelSpec
    from edge_asd.monitor.clock import RunClock
    from edge_asd.monitor.live import Tap
    from edge_asd.monitor.sinks import Sink
    from edge_asd.store.sink import EventStore


class StoreParts:
    """What a run needs of a store; all empty where none is kept."""

    def __init__(self, store: EventStore | None) -> None:
        self._store = store

    @property
    def sinks(self) -> list[Sink]:
        """To be given the records of every machine."""
        return [] if self._store is None else [self._store]

    def taps(self, machine: str, spec: LogMelSpec) -> list[Tap]:
        """To be given the sound of one machine, as heard through the front end `spec`."""
        return [] if self._store is None else self._store.taps(machine, spec)

    def disk(self) -> dict[str, Any] | None:
        """Bytes used and free where events are kept, and what is wrong; None where nothing is kept."""
        return None if self._store is None else self._store.disk()

    @property
    def unstored(self) -> int:
        """Events that the card did not take, once the sinks are closed."""
        return 0 if self._store is None else self._store.unstored


def store_parts(
    *,
    directory: str | None,
    enabled: bool | None,
    quota: int,
    reserve_free: int,
    clips: bool,
    pictures: bool | None,
    pre_roll_s: float,
    post_roll_s: float,
    environment: Mapping[str, str],
    clock: RunClock,
    warn: Callable[[str], None],
) -> StoreParts:
    """The store of a run, as the settings of the section `store` say (see there).

    environment: usually `os.environ`. clock: the run's. warn: told what goes wrong with the card.

    Unless `enabled` says otherwise, a service keeps a store, and a run by hand one only where a directory is named.
    """
    from edge_asd.store.quota import Limits
    from edge_asd.store.sink import ClipSettings, EventStore

    place = Path(directory) if directory else service_directory(environment)
    if enabled is False or (enabled is None and place is None):
        return StoreParts(None)
    settings = ClipSettings(
        sound=clips,
        pictures=clips if pictures is None else pictures,
        before_s=pre_roll_s,
        after_s=post_roll_s,
    )
    return StoreParts(
        EventStore(
            place or state_directory(environment),
            limits=Limits(quota, reserve_free),
            clips=settings,
            clock=clock,
            warn=warn,
        )
    )

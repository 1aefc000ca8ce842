"""What waits to be written: bounded, in order, and never in the way of whoever adds to it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_asd.store.clipfiles import ClipJob
    from edge_asd.store.ledger import Ledger

ENTRIES_AT_MOST = 20_000
"""Of a card that takes nothing: five days of alarms one after the other, or of minutes of three machines."""
CLIPS_AT_MOST = 4
"""About 2 MB of memory each."""
EVENTS, MINUTES, CLIPS = "events", "minute scores", "clips"


@dataclass(frozen=True)
class Entry:
    """Something for the database.

    kind: EVENTS or MINUTES: minutes are given up first. apply: writes it. stored: called once it is on the card.
    event: which event it tells of, its start as its end; empty for what is none.
    """

    kind: str
    apply: Callable[[Ledger], None]
    stored: Callable[[], None] = lambda: None
    event: str = ""


class Backlog:
    """Filled by the listening threads, emptied by the writing one."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._in_hand: list[Entry] = []
        self._clips: deque[ClipJob] = deque()
        self._changed = threading.Condition()
        self._urgent = False
        self._closing = False
        self._working = True
        self._lost: dict[str, int] = {}

    def add(self, entry: Entry, *, urgent: bool) -> None:
        """Add an entry. urgent: to be written at once, with all that waits."""
        with self._changed:
            self._entries.append(entry)
            self._trim()
            if urgent:
                self._urgent = True
                self._changed.notify_all()

    def wake(self) -> None:
        """Have all that waits written now."""
        with self._changed:
            self._urgent = True
            self._changed.notify_all()

    def add_clip(self, job: ClipJob) -> None:
        """Add a clip, to be written after the entries; of too many that wait the oldest is lost."""
        with self._changed:
            if len(self._clips) >= CLIPS_AT_MOST:
                self._clips.popleft()
                self.lose(CLIPS, 1)
            self._clips.append(job)
            self._changed.notify_all()

    def lose(self, kind: str, n: int) -> None:
        """Count what was given up."""
        self._lost[kind] = self._lost.get(kind, 0) + n

    def lost(self, kind: str) -> int:
        """How many of a kind were given up since this was last asked."""
        return self._lost.pop(kind, 0)

    def close(self) -> None:
        """Nothing more comes: what waits is due."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    @property
    def closing(self) -> bool:
        """Whether nothing more comes."""
        return self._closing

    def wait(self, not_before_s: float, monotonic: Callable[[], float]) -> None:
        """Until something is due, or nothing more comes. not_before_s: nothing is due until then, monotonic."""
        with self._changed:
            while not self._closing:
                now_s = monotonic()
                due = self._urgent or bool(self._clips)
                if due and now_s >= not_before_s:
                    return
                self._changed.wait(not_before_s - now_s if due else None)

    def take(self) -> tuple[list[Entry], ClipJob | None]:
        """All entries, in order, and one clip; of its alarm the entry is among these, or was among those before.

        Only one, so that events which come meanwhile need not wait for the next.
        """
        with self._changed:
            taken = list(self._entries)
            self._entries.clear()
            self._in_hand = taken
            self._urgent = False
            self._working = True
            return taken, self._clips.popleft() if self._clips else None

    def written(self) -> None:
        """What was taken last is on the card."""
        with self._changed:
            self._in_hand = []

    def give_back(self, entries: list[Entry]) -> None:
        """They could not be written: they come first again, and are due."""
        with self._changed:
            self._in_hand = []
            self._entries.extendleft(reversed(entries))
            self._urgent = True
            self._trim()

    def rest(self) -> None:
        """What was taken is written, or was given back."""
        with self._changed:
            self._working = False
            self._changed.notify_all()

    def keep_up(self, timeout_s: float) -> bool:
        """Wait until what is due is written; False when it was not within `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._working or self._urgent or self._clips), timeout_s)

    def waiting(self) -> int:
        """Entries and clips that nobody has taken yet."""
        return len(self._entries) + len(self._clips)

    def events_unwritten(self) -> int:
        """How many events are not on the card, or not with all that is to be told of them."""
        with self._changed:
            return len({entry.event for entry in (*self._in_hand, *self._entries) if entry.event})

    def _trim(self) -> None:
        if len(self._entries) <= ENTRIES_AT_MOST:
            return
        oldest = next((i for i, entry in enumerate(self._entries) if entry.kind == MINUTES), 0)
        self.lose(self._entries[oldest].kind, 1)
        del self._entries[oldest]

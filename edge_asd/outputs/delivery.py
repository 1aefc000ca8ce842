"""How a receiver answers, and how long to leave it alone when it does not."""

from __future__ import annotations

import random
from typing import Protocol

from edge_asd.outputs.message import Message

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0


class TryLater(Exception):
    """The receiver could not take it now. `str()` says why, in one line.

    pause_s: what the receiver asked for, None: nothing.
    """

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


class Refused(Exception):
    """The receiver will never take this one. `str()` says why, in one line."""


class Receiver(Protocol):
    """Somebody messages are delivered to."""

    def deliver(self, message: Message) -> None:
        """Return once the receiver has it. Raises TryLater, Refused."""

    def close(self) -> None:
        """No more follows; gives up what it is at. Safe to call twice."""


class Backoff:
    """Pauses that double from one second to five minutes, each shortened by up to a half by chance, so that many
    boards do not come back all at once."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._pause_s = FIRST_PAUSE_S

    def next_s(self, asked_s: float | None = None) -> float:
        """Seconds to wait before the next attempt; at least what the receiver asked for, within the longest pause."""
        pause_s = self._pause_s * (1.0 - 0.5 * self._chance.random())
        self._pause_s = min(LONGEST_PAUSE_S, 2.0 * self._pause_s)
        return pause_s if asked_s is None else min(LONGEST_PAUSE_S, max(pause_s, asked_s))

    def reset(self) -> None:
        """The receiver is back."""
        self._pause_s = FIRST_PAUSE_S

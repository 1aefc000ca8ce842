"""What a fault is, and what became of it when it was injected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.chaos.trial import Trial


class NotHeld(Exception):
    """What must hold did not; `str()` says what."""


class NotPossible(Exception):
    """The fault cannot be injected on this machine; `str()` says why."""


@dataclass(frozen=True)
class Fault:
    """One way things go wrong.

    name, area: for people. injected_by: how it is done, for real. must_hold: what edge-asd owes its user then.
    inject: does it to a trial; raises NotHeld, NotPossible.
    """

    name: str
    area: str
    injected_by: str
    must_hold: str
    inject: Callable[[Trial], None]


@dataclass(frozen=True)
class Outcome:
    """A row of RESILIENCE.json. recovery_s: from the end of the fault (or the fault itself, where it does not end) to
    the next score; 0: never interrupted; None: there is nothing to recover to. why: of what was not held."""

    fault: str
    injected_by: str
    held: bool
    recovery_s: float | None
    events_lost: int
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        row = {
            "fault": self.fault,
            "injected_by": self.injected_by,
            "held": self.held,
            "recovery_s": None if self.recovery_s is None else round(self.recovery_s, 2),
            "events_lost": self.events_lost,
        }
        return {**row, **({"why": self.why} if self.why else {})}


FAULTS: dict[str, Fault] = {}
"""By name, in the order of the table."""


def fault(name: str, area: str, *, by: str, holds: str) -> Callable[[Callable[[Trial], None]], Callable[[Trial], None]]:
    """Adds the decorated function to FAULTS."""

    def add(inject: Callable[[Trial], None]) -> Callable[[Trial], None]:
        if name in FAULTS:
            raise ValueError(f"two faults are called {name}")
        FAULTS[name] = Fault(name, area, by, holds, inject)
        return inject

    return add

"""Records as a live run gives them, and patience for threads."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from edge_asd.explain import Explanation
from edge_asd.monitor.alarm import AlarmEvent
from edge_asd.monitor.records import AlarmRecord, ScoreRecord
from edge_asd.outputs.delivery import Backoff

LIMIT_S = 20.0


def until(true: Callable[[], Any]) -> Any:
    """Wait until something is true and give it; fail after a limit no healthy run comes near."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        value = true()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("it never came true")


def score(machine: str = "fan", value: float = 12.5, alarm: str | None = None) -> ScoreRecord:
    return ScoreRecord(machine, 1.8e9, value, value, 50.0, value > 50, -31.25, alarm)


def alarm(number: int = 0, state: str = "start", machine: str = "fan") -> AlarmRecord:
    start = 1.8e9 + 100 * number
    event = AlarmEvent(
        state=state,
        id=f"alarm-{number}",
        time=start + 3,
        start=start,
        end=None if state == "start" else start + 20,
        peak=80.5,
        peak_time=start + 2,
        threshold=50.0,
        reason="confirmed" if state == "start" else "released",
        evidence=(),
    )
    return AlarmRecord(machine, event, Explanation("a new tone at 1000 Hz", (), ()))


class Impatient(Backoff):
    """Tries again at once, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(random.Random(1))
        self.asked: list[float | None] = []

    def next_s(self, asked_s: float | None = None) -> float:
        self.asked.append(asked_s)
        return 0.02

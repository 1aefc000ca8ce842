"""How long a training still takes, in words."""

from __future__ import annotations

import time


class Clock:
    """Time left, judged by the steps this process has done."""

    def __init__(self, steps: int) -> None:
        self._steps, self._began = steps, time.monotonic()
        self._first: int | None = None

    def left(self, step: int) -> str:
        """In words."""
        if self._first is None:
            self._first = step
        done = step - self._first
        if not done:
            return "time left unknown yet"
        left_s = (time.monotonic() - self._began) / (done + 1) * (self._steps - step)
        return f"{left_s / 60:.0f} min left" if left_s >= 90 else f"{left_s:.0f} s left"

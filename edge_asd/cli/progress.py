"""Progress on stderr: one moving line in a terminal, now and then a line of its own elsewhere."""

from __future__ import annotations

import sys
from typing import TextIO

STEPS_WITHOUT_TERMINAL = 4
"""Lines printed on the way where a line cannot move."""


class Progress:
    """Tells how far a piece of work has come.

    total: where it ends, in any unit.
    stream: where to tell it; None: this process's stderr.
    """

    def __init__(self, total: float, *, stream: TextIO | None = None) -> None:
        self._total = total
        self._stream = stream if stream is not None else sys.stderr
        self._moving = self._stream.isatty()
        self._steps = 0
        self._drawn = False

    def at(self, done: float, text: str) -> None:
        """`done` of `total` is done; `text` says so in words."""
        share = min(1.0, done / self._total) if self._total else 1.0
        if self._moving:
            self._stream.write(f"\r\x1b[2K{100 * share:3.0f} %  {text}")
            self._drawn = True
        elif int(share * STEPS_WITHOUT_TERMINAL) > self._steps:
            self._steps = int(share * STEPS_WITHOUT_TERMINAL)
            self._stream.write(f"{100 * share:3.0f} %  {text}\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the line to others; safe to call twice."""
        if self._drawn:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
        self._drawn = False

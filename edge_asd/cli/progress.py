"""Words for a person on stderr. A stderr that breaks (full disk, terminal gone) costs words, never the work."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO

STEPS_WITHOUT_TERMINAL = 4
"""Lines printed on the way where a line cannot move."""


def tell(text: str, stream: TextIO) -> None:
    """Write to `stream` at once; when it cannot be written, let this and all that follows fall silent."""
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        # What is still buffered must not fail again, here or when Python closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def note(message: Any) -> None:
    """A line for a person, on stderr."""
    tell(f"edge-asd: {message}\n", sys.stderr)


def confirmed(question: str) -> bool:
    """Ask a person, yes or no; no where nobody can answer: without a terminal nothing is asked and nothing waits."""
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    tell(f"edge-asd: {question} [y/N] ", sys.stderr)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


class Once:
    """Notes each different message once: what holds for every clip of a directory is said for the first."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, message: str) -> None:
        """Note the message unless it has been noted."""
        if message not in self._said:
            self._said.add(message)
            note(message)


class Progress:
    """Tells how far a piece of work has come: one moving line in a terminal, now and then a line of its own elsewhere.

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
            tell(f"\r\x1b[2K{100 * share:3.0f} %  {text}", self._stream)
            self._drawn = True
        elif int(share * STEPS_WITHOUT_TERMINAL) > self._steps:
            self._steps = int(share * STEPS_WITHOUT_TERMINAL)
            tell(f"{100 * share:3.0f} %  {text}\n", self._stream)

    def end(self) -> None:
        """Leave the line to others; safe to call twice."""
        if self._drawn:
            tell("\r\x1b[2K", self._stream)
        self._drawn = False

"""What is wrong with the store, said once when it begins and once when it is over, with what was lost."""

from __future__ import annotations

from collections.abc import Callable


class Outages:
    """Kinds of records that cannot be written, each with the reason.

    warn: told both, for the journal. told: given (when it began, what it was) once it is over, for the store itself.
    clock: UTC seconds.
    """

    def __init__(
        self, *, warn: Callable[[str], None], told: Callable[[float, str], None], clock: Callable[[], float]
    ) -> None:
        self._warn, self._told, self._clock = warn, told, clock
        self._now: dict[str, tuple[float, str]] = {}

    def begin(self, kind: str, reason: str) -> None:
        """`kind` cannot be written."""
        since, before = self._now.get(kind, (self._clock(), ""))
        if reason != before:
            self._warn(f"{kind}: {reason}; listening goes on")
        self._now[kind] = (since, reason)

    def end(self, kind: str, lost: int) -> None:
        """`kind` can be written (again). lost: how many could not."""
        if kind not in self._now:
            return
        since, reason = self._now.pop(kind)
        self._warn(f"{kind} are written again; {lost or 'none'} of them lost")
        self._told(since, f"{kind}: {reason}; written again, {lost or 'none'} of them lost")

    def in_words(self) -> str | None:
        """What is wrong now, None when nothing is."""
        return "; ".join(f"{kind}: {reason}" for kind, (_, reason) in list(self._now.items())) or None

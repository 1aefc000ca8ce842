"""The time of a run on a board without a battery-backed clock: monotonic inside, UTC as soon as it is known.

Such a board boots with the time of its last shutdown and learns the right one minutes later, or never. Times within a
run are therefore counted on the monotonic clock from one reading of the system's, and a step of the system's clock is
not followed silently: it is counted, so that what was dated before can be dated anew.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from pathlib import Path

STEP_S = 1.0
"""A difference to the system's clock beyond this is a step; less is drift, which slewing takes care of."""
TIME_ERROR = 5
"""What adjtimex(2) returns while nothing has synchronised the clock."""


def clock_is_set(root: Path = Path("/"), adjtimex: Callable[[], int] | None = None) -> bool:
    """Whether the system's clock can be believed.

    It can where there is a hardware clock, where it has been synchronised, and where nobody manages the clock at all
    (no systemd: a container, whose host does).

    root: of the file system. adjtimex: gives the kernel's clock state, another one in tests.
    """
    if any((root / "sys/class/rtc").glob("rtc*")) or (root / "run/systemd/timesync/synchronized").exists():
        return True
    if not (root / "run/systemd/system").is_dir():
        return True
    return (adjtimex or _adjtimex)() != TIME_ERROR


def _adjtimex() -> int:
    timex = ctypes.create_string_buffer(512)  # all zero: reads, sets nothing; struct timex takes about 200 bytes
    return int(ctypes.CDLL(None).adjtimex(timex))


class RunClock:
    """Gives UTC, seconds since the Unix epoch, without ever jumping between two calls of `poll`.

    One clock serves all machines of a process; each of them sees a step by comparing `steps` and `stepped_s` with what
    they were.

    wall, monotonic: the system's clocks. is_set: whether `wall` can be believed.
    """

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        is_set: Callable[[], bool] = clock_is_set,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._is_set = is_set
        self._offset_s = wall() - monotonic()
        self._lock = threading.Lock()
        self.known = is_set()
        self.steps = 0
        self.stepped_s = 0.0

    def __call__(self) -> float:
        return self._monotonic() + self._offset_s

    @property
    def mark(self) -> str:
        """Appended to names made of a time that may come again after the next boot; empty once UTC is known."""
        return "" if self.known else f"-{_boot_id()}"

    def poll(self) -> None:
        """Follow the system's clock if it was set or stepped since.

        `known` is up to date afterwards (it never turns false again); where something changed, `steps` counts one more
        and `stepped_s` is what is to be added, in all, to times given since the clock was made.
        """
        with self._lock:
            became_known = not self.known and self._is_set()
            self.known = self.known or became_known
            step_s = self._wall() - self._monotonic() - self._offset_s
            if abs(step_s) > STEP_S or became_known:
                self._offset_s += step_s
                self.stepped_s += step_s
                self.steps += 1


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return "unset"

"""What every fault of a receiver is held against: listening never waits for one, and what it missed arrives later."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from benchmarks.chaos.appliance import Appliance
from benchmarks.chaos.receivers import Received
from benchmarks.chaos.trial import Trial

AREA = "receiver"
QUEUE = {"queue": {"directory": "queue"}}
"""In the appliance's folder."""
LONGEST_GAP_S = 3.0
"""Between two scores (they are due every 0.26 s): more means that somebody waits for a receiver."""
ARRIVES_S = 90.0
"""By then the longest pause between two attempts is over."""


class Noted(Received):
    """What a program wrote into a file, a message a line."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        path.touch()

    @property
    def alarms(self) -> set[tuple[str, str, str]]:
        """Machine, id and state of each there is by now."""
        self.ids.clear()
        for line in self._path.read_text().splitlines():
            self.take(line)
        return super().alarms


def first_told(trial: Trial, device: Appliance, receiver: Received) -> None:
    """All is well to begin with: started, heard, and an alarm arrives."""
    device.score(device.start())
    device.alarm()
    trial.until(lambda: device.told() <= receiver.alarms, "not even the first alarm arrives")


def untold(trial: Trial, device: Appliance, alarms: int = 1, *, lasts_s: float = 0.0, said: str | None = None) -> None:
    """Alarms that nobody takes; scores keep coming all the time. said: what standard error must tell of it."""
    since = time.monotonic()
    for _ in range(alarms):
        device.alarm()
    if said is not None:
        device.said(said)
    time.sleep(max(0.0, since + lasts_s - time.monotonic()))
    never_waited(trial, device, since)


def never_waited(trial: Trial, device: Appliance, since: float) -> None:
    """Scores kept coming all the time."""
    arrived = [since] + [r["arrived"] for r in list(device.records) if r["type"] == "score" and r["arrived"] > since]
    arrived.append(time.monotonic())
    longest = max(b - a for a, b in itertools.pairwise(arrived))
    trial.must(longest < LONGEST_GAP_S, f"for {longest:.1f} s there was no score")


def told_after_all(trial: Trial, device: Appliance, receiver: Received, since: float | None = None) -> None:
    """Every alarm told so far arrives, each under one id; so does one more; then an orderly end.

    since: the end of the fault, monotonic s; None: now. How long the first took from then is the time to recover.
    """
    since = time.monotonic() if since is None else since
    try:
        trial.until(lambda: device.told() <= receiver.alarms, "alarms do not arrive", ARRIVES_S)
    finally:
        trial.events_lost += len(device.told() - receiver.alarms)
    trial.recovery_s = time.monotonic() - since
    ends_told(trial, device, receiver)


def ends_told(trial: Trial, device: Appliance, receiver: Received) -> None:
    """One more alarm, which arrives as well; none came under two ids; then an orderly end."""
    device.alarm()
    trial.until(lambda: device.told() <= receiver.alarms, "the last alarm does not arrive")
    trial.must(not receiver.renamed, f"came under two ids: {receiver.renamed}")
    trial.ends_well(device)

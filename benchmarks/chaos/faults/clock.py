"""Faults of the clock, set for one process by a shim under the C library (clockshim.c)."""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.chaos.appliance import Appliance
from benchmarks.chaos.fault import NotPossible, fault
from benchmarks.chaos.trial import Trial
from edge_asd.store.reading import Query, Reader

AREA = "clock"
HOUR_S, DAY_S = 3600.0, 86400.0
NO_CLOCK = """
[ -d /sys/class/rtc ] && mount -t tmpfs none /sys/class/rtc
mount -t tmpfs none /run && mkdir -p /run/systemd/system && exec "$@"
"""
"""In a name space of its own: no hardware clock, no word of a synchronised one, and a systemd that would give it."""


def shimmed(trial: Trial, off_s: float, word: str = "", before: list[str] | None = None) -> tuple[Appliance, Path]:
    """A service, not started, whose clock is `off_s` wrong; and the file that says by how much."""
    clock = trial.folder / "clock"
    set_clock(clock, off_s, word)
    variables = {"LD_PRELOAD": str(trial.room.shim("clockshim")), "CLOCK_SHIM": str(clock)}
    return trial.appliance(variables=variables, before=before or []), clock


def set_clock(clock: Path, off_s: float, word: str = "") -> None:
    """Step it."""
    new = clock.with_name("clock.new")
    new.write_text(f"{off_s} {word}")
    new.replace(clock)


def stepped(trial: Trial, step_s: float) -> None:
    """Step the clock with an alarm before, one during and one after it."""
    device, clock = shimmed(trial, 0.0)
    device.score(device.start())
    device.alarm()
    started = device.alarm(end=False)
    since = time.monotonic()
    set_clock(clock, step_s)
    told = device.wait(lambda r: r["type"] == "clock", "word of the step", since=since)
    trial.must(abs(told["step_s"] - step_s) < 2.0, f"a step of {step_s} s is told as {told['step_s']} s")
    device.play("normal")
    device.wait(lambda r: r["type"] == "alarm" and r["state"] == "end" and r["id"] == started["id"], "the alarm's end")
    trial.recovered(device, since)
    trial.still_well(device)
    dated_right(trial, device, step_s)


def dated_right(trial: Trial, device: Appliance, off_s: float) -> None:
    """All alarms in the store lie within the last two minutes of the clock as it is now."""
    from datetime import datetime

    with Reader(device.store) as reader:
        events = reader.events(Query(alarms_only=True))
    now = time.time() + off_s
    ages = [now - datetime.fromisoformat(e["start"].replace("Z", "+00:00")).timestamp() for e in events]
    trial.must(all(-5.0 < age < 120.0 for age in ages), f"the alarms are dated {ages} s ago")


@fault(
    "clock-unset-at-boot",
    AREA,
    by="the clock starts a day behind and unsynchronised, with no hardware clock, and is set after one alarm",
    holds="records are marked until then; what was stored is dated anew and marked so; ids stay",
)
def unset(trial: Trial) -> None:
    if os.geteuid() != 0:
        raise NotPossible("hiding the hardware clock needs root")
    device, clock = shimmed(trial, -DAY_S, "unset", ["unshare", "--mount", "sh", "-c", NO_CLOCK, "sh"])
    device.score(device.start())
    device.alarm()
    trial.must(all(r.get("clock") == "unset" for r in list(device.records)), "records are not marked")
    since = time.monotonic()
    set_clock(clock, 0.0)
    told = device.wait(lambda r: r["type"] == "clock", "word of the clock", since=since)
    trial.must(abs(told["step_s"] - DAY_S) < 2.0, f"told is a step of {told['step_s']} s")
    trial.recovered(device, since)
    trial.still_well(device)
    dated_right(trial, device, 0.0)
    with Reader(device.store) as reader:
        first, last = reader.events(Query(alarms_only=True))
    trial.must(first.get("redated_s") and "redated_s" not in last, "what was dated anew is not marked so")


@fault(
    "clock-steps-back",
    AREA,
    by="the clock is set back by an hour while an alarm is on",
    holds="told; the alarm ends under its own id; all is dated by the new clock; no id comes twice",
)
def back(trial: Trial) -> None:
    stepped(trial, -HOUR_S)


@fault(
    "clock-steps-forward",
    AREA,
    by="the clock is set forward by a day while an alarm is on",
    holds="told; the alarm ends under its own id; no alarm, cool-down or silence comes of the step itself",
)
def forward(trial: Trial) -> None:
    stepped(trial, DAY_S)


@fault(
    "clock-flaps",
    AREA,
    by="two time servers disagree: the clock jumps by 10 minutes and back, every second for 10 s",
    holds="listens on; afterwards alarms are dated right",
)
def flaps(trial: Trial) -> None:
    device, clock = shimmed(trial, 0.0)
    device.score(device.start())
    device.alarm()
    for number in range(10):
        set_clock(clock, 600.0 * (number % 2 == 0))
        time.sleep(1.0)
    trial.recovered(device, time.monotonic())
    trial.still_well(device)
    dated_right(trial, device, 0.0)

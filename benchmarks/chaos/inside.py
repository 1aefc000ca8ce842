"""Runs as root in a container with a real systemd: breaks the installed service, measures how long until it is back.

Arguments as for tests/service/inside.py, of which this takes its tools.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, sys.argv[3])
from tests.service import inside as tools

DROP_INS = Path("/etc/systemd/system/edge-asd.service.d")
SETTINGS = "\nalarm: {confirm_s: 0.5, release_s: 0.5, cooldown_s: 0}\ndetector: {smoothing_s: 0.5}\n"
ALARMS: list[str] = []


def installed() -> dict[str, Any]:
    seen = tools.first_start()
    tools.CONFIG.write_text(tools.CONFIG.read_text() + SETTINGS)
    tools.systemctl("restart", "edge-asd")
    return {**seen, "alarm": alarm()}


def alarm() -> bool:
    """Break the machine and mend it; whether the alarm came and went."""
    play("faulty")
    raised = tools.until(lambda: tools.machine().get("alarm"))
    ALARMS.append(str(tools.machine().get("alarm")))
    play("normal")
    return raised and tools.until(lambda: not tools.machine().get("alarm"))


def play(sound: str) -> None:
    link = tools.SHARED / "mic16.sound.new"
    link.symlink_to(f"{sound}.raw")
    link.replace(tools.SHARED / "mic16.sound")


def back_after(harm: Callable[[], Any]) -> dict[str, Any]:
    """Do harm; how long until another process listens, and an alarm after it."""
    before = tools.main_pid()
    since = time.monotonic()
    harm()
    back = tools.until(
        lambda: tools.active() and tools.main_pid() not in (0, before) and tools.machine().get("state") == "listening"
    )
    return {"back": back, "recovery_s": time.monotonic() - since, "alarm": alarm(), **tools.shown("NRestarts")}


def killed() -> dict[str, Any]:
    return back_after(lambda: os.kill(tools.main_pid(), signal.SIGKILL))


def hung() -> dict[str, Any]:
    return back_after(lambda: os.kill(tools.main_pid(), signal.SIGSTOP))


def driver_hung() -> dict[str, Any]:
    def harm() -> None:
        before = tools.main_pid()
        tools.microphone("hang")
        tools.until(lambda: tools.main_pid() != before)
        tools.microphone("run")

    return back_after(harm)


def no_card_at_boot() -> dict[str, Any]:
    tools.microphone("unplug")
    code = tools.systemctl("restart", "edge-asd")
    ready = {"code": code, "state": tools.machine().get("state"), **tools.shown("ActiveState")}
    time.sleep(3.0)
    tools.microphone("run")
    since = time.monotonic()
    back = tools.until(lambda: tools.machine().get("state") == "listening")
    return {**ready, "back": back, "recovery_s": time.monotonic() - since, "alarm": alarm()}


def starved() -> dict[str, Any]:
    """No memory to start with, for a while: systemd tries again and again, and one day it works."""
    limit = DROP_INS / "memory.conf"
    limit.write_text("[Service]\nLimitAS=150M\n")
    tools.systemctl("daemon-reload")
    os.kill(tools.main_pid(), signal.SIGKILL)
    before = int(tools.shown("NRestarts")["NRestarts"])
    tried = tools.until(lambda: int(tools.shown("NRestarts")["NRestarts"]) >= before + 3)
    limit.unlink()
    tools.systemctl("daemon-reload")
    since = time.monotonic()
    back = tools.until(lambda: tools.machine().get("state") == "listening")
    return {"tried": tried, "back": back, "recovery_s": time.monotonic() - since, "alarm": alarm()}


def wrong_config() -> dict[str, Any]:
    right = tools.CONFIG.read_text()
    tools.CONFIG.write_text("modle: {}\n")
    tools.systemctl("restart", "edge-asd")
    tools.until(lambda: tools.shown("ActiveState")["ActiveState"] == "failed")
    time.sleep(3.0)
    seen = tools.shown("ActiveState", "NRestarts", "ExecMainStatus")
    tools.CONFIG.write_text(right)
    tools.systemctl("reset-failed", "edge-asd")
    since = time.monotonic()
    tools.systemctl("start", "edge-asd")
    back = tools.until(lambda: tools.machine().get("state") == "listening")
    return {**seen, "back": back, "recovery_s": time.monotonic() - since, "alarm": alarm()}


def events() -> dict[str, Any]:
    """Stop; which of all alarms the store has."""
    tools.systemctl("stop", "edge-asd")
    lines = tools.edge_asd("events", "--alarms", "--json", "--since", "1d").stdout.splitlines()
    stored = [json.loads(line)["id"] for line in lines]
    return {"told": ALARMS, "stored": stored}


STEPS = (installed, killed, hung, driver_hung, no_card_at_boot, starved, wrong_config, events)

if __name__ == "__main__":
    tools.main(STEPS)

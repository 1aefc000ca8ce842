"""Faults of those who are told on the device itself: the hook's command, and who fetches figures."""

from __future__ import annotations

import socket
import sys
import threading
import time
import urllib.request

from benchmarks.chaos.appliance import Appliance
from benchmarks.chaos.fault import fault
from benchmarks.chaos.receivers import free_port
from benchmarks.chaos.telling import AREA, QUEUE, Noted, never_waited, told_after_all, untold
from benchmarks.chaos.trial import Trial


@fault(
    "scraped-hard",
    AREA,
    by="8 clients fetch /metrics without pause for 8 s, and 40 connect and say nothing",
    holds="listening never waits; figures are served again afterwards",
)
def scraped(trial: Trial) -> None:
    port = free_port()
    device = trial.appliance({"prometheus": {"port": port}})
    device.score(device.start())
    url = f"http://127.0.0.1:{port}/metrics"
    trial.until(lambda: _fetched(url), "no figures are served")
    stop = threading.Event()

    def hammer() -> None:
        while not stop.is_set():
            _fetched(url)

    threads = [threading.Thread(target=hammer, daemon=True) for _ in range(8)]
    since = time.monotonic()
    for thread in threads:
        thread.start()
    silent = []
    for _ in range(40):
        try:
            silent.append(socket.create_connection(("127.0.0.1", port), timeout=1.0))
        except OSError:
            break
    device.alarm()
    time.sleep(max(0.0, since + 8.0 - time.monotonic()))
    stop.set()
    never_waited(trial, device, since)
    for connection in silent:
        connection.close()
    since = time.monotonic()
    trial.until(lambda: "edge_asd" in _fetched(url), "no figures are served afterwards")
    trial.recovery_s = time.monotonic() - since
    trial.still_well(device)


def _fetched(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=3.0) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


HOOK = """
import json, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
with (folder / "got.jsonl").open("a") as file:
    file.write(sys.stdin.read())
mode = (folder / "mode").read_text()
time.sleep(600 if mode == "hang" else 0)
sys.exit(int(mode) if mode.isdigit() else 0)
"""


def hooked(trial: Trial, mode: str) -> tuple[Noted, Appliance]:
    """A hook that notes what it is given and then does as `mode` says, and a service, not started, that calls it."""
    (trial.folder / "mode").write_text(mode)
    command = [sys.executable, "-c", HOOK, str(trial.folder)]
    device = trial.appliance({"hook": {"command": command, "timeout_s": 2}, **QUEUE})
    return Noted(trial.folder / "got.jsonl"), device


@fault(
    "hook-hangs",
    AREA,
    by="the command never returns, for one alarm's time",
    holds="killed after its limit, with what it started; listening never waits; the next alarm is handed to it",
)
def hook_hangs(trial: Trial) -> None:
    given, device = hooked(trial, "hang")
    device.score(device.start())
    untold(trial, device, said="killed")
    (trial.folder / "mode").write_text("0")
    told_after_all(trial, device, given)


@fault(
    "hook-fails-for-a-while",
    AREA,
    by="the command ends with 75 (try later) for one alarm's time, then with 0",
    holds="called again until it takes it, with the same id",
)
def hook_fails(trial: Trial) -> None:
    given, device = hooked(trial, "75")
    device.score(device.start())
    untold(trial, device)
    (trial.folder / "mode").write_text("0")
    told_after_all(trial, device, given)

"""Power cuts at chosen moments: a shim under the C library (killshim.c) does half of a write and kills the process.

SQLite and Python's own files are both met there, in the middle of what they do. What a disk loses of its own caches is
not in it: no process can show that.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping

import soundfile

from benchmarks.chaos.appliance import Appliance
from benchmarks.chaos.fault import fault
from benchmarks.chaos.room import environment
from benchmarks.chaos.trial import Trial
from edge_asd.bundle.bundle import load_bundle
from edge_asd.store.reading import Query, Reader

AREA = "power"
CUTS = 5
TIME_TO_STORE_S = 0.5
"""An alarm told this long before a cut must be on the card."""


def cut_and_started(
    trial: Trial, path: str, moments: list[int], config: Mapping[str, object] | None = None
) -> Appliance:
    """Cut the power at each of these writes to `path`, with an alarm on the way; give the service started after it."""
    told: set[tuple[str, str, str]] = set()
    device = trial.appliance(config)
    died = 0
    for moment in moments:
        cut = trial.appliance(
            config,
            variables={"LD_PRELOAD": str(trial.room.shim("killshim")), "KILL_PATH": path, "KILL_AT": str(moment)},
        )
        cut.start()
        end = time.monotonic() + 14.0
        while cut.running and time.monotonic() < end:
            cut.play("faulty" if int(time.monotonic() / 3.0) % 2 else "normal")
            time.sleep(0.2)
        at = time.monotonic()
        died += not cut.running
        if cut.running:
            cut.kill()
        stored = [r for r in list(cut.records) if r["type"] == "alarm" and r["arrived"] < at - TIME_TO_STORE_S]
        told |= {(r["machine"], r["id"], r["state"]) for r in stored}
    trial.must(died, "the power was never cut: nothing was tried")
    device.play("normal")
    since = device.start()
    trial.recovered(device, since)
    device.alarm()
    trial.must(device.stop() == 0, "it does not end in order")
    trial.count_lost(told | device.told(), device.store)
    return device


@fault(
    "power-cut-in-store-commit",
    AREA,
    by=f"killed half way through a write or before a sync of the store's log, at {CUTS} moments",
    holds="the store is sound; every alarm told half a second before a cut is in it, once",
)
def store_commit(trial: Trial) -> None:
    cut_and_started(trial, "events.db-wal", [trial.rng.randint(1, 60) for _ in range(CUTS)])


@fault(
    "power-cut-in-making-the-store",
    AREA,
    by=f"killed half way through one of the first writes of a new store, {CUTS} times",
    holds="the next start makes it whole",
)
def store_making(trial: Trial) -> None:
    cut_and_started(trial, "events.db", list(range(1, CUTS + 1)))


@fault(
    "power-cut-in-clip-write",
    AREA,
    by="killed half way through a write of a clip or its picture, 4 times",
    holds="the alarm is kept; what is under the name of a clip can be read, remains are swept",
)
def clip_write(trial: Trial) -> None:
    clips = {"store": {"directory": "store", "pre_roll_s": 1, "post_roll_s": 1, "reserve_free": 4096}}
    device = cut_and_started(trial, "/store/clips/", [1, 2, 3, 5], clips)
    with Reader(device.store) as reader:
        events = reader.events(Query(alarms_only=True))
    found = [device.store / e[key] for e in events for key in ("clip", "picture") if e[key]]
    trial.must(found, "no clip was kept at all")
    for path in found:
        if path.suffix == ".flac":
            trial.must(soundfile.info(str(path)).frames > 0, f"{path.name} cannot be read")
        else:
            trial.must(path.read_bytes()[-8:-4] == b"IEND", f"{path.name} is cut off")
    remains = [path.name for path in device.store.rglob("*") if path.name.endswith(".tmp")]
    trial.must(not remains, f"left lying: {remains}")


@fault(
    "power-cut-in-status-write",
    AREA,
    by="killed half way through a write of the status file, 3 times",
    holds="the file that is there is whole; the next start replaces it",
)
def status_write(trial: Trial) -> None:
    device = cut_and_started(trial, "/run/", [5, 11, 18])
    trial.must(not device.status(), "after an orderly end a status is left")


@fault(
    "power-cut-in-bundle-write",
    AREA,
    by="`edge-asd enroll --force` over the bundle in use is killed half way through its writes, syncs and renaming",
    holds="the old bundle is there, whole, and is listened with",
)
def bundle_write(trial: Trial) -> None:
    device = trial.appliance()
    bundle = device.folder / "fan.asd"
    bundle.write_bytes(trial.room.bundle.read_bytes())
    before = bundle.read_bytes()
    command = [sys.executable, "-m", "edge_asd", "enroll", str(trial.room.folder / "enrol.wav"), "--force"]
    for moment in (1, 2, 3):
        variables = {"LD_PRELOAD": str(trial.room.shim("killshim")), "KILL_PATH": ".fan.asd.", "KILL_AT": str(moment)}
        done = subprocess.run(
            [*command, "--out", str(bundle)], env={**environment(), **variables}, capture_output=True, text=True
        )
        trial.must(done.returncode == -9, f"moment {moment} never came: {done.stderr[-200:]}")
        trial.must(bundle.read_bytes() == before, "the bundle is another one")
    load_bundle(bundle)
    since = device.start()
    trial.recovered(device, since)
    trial.scores_equal(device, since)
    trial.still_well(device)

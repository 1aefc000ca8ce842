"""Faults of the card: small file systems mounted for the purpose, files overwritten, taken away and held."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

from benchmarks.chaos.appliance import Appliance
from benchmarks.chaos.fault import NotPossible, fault
from benchmarks.chaos.trial import Trial
from edge_asd.store.quota import usage
from edge_asd.store.reading import Query, Reader
from edge_asd.store.schema import FILE

AREA = "disk"
SMALL_STORE = {"directory": "card/store", "reserve_free": 500_000, "pre_roll_s": 1, "post_roll_s": 1}


def on_a_card(trial: Trial, size: str = "8m") -> tuple[Appliance, Path]:
    """A service, not started, whose store lies on a small card of its own."""
    device = trial.appliance({"store": SMALL_STORE})
    card = trial.mounted(device.folder / "card", size)
    device.store = card / "store"
    return device, card


@fault(
    "card-full",
    AREA,
    by="a file takes every byte of the card's file system for one alarm's length, then goes",
    holds="listens and alarms on, says so, status shows it; what waited is written once there is room",
)
def card_full(trial: Trial) -> None:
    device, card = on_a_card(trial)
    device.score(device.start())
    device.alarm()
    fill(card / "hog")
    device.alarm()
    device.said("listening goes on")
    trial.until(lambda: (device.status().get("disk") or {}).get("fault"), "the status does not show it")
    (card / "hog").unlink()
    since = time.monotonic()
    trial.recovered(device, since)
    trial.until(lambda: not (device.status().get("disk") or {}).get("fault"), "the fault is shown for ever")
    trial.still_well(device)


def fill(path: Path) -> None:
    """Take all the room there is on a file system."""
    with path.open("wb", buffering=0) as file:
        for size in (65536, 1024, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


@fault(
    "card-full-at-start",
    AREA,
    by="the card's file system has no byte left before the first start; room after one alarm",
    holds="listens and alarms without a store, says so; the store is made once there is room, with that alarm",
)
def full_at_start(trial: Trial) -> None:
    device, card = on_a_card(trial)
    fill(card / "hog")
    device.score(device.start())
    device.alarm()
    device.said("listening goes on")
    (card / "hog").unlink()
    trial.recovered(device, time.monotonic())
    trial.still_well(device)


@fault(
    "card-read-only-at-start",
    AREA,
    by="the card is mounted read-only at the start, and writable again after one alarm",
    holds="listens and alarms on, says so; the alarm is written once the card takes it",
)
def read_only_at_start(trial: Trial) -> None:
    device, card = on_a_card(trial)
    remount(card, "ro")
    device.score(device.start())
    device.alarm()
    device.said("listening goes on")
    remount(card, "rw")
    trial.recovered(device, time.monotonic())
    trial.until(lambda: (device.store / FILE).exists(), "the store is never made")
    trial.still_well(device)


def remount(card: Path, how: str) -> None:
    done = subprocess.run(["mount", "-o", f"remount,{how}", str(card)], capture_output=True, text=True)
    if done.returncode:
        raise NotPossible(done.stderr.strip())


@fault(
    "card-turns-read-only",
    AREA,
    by="an ext4 file system aborts, as after an I/O error, while the store is open; later it is mounted anew",
    holds="listens and alarms on, says so; alarms wait in memory and are written to the new mount",
)
def turns_read_only(trial: Trial) -> None:
    device = trial.appliance({"store": SMALL_STORE})
    card, image = device.folder / "card", trial.folder / "card.img"
    card.mkdir()
    device.store = card / "store"
    with image.open("wb") as file:
        file.truncate(24 << 20)
    mount = ["mount", "-o", "loop", str(image), str(card)]
    for command in (["mkfs.ext4", "-q", str(image)], mount):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise NotPossible(f"no file system in a file can be mounted here: {done.stderr.strip()}")
    trial.leave(lambda: subprocess.run(["umount", "--lazy", str(card)], capture_output=True))
    device.score(device.start())
    device.alarm()
    time.sleep(1.0)
    done = subprocess.run(["mount", "-o", "remount,abort", str(card)], capture_output=True, text=True)
    device.alarm()
    device.said("listening goes on")
    for command in (["umount", "--lazy", str(card)], ["fsck.ext4", "-p", str(image)], mount):
        subprocess.run(command, capture_output=True)
    trial.recovered(device, time.monotonic())
    trial.still_well(device)


@fault(
    "store-overwritten",
    AREA,
    by="stopped; 4 KiB in the middle of events.db are overwritten with noise; started",
    holds="noticed, said, set aside under another name, a new store begun; alarms from then on are kept",
)
def overwritten(trial: Trial) -> None:
    device = trial.listening()
    device.stop()
    path = device.store / FILE
    data = bytearray(path.read_bytes())
    data[1024 : 1024 + 4096] = trial.rng.randbytes(4096)
    path.write_bytes(bytes(data))
    before = set(device.told())
    device.records.clear()
    since = device.start()
    trial.recovered(device, since)
    device.said("set aside")
    trial.must(len(list(device.store.glob(f"{FILE}*"))) > 1, "what was damaged is gone")
    trial.must(before, "nothing was stored before")
    trial.still_well(device)


@fault(
    "store-overwritten-while-running",
    AREA,
    by="the database and its log are overwritten with noise under the running service",
    holds="listening and alarming go on; noticed by the next start at the latest, set aside; alarms after it are kept",
)
def overwritten_running(trial: Trial) -> None:
    device = trial.listening()
    time.sleep(1.0)
    for path in device.store.glob(f"{FILE}*"):
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.write(trial.rng.randbytes(size))
    device.alarm()
    device.stop()
    device.records.clear()
    since = device.start()
    trial.recovered(device, since)
    trial.still_well(device)


@fault(
    "store-of-newer-schema",
    AREA,
    by="user_version of events.db is set to 99 while stopped, and back while running",
    holds="listens and alarms, says that a newer edge-asd made it, leaves it alone; writes once it is its own again",
)
def newer_schema(trial: Trial) -> None:
    device = trial.listening()
    device.stop()
    connection = sqlite3.connect(device.store / FILE)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    since = device.start()
    trial.recovered(device, since)
    device.alarm()
    device.said("newer")
    connection = sqlite3.connect(device.store / FILE)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    trial.still_well(device)


@fault(
    "store-directory-removed",
    AREA,
    by="the whole store is removed under the running service",
    holds="listens and alarms on; alarms told after that are in a new store",
)
def removed(trial: Trial) -> None:
    device = trial.listening()
    time.sleep(1.0)
    shutil.rmtree(device.store)
    device.records.clear()
    trial.recovered(device, time.monotonic())
    trial.still_well(device)


@fault(
    "clips-cannot-be-written",
    AREA,
    by="a file stands where the directory of the clips should be",
    holds="alarms are kept without clips, with the reason",
)
def clips_unwritable(trial: Trial) -> None:
    device = trial.appliance({"store": {"directory": "store", "pre_roll_s": 1, "post_roll_s": 1, "reserve_free": 4096}})
    device.store.mkdir()
    (device.store / "clips").write_text("in the way")
    since = device.start()
    trial.recovered(device, since)
    device.alarm()
    device.said("clips")
    trial.still_well(device)
    with Reader(device.store) as reader:
        events = reader.events(Query(alarms_only=True))
    trial.must(all(not e["clip"] and e["clip_about"].get("dropped") for e in events), "the reason is not kept")


@fault(
    "quota-reached",
    AREA,
    by="a quota of 1 MB, and alarms with clips of 20 s one after the other",
    holds="never more than the quota; the oldest clips go, no alarm does",
)
def quota(trial: Trial) -> None:
    store = {"directory": "store", "quota": 1_000_000, "reserve_free": 4096, "pre_roll_s": 15, "post_roll_s": 5}
    device = trial.appliance({"store": store})
    since = device.start()
    trial.recovered(device, since)
    most = 0
    for _ in range(4):
        device.alarm()
        time.sleep(5.0)
        most = max(most, usage(device.store).used)
    trial.still_well(device)
    most = max(most, usage(device.store).used)
    trial.must(most <= 1_000_000, f"{most} bytes were used")
    with Reader(device.store) as reader:
        events = reader.events(Query(alarms_only=True))
    trial.must(any(e["clip"] for e in events), "no clip is kept")
    trial.must(any(e["clip_about"].get("evicted") for e in events), "none was evicted: the quota was never reached")


@fault(
    "store-locked",
    AREA,
    by="another program holds the database locked for 15 s, longer than the store waits",
    holds="listening is not held up for a moment; alarms are written once the lock is gone",
)
def locked(trial: Trial) -> None:
    device = trial.listening()
    time.sleep(1.0)
    other = sqlite3.connect(device.store / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    since = time.monotonic()
    device.alarm()
    time.sleep(max(0.0, since + 15.0 - time.monotonic()))
    arrived = [r["arrived"] for r in list(device.records) if r["type"] == "score" and r["arrived"] >= since]
    gap = max((b - a for a, b in itertools.pairwise(arrived)), default=15.0)
    trial.must(gap < 5.0, f"for {gap:.1f} s there was no score")
    other.execute("ROLLBACK")
    other.close()
    trial.recovery_s = 0.0
    trial.still_well(device)


@fault(
    "log-file-disk-full",
    AREA,
    by="output.file is on a file system without a byte left, which gets room again",
    holds="listens on, says once that records are dropped, whole lines only; writes again",
)
def log_full(trial: Trial) -> None:
    device = trial.appliance({"output": {"file": "card/log.jsonl"}})
    card = trial.mounted(device.folder / "card", "1m")
    device.score(device.start())
    device.alarm()
    fill(card / "hog")
    device.alarm()
    device.said("records for it are dropped")
    (card / "hog").unlink()
    trial.recovered(device, time.monotonic())
    trial.still_well(device)
    device.said("writing")
    text = (card / "log.jsonl").read_text()
    trial.must(text.endswith("}\n") and all(line.startswith("{") for line in text.splitlines()), "half a line")


@fault(
    "runtime-directory-removed",
    AREA,
    by="the directory of the status file is removed under the running service",
    holds="listens and alarms on, the watchdog is fed",
)
def runtime_removed(trial: Trial) -> None:
    device = trial.listening()
    shutil.rmtree(device.folder / "run")
    since = time.monotonic()
    trial.recovered(device, since)
    trial.until(lambda: device.watched_by_manager(since), "the watchdog is not fed")
    (device.folder / "run").mkdir()
    trial.still_well(device)

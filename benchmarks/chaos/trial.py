"""One fault, injected once: the folder it happens in, what is checked, and what came of it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.chaos.appliance import LIMIT_S, Appliance
from benchmarks.chaos.fault import Fault, NotHeld, NotPossible, Outcome
from benchmarks.chaos.room import LOOP_S, Room
from edge_asd.store.reading import Query, Reader
from edge_asd.store.schema import FILE

COMPARED = 6
"""Scores compared with the offline ones after a recovery."""


class Trial:
    """What a fault's function works with. rng: seeded by the run's seed and the fault's name."""

    def __init__(self, room: Room, folder: Path, rng: random.Random) -> None:
        self.room = room
        self.folder = folder
        self.rng = rng
        self.recovery_s: float | None = None
        self.events_lost = 0
        self._leaving = contextlib.ExitStack()
        folder.mkdir(parents=True, exist_ok=True)

    def appliance(self, config: Mapping[str, Any] | None = None, **options: Any) -> Appliance:
        """A service of its own, not started; ended with the trial."""
        made = Appliance(self.room, self.folder / "device", config, **options)
        self._leaving.callback(made.close)
        return made

    def listening(self, config: Mapping[str, Any] | None = None, **options: Any) -> Appliance:
        """A service that has told its first score and one alarm, and keeps both."""
        device = self.appliance(config, **options)
        device.score(device.start())
        device.alarm()
        return device

    def must(self, held: Any, words: str) -> None:
        """Raises NotHeld with `words` unless `held`."""
        if not held:
            raise NotHeld(words)

    def until(self, true: Callable[[], Any], words: str, limit_s: float = LIMIT_S) -> None:
        """Wait until something is true; NotHeld when it never is."""
        end = time.monotonic() + limit_s
        while not true():
            if time.monotonic() > end:
                raise NotHeld(f"{words} (waited {limit_s:g} s)")
            time.sleep(0.02)

    def leave(self, call: Callable[[], Any]) -> None:
        """Have something called when the trial is over."""
        self._leaving.callback(call)

    def end(self) -> None:
        """Leave nothing behind."""
        self._leaving.close()

    # What most faults end with

    def recovered(self, device: Appliance, since: float, machine: str | None = None) -> None:
        """A score comes; how long that took is the time to recover."""
        self.recovery_s = device.score(since, machine)

    def scores_equal(self, device: Appliance, since: float) -> None:
        """The first scores after sound came (again) since a monotonic time equal those of the same sound offline."""
        opened = device.wait(lambda r: r["type"] == "source" and r["event"] in ("opened", "back"), "sound", since=since)
        self.until(lambda: len(self._scores_after(device, opened)) >= COMPARED, "the scores after it do not come")
        heard = self._scores_after(device, opened)[:COMPARED]
        expected = self.room.expected("normal", LOOP_S)[:COMPARED]
        self.must(heard == expected, f"scores differ afterwards: {heard} live, {expected} offline")

    @staticmethod
    def _scores_after(device: Appliance, opened: dict[str, Any]) -> list[float]:
        return [
            r["window_score"]
            for r in list(device.records)
            if r["type"] == "score" and r["arrived"] >= opened["arrived"] and r["machine"] == opened["machine"]
        ]

    def still_well(self, device: Appliance) -> None:
        """It hears another alarm, ends in order when asked to, and its store has every alarm it ever told."""
        device.alarm()
        self.ends_well(device)

    def ends_well(self, device: Appliance) -> None:
        """It ends with 0, and its store has every alarm it ever told, each once."""
        code = device.stop()
        self.must(code == 0, f"stopped, it ends with {code}: {device.stderr[-300:]}")
        self.count_lost(device.told(), device.store)

    def count_lost(self, told: set[tuple[str, str, str]], store: Path) -> None:
        """Adds alarms told but not stored to `events_lost`; NotHeld where the store is damaged or has one twice."""
        connection = sqlite3.connect(store / FILE)
        found = connection.execute("PRAGMA integrity_check").fetchone()[0]
        connection.close()
        self.must(found == "ok", f"the store is damaged: {found}")
        with Reader(store) as reader:
            events = reader.events(Query(alarms_only=True))
        kept = {(e["machine"], e["id"], "start") for e in events}
        kept |= {(e["machine"], e["id"], "end") for e in events if e["end"] is not None}
        self.must(len({(e["machine"], e["id"]) for e in events}) == len(events), "an alarm is stored twice")
        self.must(bool(told), "no alarm was ever told: nothing was tried")
        self.events_lost += len(told - kept)
        self.must(not told - kept, f"told and not stored: {sorted(told - kept)}")

    def mounted(self, where: Path, size: str = "8m") -> Path:
        """A small file system of its own in memory, mounted at `where`."""
        if os.geteuid() != 0:
            raise NotPossible("mounting a file system needs root")
        where.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "chaos", str(where)], capture_output=True, text=True
        )
        if done.returncode:
            raise NotPossible(f"no file system can be mounted here: {done.stderr.strip()}")
        self.leave(lambda: subprocess.run(["umount", "--lazy", str(where)], capture_output=True))
        return where


def tried(fault: Fault, room: Room, folder: Path, seed: int) -> Outcome:
    """Inject a fault and see. Raises NotPossible."""
    shutil.rmtree(folder, ignore_errors=True)
    trial = Trial(room, folder, random.Random(f"{seed} {fault.name}"))
    why = ""
    try:
        fault.inject(trial)
    except NotHeld as error:
        why = str(error)
    except NotPossible:
        raise
    except Exception:  # of the harness: shown as what it is, never as a fault that was survived
        why = "the harness failed: " + traceback.format_exc(limit=-3)
    finally:
        trial.end()
    return Outcome(fault.name, fault.injected_by, not why, trial.recovery_s, trial.events_lost, why)

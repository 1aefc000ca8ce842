"""A store whose writer is killed (SIGKILL) at random moments, again and again: what was acknowledged must be there.

    python -m benchmarks.store_kill [--kills N] [--seed N] [--directory DIR]

Each round forks a process that stores alarms, scores, events and clips as fast as it is let, and tells each alarm's
start and end through a pipe before it gives it to the store and after the store has acknowledged it. It is killed
after a random time; then the store is opened, checked and compared.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.records import NOON, RATE_HZ, alarm_at, score_at
from edge_asd.audio.block import AudioBlock
from edge_asd.contract import LogMelSpec
from edge_asd.monitor.clock import RunClock
from edge_asd.monitor.records import SourceRecord
from edge_asd.store.quota import Limits
from edge_asd.store.schema import FILE
from edge_asd.store.sink import ClipSettings, EventStore

LIMITS = Limits(quota_bytes=20_000_000, reserve_bytes=1)
SOONEST_S, LATEST_S = 0.0, 0.1
"""When a writer is killed, after it began to write."""


@dataclass
class Kept:
    """What became of all that was acknowledged.

    kills: rounds. acknowledged: starts and ends of alarms that the store had promised to keep.
    lost: those it did not. twice: alarms there under two ids, or nobody's. damage: what SQLite found wrong.
    half: clips that cannot be read. reopen_s: the longest time from opening the store after a kill to writing it.
    """

    kills: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)
    reopen_s: float = 0.0

    @property
    def held(self) -> bool:
        """Whether everything did."""
        return not (self.lost or self.twice or self.damage or self.half)


def kill_loop(directory: Path, kills: int, seed: int) -> Kept:
    """Kill a writer of the store in `directory` so many times. The calling process must have no other threads."""
    rng = random.Random(seed)
    kept = Kept()
    sent: set[str] = set()
    promised: set[str] = set()
    for number in range(kills):
        began = time.monotonic()
        first_s = _one_round(directory, number, rng, sent, promised)
        kept.reopen_s = max(kept.reopen_s, first_s - began)
        kept.kills += 1
        if number % 2 or number == kills - 1:  # else the log that is left is for the next writer to recover
            _compare(directory, sent, promised, kept)
    kept.acknowledged = len(promised)
    return kept


def _one_round(directory: Path, number: int, rng: random.Random, sent: set[str], promised: set[str]) -> float:
    """Fork, kill, and take note of what was sent and promised; give when the first promise came, monotonic s."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with contextlib.suppress(BaseException):
            _store_for_ever(directory, number, writing)
        os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = []
        for line in pipe:
            lines.append(line)
            if line.startswith("promised"):
                break
        first_s = time.monotonic()
        time.sleep(rng.uniform(SOONEST_S, LATEST_S))
        os.kill(child, signal.SIGKILL)
        lines += pipe.readlines()
    os.waitpid(child, 0)
    for line in lines:
        word, alarm = line.split(maxsplit=1)
        (promised if word == "promised" else sent).add(alarm.strip())
    return first_s


def _store_for_ever(directory: Path, number: int, pipe: int) -> None:
    def stored(machine: str, alarm: str, state: str) -> None:
        os.write(pipe, f"promised {machine} {alarm} {state}\n".encode())

    store = EventStore(
        directory,
        limits=LIMITS,
        clips=ClipSettings(before_s=0.05, after_s=0.05),
        clock=RunClock(),
        warn=lambda words: None,
        stored=stored,
    )
    rng = np.random.default_rng(number)
    (tap,) = store.taps("fan", LogMelSpec())
    noise = rng.uniform(-0.5, 0.5, RATE_HZ // 4).astype(np.float32)
    position = 0
    for i in range(1_000_000):
        start = NOON + 100_000.0 * number + 50.0 * i
        for machine, state in (("fan", "start"), ("pump", "start"), ("fan", "end"), ("pump", "end")):
            record = alarm_at(start, state, machine, end_position=position, late_s=0.0)
            os.write(pipe, f"sent {machine} {record.event.id} {state}\n".encode())
            store.write(record)
            store.write(score_at(start, machine=machine))
            tap.hear(AudioBlock(noise, position, start))
            position += noise.size
            time.sleep(rng.uniform(0.0, 0.002))
        store.write(SourceRecord("fan", start, "mic0", "gap", f"lost, {i}", 0.1))


def _compare(directory: Path, sent: set[str], promised: set[str], kept: Kept) -> None:
    connection = sqlite3.connect(directory / FILE)
    try:
        found = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if found != "ok":
            kept.damage.append(found)
        rows = connection.execute('SELECT machine, id, "end", reason, start, clip, picture FROM alarms').fetchall()
    except sqlite3.DatabaseError as error:
        kept.damage.append(str(error))
        return
    finally:
        connection.close()
    states = set()
    starts = set()
    for machine, alarm, end, reason, start, clip, picture in rows:
        states.add(f"{machine} {alarm} start")
        if end is not None and reason == "released":
            states.add(f"{machine} {alarm} end")
        if (machine, start) in starts or f"{machine} {alarm} start" not in sent:
            kept.twice.append(f"{machine} {alarm}")
        starts.add((machine, start))
        for name, magic in ((clip, b"fLaC"), (picture, b"\x89PNG")):
            path = directory / name if name else None
            if path is not None and path.exists() and path.read_bytes()[:4] != magic:
                kept.half.append(name)
    kept.lost += sorted(promised - states)


def main() -> int:
    """Kill and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store_kill", description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=500, help="rounds (500)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--directory", type=Path, help="of the store (a temporary one)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        kept = kill_loop(args.directory or Path(temporary), args.kills, args.seed)
    json.dump({**vars(kept), "held": kept.held}, sys.stdout, indent=1)
    print()
    return 0 if kept.held else 1


if __name__ == "__main__":
    sys.exit(main())

"""What the store writes to the card in a quiet day, and what an alarm costs.

    python -m benchmarks.store [--days N] [--machines N] [--json]

A day's scores go through the sink as fast as it takes them (the batches are cut by the sound's own time, as in a run
of a recording). Bytes are those the kernel accounts to this process as written (write_bytes of /proc/self/io), on the
file system of --directory; they include the log, the database and the directory, not the file system's own journal.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.records import NOON, RATE_HZ, STEP_S, alarm_at, score_at
from benchmarks.timing import machine
from edge_asd.audio.block import AudioBlock
from edge_asd.contract import LogMelSpec
from edge_asd.monitor.clock import RunClock
from edge_asd.monitor.records import SourceRecord
from edge_asd.store import schema
from edge_asd.store.quota import Limits, usage
from edge_asd.store.ring import ClipRing
from edge_asd.store.sink import ClipSettings, EventStore

DAY_S = 86400.0
ALARMS = 20
BLOCK = 2048
PAGES = (1024, 4096, 16384)
LOGS = (1 << 18, 1 << 20, 1 << 22)
LIMITS = Limits(quota_bytes=500_000_000, reserve_bytes=1)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__.split("\n")[0])
    parser.add_argument("--days", type=float, default=10.0, help="quiet days (10), of which the mean counts")
    parser.add_argument("--machines", type=int, default=1, help="machines in one process (1)")
    parser.add_argument("--pages", action="store_true", help="compare page sizes and lengths of the log, too")
    parser.add_argument("--directory", type=Path, default=Path(), help="on the file system to measure (here)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    args = parser.parse_args()
    result: dict[str, object] = {
        "machine": machine(),
        "quiet_day": quiet_day(args.directory, args.days, args.machines),
        "alarm": one_alarm(args.directory),
        "listening": listening(args.directory),
    }
    if args.pages:
        result["pages"] = page_sizes(args.directory, args.days)
    if args.json:
        json.dump(result, sys.stdout, indent=1)
        print()
        return 0
    for name, figures in result.items():
        print(f"{name}: {figures}")
    return 0


def quiet_day(directory: Path, days: float, machines: int) -> dict[str, float]:
    """Bytes a day that only has scores, and one lost bit of sound an hour."""
    names = [f"machine-{i}" for i in range(machines)]
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        store = _store(Path(folder) / "store")
        store.settle()
        before = written_bytes()
        rng = np.random.default_rng(0)
        windows = int(days * DAY_S / STEP_S)
        scores = rng.gamma(9.0, 2.0, windows)
        for i, value in enumerate(scores):
            now = NOON + i * STEP_S
            for name in names:
                store.write(score_at(now, float(value), name))
            if i % int(3600 / STEP_S) == 0:
                store.write(SourceRecord(names[0], now, "mic0", "gap", "0.064 s of sound were lost", 0.064))
            if i % 60 == 0 and not store.keep_up():
                raise SystemExit("the store does not keep up")
        store.close()
        os.sync()
        written = written_bytes() - before
        size = usage(Path(folder) / "store").used
    return {
        "days": days,
        "machines": machines,
        "written_bytes_a_day": round(written / days),
        "kept_bytes_a_day": round(size / days),
    }


def one_alarm(directory: Path) -> dict[str, float]:
    """Bytes written for an alarm's start and end, without and with its clip (30 s) and picture."""
    rng = np.random.default_rng(0)
    noise = (0.05 * rng.standard_normal(BLOCK)).astype(np.float32)
    costs = {}
    for name, clips in (("without_clip", ClipSettings(sound=False, pictures=False)), ("with_clip", ClipSettings())):
        with tempfile.TemporaryDirectory(dir=directory) as folder:
            store = _store(Path(folder) / "store", clips)
            taps = store.taps("fan", LogMelSpec())
            store.settle()
            before = written_bytes()
            for i in range(ALARMS):
                start = NOON + 100.0 * i
                first = 100 * i * RATE_HZ
                for position in range(first, first + 60 * RATE_HZ, BLOCK):
                    for tap in taps:
                        tap.hear(AudioBlock(noise, position, start))
                    if position == first + 20 * (RATE_HZ // BLOCK) * BLOCK:
                        store.write(alarm_at(start, end_position=position))
                        store.settle()
                store.write(alarm_at(start, "end", end_position=first))
                store.settle()
            store.close()
            costs[name] = round((written_bytes() - before) / ALARMS)
    return {"alarms": ALARMS, **{f"{name}_written_bytes": cost for name, cost in costs.items()}}


def listening(directory: Path) -> dict[str, float]:
    """What the store takes of the listening thread: its CPU time (not the writing thread's) in a second of sound."""
    noise = (0.05 * np.random.default_rng(0).standard_normal(BLOCK)).astype(np.float32)
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        store = _store(Path(folder) / "store")
        (tap,) = store.taps("fan", LogMelSpec())
        store.settle()
        blocks = 600 * RATE_HZ // BLOCK
        began = time.thread_time()
        for i in range(blocks):
            tap.hear(AudioBlock(noise, i * BLOCK, NOON))
            if i % round(STEP_S * RATE_HZ / BLOCK) == 0:
                store.write(score_at(NOON + i * BLOCK / RATE_HZ))
        spent_s = time.thread_time() - began
        store.close()
        ring = ClipRing(RATE_HZ, before_s=ClipSettings.before_s, after_s=ClipSettings.after_s)
    return {"cpu_us_a_second_of_sound": round(1e6 * spent_s / 600, 1), "ring_bytes": ring.memory_bytes}


def page_sizes(directory: Path, days: float) -> list[dict[str, float]]:
    """`quiet_day` with other pages and logs than the ones chosen."""
    chosen = schema.PAGE_BYTES, schema.LOG_BYTES
    rows = []
    try:
        for page in PAGES:
            for log in LOGS:
                schema.PAGE_BYTES, schema.LOG_BYTES = page, log
                rows.append({"page_bytes": page, "log_bytes": log, **quiet_day(directory, days, 1)})
    finally:
        schema.PAGE_BYTES, schema.LOG_BYTES = chosen
    return rows


def written_bytes() -> int:
    """What this process has had written to disks so far."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))


def _store(directory: Path, clips: ClipSettings | None = None) -> EventStore:
    return EventStore(directory, limits=LIMITS, clips=clips or ClipSettings(), clock=RunClock(), warn=print)


if __name__ == "__main__":
    sys.exit(main())

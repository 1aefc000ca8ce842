"""SIGKILL at random moments of a stream with events, hundreds of times, all onto one store.

Nine of ten hit the store's own writer, which is given alarms, scores and clips as fast as it takes them and says which
it has acknowledged (benchmarks/store_kill.py). One of ten hits the whole of `edge-asd run`, listening to a recording
with an alarm every nine seconds as fast as it goes; acknowledged is what a reader of the store saw before the kill.
"""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.chaos.appliance import Appliance
from benchmarks.chaos.room import RATE_HZ, Room, environment
from edge_asd.store.reading import Query, Reader
from edge_asd.store.schema import FILE

WHOLE_SHARE = 10
CYCLES = 400
LATEST_S = 0.8
"""After the first alarm of a run, at which its process is killed."""


def measure(room: Room, folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill so often; what became of what was acknowledged."""
    whole = max(1, kills // WHOLE_SHARE)
    words = ["--kills", str(kills - whole), "--seed", str(seed)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.store_kill", *words],
        cwd=Path(__file__).parents[2],
        env=environment(),
        capture_output=True,
        text=True,
    )
    writer = json.loads(done.stdout)
    run = kill_runs(room, folder, whole, random.Random(seed))
    acknowledged = writer["acknowledged"] + run["acknowledged"]
    lost, twice = len(writer["lost"]) + len(run["lost"]), len(writer["twice"]) + len(run["twice"])
    damage = len(writer["damage"]) + len(writer["half"]) + len(run["damage"])
    return {
        "title": f"kill -9 at {kills} random moments",
        "how": f"{kills - whole} of the store's writer, {whole} of a whole `edge-asd run`, seed {seed}; every store "
        "checked with integrity_check.",
        "held": not (lost or twice or damage),
        "rows": [
            {"figure": "kills", "measured": kills, "target": "500"},
            {"figure": "starts and ends of alarms acknowledged", "measured": acknowledged, "target": "-"},
            {"figure": "of them lost", "measured": lost, "target": "0"},
            {"figure": "alarms under two ids", "measured": twice, "target": "0"},
            {"figure": "stores or clips damaged", "measured": damage, "target": "0"},
            {
                "figure": "longest time from opening the store after a kill to the next commit, s",
                "measured": round(writer["reopen_s"], 2),
                "target": "-",
            },
        ],
    }


def kill_runs(room: Room, folder: Path, kills: int, rng: random.Random) -> dict[str, Any]:
    """Kill the whole program."""
    loops = [np.fromfile(room.sound(name), "<i2") for name in ("normal", "faulty")]
    sound = folder / "kills.wav"
    cycle = np.concatenate([loops[0][: 5 * RATE_HZ], loops[1][: 4 * RATE_HZ]])
    soundfile.write(sound, np.tile(cycle, CYCLES), RATE_HZ, subtype="PCM_16")
    store = {"directory": "store", "pre_roll_s": 1, "post_roll_s": 1, "quota": 50_000_000, "reserve_free": 4096}
    result: dict[str, Any] = {"acknowledged": 0, "lost": [], "twice": [], "damage": []}
    seen: set[tuple[str, str, bool]] = set()
    for _ in range(kills):
        device = Appliance(room, folder / "device", {"store": store}, words=["--input", str(sound), "--fast"])
        device.start()
        device.wait(lambda r: r["type"] == "alarm", "alarm")
        time.sleep(rng.uniform(0.0, LATEST_S))
        seen |= _alarms(device.store)
        device.kill()
        device.close()
        connection = sqlite3.connect(device.store / FILE)
        found = connection.execute("PRAGMA integrity_check").fetchone()[0]
        twice = connection.execute(
            "SELECT machine, start, count(DISTINCT id) AS n FROM alarms GROUP BY machine, start HAVING n > 1"
        ).fetchall()
        connection.close()
        result["damage"] += [found] if found != "ok" else []
        result["twice"] += twice
        result["lost"] += sorted(seen - _alarms(device.store))
    result["acknowledged"] = len(seen)
    return result


def _alarms(store: Path) -> set[tuple[str, str, bool]]:
    """Machine and id of each start in the store, and of each end."""
    if not (store / FILE).exists():
        return set()
    with Reader(store) as reader:
        events = reader.events(Query(alarms_only=True))
    starts = {(e["machine"], e["id"], False) for e in events}
    return starts | {(e["machine"], e["id"], True) for e in events if e["end"] is not None}

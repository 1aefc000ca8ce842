"""What the service costs: CPU against `edge-asd score` of the same sound, bytes written in a quiet day."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import soundfile

from benchmarks.chaos.receivers import WebhookReceiver, free_port
from benchmarks.chaos.room import RATE_HZ, Room, enrolled, environment, machine_sound, unit_variables
from benchmarks.timing import machine

SHORT, LONG = 1, 13
"""Recordings of ten minutes; the difference of both is free of the start."""
CLIP_S = 600.0
RUNS = 3
SHARE_PERCENT = 15.0
BYTES_A_DAY = 2_000_000


def measure(room: Room, folder: Path) -> dict[str, Any]:
    """Run both; the median of three."""
    bundle = enrolled(room.folder, "soak", {})
    receiver = WebhookReceiver()
    receiver.start()
    recordings = []
    for number in range(LONG):
        path = folder / f"clip{number:02d}.wav"
        soundfile.write(path, machine_sound(CLIP_S, 300 + number), RATE_HZ, subtype="PCM_16")
        recordings.append(path)
    config = folder / "config.yaml"
    settings = {
        "model": {"bundle": str(bundle)},
        "store": {"directory": str(folder / "store")},
        "webhook": {"url": receiver.url},
        "prometheus": {"port": free_port()},
        "queue": {"directory": str(folder / "queue")},
        "output": {"format": "events"},
    }
    config.write_text(json.dumps(settings))
    (folder / "run").mkdir(exist_ok=True)
    score_s, service_s = [], []
    for _ in range(RUNS):
        times = {}
        for count in (SHORT, LONG):
            clips = [str(path) for path in recordings[:count]]
            times["score", count] = _cpu_s(["score", "--bundle", str(bundle), "--json", *clips], folder)
            times["run", count] = _cpu_s(["run", "--config", str(config), "--fast", "--input", "-"], folder, clips)
        score_s.append(times["score", LONG] - times["score", SHORT])
        service_s.append(times["run", LONG] - times["run", SHORT])
    receiver.stop()
    sound_s = (LONG - SHORT) * CLIP_S
    score_ms = 1000 * statistics.median(score_s) / sound_s
    service_ms = 1000 * statistics.median(service_s) / sound_s
    beyond = 100 * (service_ms - score_ms) / score_ms
    store = subprocess.run(
        [sys.executable, "-m", "benchmarks.store", "--days", "3", "--json", "--directory", str(folder)],
        cwd=Path(__file__).parents[2],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    written = int(json.loads(store.stdout)["quiet_day"]["written_bytes_a_day"])
    return {
        "title": "What the service costs",
        "how": f"{machine()}. CPU of two hours of sound, without the start: `edge-asd score` of the recordings, and "
        f"`edge-asd run` of the same sound as a stream with store, clips, status, watchdog, webhook and Prometheus on; "
        "`score` has the network hear many windows at once, the service each as it comes; "
        f"median of {RUNS}. Bytes as benchmarks/store.py counts them.",
        "held": beyond <= SHARE_PERCENT and written <= BYTES_A_DAY,
        "rows": [
            {"figure": "score, ms of CPU a second of sound", "measured": round(score_ms, 3), "target": "-"},
            {"figure": "service, ms of CPU a second of sound", "measured": round(service_ms, 3), "target": "-"},
            {"figure": "beyond score, %", "measured": round(beyond, 1), "target": "<= 15"},
            {"figure": "bytes written to the card in a quiet day", "measured": written, "target": "<= 2,000,000"},
        ],
    }


def _cpu_s(words: list[str], folder: Path, played: list[str] | None = None) -> float:
    """CPU seconds of one command; the samples of `played` go to its standard input, one after the other."""
    variables = {**unit_variables(), "RUNTIME_DIRECTORY": str(folder / "run"), "NOTIFY_SOCKET": "@edge-asd-nobody"}
    child = subprocess.Popen(
        [sys.executable, "-m", "edge_asd", *words],
        env={**environment(), **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdin is not None
    for name in played or []:
        child.stdin.write(soundfile.read(name, dtype="int16")[0].tobytes())
    child.stdin.close()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"edge-asd {' '.join(words[:3])} ended with {child.returncode}")
    return usage.ru_utime + usage.ru_stime

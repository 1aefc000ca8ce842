"""A day and more of sound through the service as fast as it goes: what grows, and whether the scores stay right.

All parts of the service are on (store with clips, status, watchdog, webhook, Prometheus), and the machine breaks twice
an hour. Scores are compared with those of a detector that is given the same sound and nothing else.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.chaos.appliance import Appliance
from benchmarks.chaos.receivers import WebhookReceiver, free_port
from benchmarks.chaos.room import RATE_HZ, Room, enrolled, machine_sound, unit_variables
from edge_asd.audio.block import AudioBlock
from edge_asd.audio.condition import Conditioner
from edge_asd.bundle.bundle import load_bundle
from edge_asd.formats import digits

MINUTES_BROKEN = (20, 45)
"""Of each hour; half a minute of each."""
GROWTH_MIB = 1.0


def measure(room: Room, folder: Path, hours: float) -> dict[str, Any]:
    """Play so many hours; give growth between the first and the last, and how many scores differ."""
    hour = hour_of_sound(folder / "hour.raw")
    bundle = enrolled(room.folder, "soak", {})
    receiver = WebhookReceiver()
    receiver.start()
    config = {
        "model": {"bundle": str(bundle)},
        "webhook": {"url": receiver.url},
        "prometheus": {"port": free_port()},
        "queue": {"directory": "queue"},
        "detector": {},
        "alarm": {},
    }
    device = Appliance(
        room,
        folder / "device",
        config,
        words=["--input", "-", "--fast"],
        variables=unit_variables(),
        stdin=subprocess.PIPE,
    )
    offline = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    wanted = offline.submit(expected, bundle, hour, hours)
    began = device.start()
    sizes = []
    pieces = 0
    for piece in _played(hour, hours):
        device.process.stdin.buffer.write(piece)  # type: ignore[union-attr]
        pieces += len(piece)
        if pieces % hour.stat().st_size == 0:
            sizes.append(_size_of(device.process.pid))
    sizes.append(_size_of(device.process.pid))
    device.process.stdin.close()  # type: ignore[union-attr]
    code = device.ended(300.0)
    took_s = time.monotonic() - began
    time.sleep(1.0)
    receiver.stop()
    heard = [(r["score"], r["window_score"]) for r in device.records if r["type"] == "score"]
    alarms = len({r["id"] for r in device.records if r["type"] == "alarm"})
    arrived = len(device.told() - receiver.alarms)
    device.close()
    differ, n_expected = _differences(heard, wanted.result())
    first, last = sizes[0], sizes[-1]
    growth_mib = (last["rss_kib"] - first["rss_kib"]) / 1024
    held = (
        growth_mib < GROWTH_MIB
        and last["threads"] == first["threads"]
        and last["descriptors"] <= first["descriptors"]
        and not differ
        and not arrived
        and code == 0
    )
    return {
        "title": f"Soak: {hours:g} hours of sound",
        "how": f"As fast as it goes ({took_s:.0f} s), with every part of the service on and the allocator set as in "
        f"the unit, {alarms} alarms on the way.",
        "held": held,
        "rows": [
            _row("scores", n_expected, "-"),
            _row("scores that differ from offline scoring", differ, "0"),
            _row("memory (RSS) after the first hour, MiB", round(first["rss_kib"] / 1024, 2), "-"),
            _row("its growth until the end, MiB", round(growth_mib, 2), f"< {GROWTH_MIB:g}"),
            _row("descriptors, first and last", f"{first['descriptors']}, {last['descriptors']}", "no growth"),
            _row("threads, first and last", f"{first['threads']}, {last['threads']}", "no growth"),
            _row("alarms told and not delivered", arrived, "0"),
        ],
        "rss_kib_each_hour": [size["rss_kib"] for size in sizes],
    }


def _row(figure: str, measured: object, target: str) -> dict[str, Any]:
    return {"figure": figure, "measured": measured, "target": target}


def hour_of_sound(path: Path) -> Path:
    """An hour of a machine that breaks twice, raw S16."""
    with path.open("wb") as file:
        for minute in range(60):
            sound = machine_sound(60.0, 100 + minute)
            if minute in MINUTES_BROKEN:
                sound[: 30 * RATE_HZ] = machine_sound(30.0, 200 + minute, tone=0.1)
            file.write((32768 * sound).round().astype("<i2").tobytes())
    return path


def expected(bundle: Path, hour: Path, hours: float) -> list[tuple[float, float]]:
    """Score and window score of every window, scored by a detector alone."""
    detector = load_bundle(bundle).detector()
    conditioner = Conditioner(RATE_HZ, RATE_HZ)
    position = 0
    scores = []
    for piece in _played(hour, hours):
        raw = np.frombuffer(piece, "<i2").astype(np.float32) / 32768.0
        samples = conditioner.push(raw[:, None])
        for score in detector.push(AudioBlock(samples, position, position / RATE_HZ)):
            scores.append((digits(score.score), digits(score.window_score)))
        position += samples.size
    return scores


def _played(hour: Path, hours: float) -> Iterator[bytes]:
    """The hour again and again, in pieces of 4 s."""
    left = round(hours * 3600 * RATE_HZ) * 2
    while left:
        with hour.open("rb") as file:
            while left and (piece := file.read(min(left, 8 * RATE_HZ))):
                left -= len(piece)
                yield piece


def _differences(heard: list[tuple[float, float]], wanted: list[tuple[float, float]]) -> tuple[int, int]:
    """How many differ or are missing on either side, and how many there should be."""
    differ = sum(a != b for a, b in zip(heard, wanted, strict=False))
    return differ + abs(len(heard) - len(wanted)), len(wanted)


def _size_of(pid: int) -> dict[str, int]:
    """Memory, threads and descriptors of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = dict(line.split(":", 1) for line in lines)
    return {
        "rss_kib": int(found["VmRSS"].split()[0]),
        "threads": int(found["Threads"]),
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
    }

"""Does `edge-asd evaluate` need more memory for more clips?

    python -m benchmarks.evaluate_memory [--clips 1000,10000] [--json]

Every clip is another 0.6 s of simulated sound; 40 are enrolled, all others tested, so that only the number of test
clips differs. Each run is a process of its own with an empty cache; resident memory of it and its workers is read from
/proc ten times a second. "flat" is the growth from the first run to the last.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.timing import machine
from edge_asd.evaluation.cases import COLUMNS
from edge_asd.simulator import FAULTS, Fault, Machine, Scene, render

RATE_HZ, CLIP_SAMPLES, SOUND_S = 16000, 9600, 60.0
N_ENROL = 40
SAMPLING_S = 0.1


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluate_memory", description=__doc__.split("\n")[0])
    parser.add_argument("--clips", default="1000,10000", metavar="N,M,...", help="test clips of each run (1000,10000)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    sizes = [int(size) for size in args.clips.split(",")]
    runs = [measure(size) for size in sizes]
    growth = {key: runs[-1][key] - runs[0][key] for key in ("program_mib", "workers_mib")}
    if args.json:
        json.dump({"machine": machine(), "runs": runs, "growth": growth}, sys.stdout, indent=1)
        print()
        return 0
    print(machine())
    print("| test clips | program, peak MiB | largest worker, peak MiB | CPU s | wall s |\n|---|---|---|---|---|")
    for run in runs:
        figures = f"{run['program_mib']:.1f} | {run['workers_mib']:.1f} | {run['cpu_s']:.0f} | {run['wall_s']:.0f}"
        print(f"| {run['clips']:,} | {figures} |")
    print(f"| growth | {growth['program_mib']:+.1f} | {growth['workers_mib']:+.1f} | | |")
    return 0


def measure(n_test: int) -> dict[str, float]:
    """One run over `n_test` test clips."""
    with tempfile.TemporaryDirectory() as folder:
        cases = write_clips(Path(folder), n_test)
        command = [sys.executable, "-m", "edge_asd", "evaluate", str(cases), "--json", "--cache", f"{folder}/cache"]
        started, before = time.monotonic(), os.times()
        with Path(folder, "result.json").open("wb") as result:
            process = subprocess.Popen(command, stdout=result, stderr=subprocess.DEVNULL)
            program, workers = 0, 0
            while process.poll() is None:
                program = max(program, peak_kib(process.pid))
                workers = max([workers, *(peak_kib(child) for child in children(process.pid))])
                time.sleep(SAMPLING_S)
        wall_s = time.monotonic() - started
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        (case,) = json.loads(Path(folder, "result.json").read_bytes())["cases"]
        if case["n_normal"] + case["n_anomaly"] != n_test:
            raise SystemExit(f"{case['n_normal'] + case['n_anomaly']} clips were scored, not {n_test}")
    after = os.times()
    return {
        "clips": n_test,
        "program_mib": program / 1024,
        "workers_mib": workers / 1024,
        "cpu_s": after.children_user + after.children_system - before.children_user - before.children_system,
        "wall_s": wall_s,
    }


def write_clips(folder: Path, n_test: int) -> Path:
    """A CASES.csv of one fan; every clip is another stretch of its sound, every other test clip of a faulty one's."""
    rng = np.random.default_rng(11)
    fan, scene = Machine.random("fan", rng), Scene.random(rng)
    sounds = [render(fan, scene, SOUND_S, rng, fault=fault) for fault in (None, Fault(FAULTS["fan"][0], level_db=0.0))]
    cases = folder / "cases.csv"
    with cases.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for i in range(N_ENROL + n_test):
            enrolled, faulty = i < N_ENROL, i >= N_ENROL and i % 2 == 1
            start = int(rng.integers(len(sounds[0]) - CLIP_SAMPLES))
            path = folder / f"{i:06d}.wav"
            soundfile.write(path, sounds[faulty][start : start + CLIP_SAMPLES], RATE_HZ, subtype="PCM_16")
            label = "anomaly" if faulty else "normal"
            writer.writerow(("fan", "enrol" if enrolled else "test", path.name, label, "source", ""))
    return cases


def peak_kib(pid: int) -> int:
    """Peak resident memory of a process so far; 0 where it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def children(pid: int) -> Iterator[int]:
    """Child processes of a process."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            yield from map(int, (task / "children").read_text().split())


if __name__ == "__main__":
    sys.exit(main())

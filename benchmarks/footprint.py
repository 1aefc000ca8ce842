"""Memory and start-up of the commands as whole processes, as a user's board would see them, by each runtime here.

    python -m benchmarks.footprint [--runs N] [--json]

Peak resident memory and CPU time come from the operating system's accounting of each finished child. "First score" is
a run over a file that is exactly one window long, so its CPU time is start-up and one window's work.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# No numpy here: a child's peak memory is counted from its parent's, so the parent must stay small.
MAKE_SOUND = """
import sys
import numpy as np, soundfile
from edge_asd.simulator import Machine, Scene, render
rng = np.random.default_rng(3)
fan, scene = Machine.random("fan", rng), Scene.random(rng)
sound = render(fan, scene, 185.0, rng)
for path, start_s, end_s in zip(sys.argv[1:], (0, 120, 180), (120, 180, 181.056)):
    soundfile.write(path, sound[int(start_s * 16000) : int(end_s * 16000)], 16000, subtype="PCM_16")
"""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each command; the median counts (5)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    result = measure(args.runs)
    if args.json:
        json.dump(result, sys.stdout, indent=1)
        print()
        return 0
    print(result["machine"])
    for row in result["commands"]:
        name = row["command"]
        print(f"{name:50s} {row['runtime']:12s} {row['peak_rss_mib']:7.1f} MiB  {row['cpu_s']:6.2f} s CPU")
    return 0


def measure(runs: int) -> dict[str, Any]:
    """Each command's median peak memory and CPU time."""
    program = [sys.executable, "-m", "edge_asd"]
    with tempfile.TemporaryDirectory() as folder:
        normal, minute, window = (Path(folder) / name for name in ("normal.wav", "minute.wav", "window.wav"))
        run_child([sys.executable, "-c", MAKE_SOUND, str(normal), str(minute), str(window)])
        commands = [("edge-asd --help", "", [*program, "--help"])]
        for runtime in _runtimes():
            bundle = str(Path(folder) / f"{runtime}.asd")
            chosen = ["--runtime", runtime]
            play = [*program, "run", *chosen, "--bundle", bundle, "--fast", "--json", "--input"]
            enrol = [*program, "enroll", *chosen, str(normal), "--out", bundle, "--force"]
            commands += [
                ("edge-asd enroll, 2 minutes of sound", runtime, enrol),
                ("edge-asd run, start to first score", runtime, [*play, str(window)]),
                ("edge-asd run, one minute of sound", runtime, [*play, str(minute)]),
            ]
        peer = "import librosa, torch; librosa.feature"
        commands.append((f"python -c '{peer}'", "", [sys.executable, "-c", peer]))
        measured = [
            {"command": name, "runtime": runtime, **_median(command, runs)} for name, runtime, command in commands
        ]
    from benchmarks.timing import machine

    return {"machine": machine(), "commands": measured}


def _runtimes() -> list[str]:
    """Names of the runtimes that are installed; asked in a process of its own, which may import numpy."""
    ask = "from edge_asd.inference.runtimes import usable; print(*(runtime.name for runtime in usable()))"
    return subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.split()


def _median(command: list[str], runs: int) -> dict[str, float]:
    measured = [run_child(command) for _ in range(runs)]
    return {key: statistics.median(row[key] for row in measured) for key in measured[0]}


def run_child(command: list[str]) -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with Path(os.devnull).open("wb") as nowhere:
        child = os.posix_spawn(
            command[0],
            command,
            environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1), (os.POSIX_SPAWN_DUP2, nowhere.fileno(), 2)],
        )
        _, status, usage = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return {"peak_rss_mib": usage.ru_maxrss / 1024, "cpu_s": usage.ru_utime + usage.ru_stime}


if __name__ == "__main__":
    sys.exit(main())

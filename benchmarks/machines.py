"""What each added machine costs one process that watches several: CPU and memory.

    python -m benchmarks.machines [--runs N] [--json]

Every machine has its own bundle in memory, its own sound (a file, as fast as it goes) and its own thread, as with
`machines:` in the config; the microphones themselves are not in it. The cost of one more is the slope from 1 to 8.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.footprint import MAKE_SOUND, run_child

COUNTS = (1, 2, 4, 8)
SOUND_S = 60.0
WATCH = """
import sys, threading
from pathlib import Path
from edge_asd.audio.files import FileSource
from edge_asd.bundle.bundle import load_bundle
from edge_asd.monitor.alarm import AlarmSettings, AlarmTracker
from edge_asd.monitor.clock import RunClock
from edge_asd.monitor.live import LiveRun
from edge_asd.monitor.watch import Together, watch

bundle_path, sound, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
clock, stop, sink = RunClock(), threading.Event(), Together([])

def run(name):
    def make():
        bundle = load_bundle(Path(bundle_path))
        source = FileSource(sound, bundle.contract.features.rate_hz, paced=False, stop=stop, clock=clock)
        alarm = AlarmTracker(AlarmSettings(), rate_hz=source.rate_hz)
        return LiveRun(name, source, bundle.detector(), alarm, [sink], stop=stop, clock=clock)
    return make

ends = watch({f"machine{i}": run(f"machine{i}") for i in range(count)}, sink, stop=stop, clock=clock)
assert all(end.windows > 50 for end in ends.values()), ends
"""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.machines", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="runs of each number of machines; the median counts (3)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    result = measure(args.runs)
    if args.json:
        print(json.dumps(result, indent=1))
        return 0
    print(result["machine"])
    for row in result["machines"]:
        print(f"{row['machines']} machines: {row['cpu_s']:.2f} s CPU, {row['peak_rss_mib']:.1f} MiB")
    each = result["each_added"]
    print(f"each added machine: {each['cpu_ms_per_audio_s']:.2f} ms CPU a second of audio, {each['rss_mib']:.1f} MiB")
    return 0


def measure(runs: int) -> dict[str, Any]:
    """CPU and peak memory for each number of machines, and the slope."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        normal, minute, window = (str(Path(folder) / name) for name in ("normal.wav", "minute.wav", "window.wav"))
        bundle = str(Path(folder) / "machine.asd")
        run_child([sys.executable, "-c", MAKE_SOUND, normal, minute, window])
        run_child([sys.executable, "-m", "edge_asd", "enroll", normal, "--out", bundle])
        for count in COUNTS:
            measured = [run_child([sys.executable, "-c", WATCH, bundle, minute, str(count)]) for _ in range(runs)]
            rows.append(
                {"machines": count, **{key: statistics.median(row[key] for row in measured) for key in measured[0]}}
            )
    from benchmarks.timing import machine

    added = COUNTS[-1] - COUNTS[0]
    return {
        "machine": machine(),
        "machines": rows,
        "each_added": {
            "cpu_ms_per_audio_s": 1000.0 * (rows[-1]["cpu_s"] - rows[0]["cpu_s"]) / added / SOUND_S,
            "rss_mib": (rows[-1]["peak_rss_mib"] - rows[0]["peak_rss_mib"]) / added,
        },
    }


if __name__ == "__main__":
    sys.exit(main())

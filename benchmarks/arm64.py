"""Instructions per second of audio on the processors of the Raspberry Pi 3, 4 and 5, counted under emulation.

    python -m benchmarks.arm64 [--json] [--write-budget]

Instructions are not seconds: memory and pipelines differ. But they are the same on every machine that counts them, so a
change that costs the boards something shows at once: `arm64_budget.json` holds what each part may take, and a test
holds the budget. `--write-budget` takes what was measured as the new one; what was measured first stays there.

Needs Debian's qemu-user, gcc and gcc-aarch64-linux-gnu (tests/debian_packages.sh).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import numpy as np

from edge_asd.bundle.bundle import save_bundle
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.inference import load_embedder
from edge_asd.model_package import load_model
from edge_asd.simulator import Machine, Scene, render
from export.emulation import CPUS, Sysroot
from export.targets.kernel import build_for

REPOSITORY = Path(__file__).resolve().parent.parent
BUDGET = Path(__file__).with_name("arm64_budget.json")
PACKAGES = ("numpy", "onnxruntime", "flatbuffers", "packaging", "protobuf", "pyyaml")
MINUTES, MINUTE_S, SOUND_S = 10, 60.0, 8.0


def main() -> int:
    """Count and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arm64", description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--write-budget", action="store_true", help="what is measured becomes the budget")
    args = parser.parse_args()
    measured = {cpu: row["instructions_per_audio_s"] for cpu, row in measure(CPUS).items()}
    budget = json.loads(BUDGET.read_text()) if BUDGET.is_file() else {"first": measured}
    if args.write_budget:
        BUDGET.write_text(json.dumps({**budget, "budget": measured}, indent=1) + "\n")
    if args.json:
        print(json.dumps({"instructions_per_audio_s": measured, "first": budget["first"]}, indent=1))
        return 0
    print(f"{'million instructions per second of audio':42s}" + "".join(f"{cpu:>13s}" for cpu in CPUS))
    for part in next(iter(measured.values())):
        print(f"{part:42s}" + "".join(f"{measured[cpu][part] / 1e6:13.2f}" for cpu in CPUS))
    return 0


def measure(cpus: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Count every part: processor -> {"instructions_per_audio_s": {part: count}, "kernels_apart_db": float}.

    Raises UnavailableError where boards cannot be emulated, or the kernel not compiled, on this machine.
    """
    board = Sysroot.ensure()
    site = board.site(pinned(PACKAGES))
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder)
        build_for("aarch64", "2.31", given / "kernel")
        prepare(given)
        return {cpu: _measure(board, site, given, cpu) for cpu in cpus}


def _measure(board: Sysroot, site: Path, given: Path, cpu: str) -> dict[str, Any]:
    command = ["/usr/bin/python3.11", "/repo/benchmarks/arm64_board.py"]
    done, marks = board.marks(
        [*command, "/given/fan.asd", "/given/sound.npy", "/given/kernel"],
        cpu=cpu,
        binds={"/repo": REPOSITORY, "/site": site, "/given": given},
        environment={"PYTHONPATH": "/repo:/site"},
    )
    if done.returncode:
        raise RuntimeError(f"the board's program failed: {done.stderr[-2000:]}")
    said = json.loads(done.stdout.splitlines()[-1])
    counts = {}
    for i, part in enumerate(said["parts"]):
        before, short, long = marks[3 * i : 3 * i + 3]
        counts[part] = round(((long - short) - (short - before)) / said["extra_turns"] / said["step_s"])
    for kernel in ("numpy", "native"):
        known = counts[f"log-mel, {kernel}"] + counts["network"]
        counts[f"score and all else, {kernel}"] = counts[f"whole pipe, {kernel}"] - known
    return {"instructions_per_audio_s": counts, "kernels_apart_db": said["kernels_apart_db"]}


def prepare(folder: Path) -> None:
    """Ten minutes of a simulated fan (one, again and again, under ever new hiss) as `fan.asd`, more as `sound.npy`."""
    rng = np.random.default_rng(7)
    fan, scene = Machine.random("fan", rng), Scene.random(rng)
    heard = render(fan, scene, MINUTE_S + SOUND_S, rng)
    model = load_model()
    n_minute = int(MINUTE_S * model.contract.features.rate_hz)
    normal = np.tile(heard[:n_minute], MINUTES)
    normal += 1e-4 * rng.standard_normal(normal.size, dtype=np.float32)
    enrolment = Enrolment(model, load_embedder(model), strict=False)
    enrolment.add_samples(normal, "normal sound")
    save_bundle(enrolment.finish({}), folder / "fan.asd")
    np.save(folder / "sound.npy", heard[n_minute:])


def pinned(names: Sequence[str]) -> list[str]:
    """The packages in the versions of constraints.txt."""
    versions = {}
    for line in (REPOSITORY / "constraints.txt").read_text().splitlines():
        name, _, rest = line.partition("==")
        if rest and "python_version <" not in rest:
            versions[name.lower()] = rest.split(";")[0].strip()
    return [f"{name}=={versions[name]}" for name in names]


if __name__ == "__main__":
    sys.exit(main())

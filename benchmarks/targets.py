"""Installs archives where no board is: writes one, unpacks it on an emulated board, runs a WAV to an alarm there.

    python -m benchmarks.targets [TARGET ...] [--cpu NAME]     (default: pi4 pi-zero2 armv7)

The emulated board is a Debian of the target's architecture with Python 3.11 and what Raspberry Pi OS brings; it has no
network. What is proven is that the archive is complete and that its programs and numbers are right there; how long it
takes says nothing of a board.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import numpy as np

from edge_asd.bundle.bundle import load_bundle, save_bundle
from edge_asd.clips import read_frames
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.inference import load_embedder
from edge_asd.model_package import load_model
from edge_asd.simulator import Machine, Scene, render
from export.emulation import Sysroot
from export.targets.archive import write_archive
from export.targets.target import Target, load_target

BOARD_PACKAGES = (
    "libc6",
    "libc-bin",
    "libstdc++6",
    "dash",
    "coreutils",
    "sed",
    "grep",
    "dpkg",
    "python3",
    "libpython3-stdlib",
)
ARCHITECTURES = {"aarch64": "arm64", "armv7l": "armhf"}
RATE_HZ, ENROLMENT_S, QUIET_S, FAULT_S = 16000, 64.0, 8.0, 10.0


def main() -> int:
    """Prove each target."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.targets", description=__doc__.split("\n")[0])
    parser.add_argument("targets", nargs="*", default=["pi4", "pi-zero2", "armv7"], metavar="TARGET")
    parser.add_argument("--cpu", help="processor to emulate (default: the target's)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle, sound = prepare(Path(folder))
        for name in args.targets:
            began = time.monotonic()
            proof = prove(load_target(name), bundle, sound, Path(folder), args.cpu)
            print(f"{name}: {json.dumps(proof)}, {time.monotonic() - began:.0f} s", flush=True)
    return 0


def prepare(folder: Path) -> tuple[Path, Path]:
    """A bundle of a simulated fan with its frames kept, and a WAV in which the fan gets a whistle half way."""
    import soundfile

    rng = np.random.default_rng(3)
    fan, scene = Machine.random("fan", rng), Scene.random(rng)
    heard = render(fan, scene, ENROLMENT_S + QUIET_S + FAULT_S, rng)
    n_enrolment = round(ENROLMENT_S * RATE_HZ)
    model = load_model()
    enrolment = Enrolment(model, load_embedder(model), keep_frames=True)
    enrolment.add_samples(heard[:n_enrolment], "normal sound")
    save_bundle(enrolment.finish({}), folder / "fan.asd")
    watched = heard[n_enrolment:].copy()
    time_s = np.arange(watched.size) / RATE_HZ
    watched += np.where(time_s > QUIET_S, 0.3 * np.sin(2 * np.pi * 3100.0 * time_s), 0.0).astype(np.float32)
    soundfile.write(folder / "watched.wav", watched, RATE_HZ, subtype="PCM_16")
    return folder / "fan.asd", folder / "watched.wav"


def prove(target: Target, bundle: Path, sound: Path, folder: Path, cpu: str | None = None) -> dict[str, Any]:
    """Install the target's archive on an emulated board and run the sound through it there; what was seen.

    Raises AssertionError where something is not as it must be, UnavailableError where boards cannot be emulated.
    """
    archive = write_archive(target, load_bundle(bundle), bundle, folder)
    packages = [*BOARD_PACKAGES, *target.debian_packages]
    board = Sysroot.ensure(architecture=ARCHITECTURES[target.machine], packages=packages)
    processor = cpu or target.cpu
    with board.scratch() as scratch:
        given = scratch.root / "given"
        given.mkdir()
        subprocess.run(["tar", "-xzf", str(archive), "-C", str(given)], check=True)
        (given / "watched.wav").write_bytes(sound.read_bytes())
        home = f"/given/edge-asd-{target.name}"

        def run(*argv: str, environment: Mapping[str, str] | None = None) -> str:
            done = scratch.run(argv, cpu=processor, children=True, timeout_s=900.0, environment=environment)
            assert done.returncode == 0, f"{' '.join(argv)} ended with {done.returncode}: {done.stderr[-1500:]}"
            return done.stdout

        run("/bin/sh", f"{home}/install.sh", "--no-start")
        again = run("/bin/sh", f"{home}/install.sh", "--no-start")
        program = "/opt/edge-asd/bin/edge-asd"
        findings = {
            f["name"]: f["detail"] for f in json.loads(run("/bin/sh", "-c", f"{program} doctor --json || true"))
        }
        config = ["--config", "/etc/edge-asd/config.yaml"]
        lines = run(program, "run", *config, "--input", "/given/watched.wav", "--fast", "--json").splitlines()
        records = [json.loads(line) for line in lines]
        scored = json.loads(run(program, "score", "--bundle", "/etc/edge-asd/fan.asd", "/given/watched.wav", "--json"))
        unit = (scratch.root / "etc/systemd/system/edge-asd.service").read_text()
    alarms = [r for r in records if r["type"] == "alarm" and r["state"] == "start"]
    assert len(alarms) == 1, f"{len(alarms)} alarms"
    assert f"ExecStart={program} run" in unit
    assert "is installed" in again
    assert findings["log-mel kernel"].startswith("native"), findings["log-mel kernel"]
    own = load_bundle(bundle)
    here = own.score_clip(read_frames(sound, own.contract.features)).score
    return {
        "cpu": processor,
        "archive_mb": round(archive.stat().st_size / 1e6, 1),
        "alarm_peak": alarms[0]["peak"],
        "clip_score": scored[0]["score"] if isinstance(scored, list) else scored["score"],
        "clip_score_here": round(float(here), 4),
        "kernel": findings["log-mel kernel"],
        "runtime": findings["runtime"],
    }


if __name__ == "__main__":
    sys.exit(main())

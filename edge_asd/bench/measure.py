"""Measure every installed runtime with every network it can run, in turn, and choose one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd.bench.board import temperature_c
from edge_asd.errors import DataError, UnavailableError
from edge_asd.inference.runtimes import AUTO, usable
from edge_asd.model_package import PRECISIONS, leading, read_manifest

CHILD_LIMIT_S = 300.0
TIE = 1.05
"""Within five percent the smaller memory decides: that little is noise."""
COMFORTABLE = 0.5
"""Real-time factor above which a board has no reserve for alarms, clips and other machines."""


@dataclass(frozen=True)
class Candidate:
    """One way to run the model. backend: a runtime's name."""

    backend: str
    precision: str


def candidates(package: Path, runtime: str = AUTO, precision: str | None = None) -> list[Candidate]:
    """Every way the package can be run here. Raises UnavailableError when there is none."""
    files = leading(read_manifest(package))
    found = [
        Candidate(installed.name, wanted)
        for installed in usable(runtime)
        for wanted in ((precision,) if precision else PRECISIONS)
        if any(wanted in files.get(name, {}) for name in installed.formats)
    ]
    if not found:
        raise UnavailableError(f"{package}: none of its networks can be run by {runtime}")
    return found


def measure(
    package: Path,
    chosen: Sequence[Candidate],
    sound: np.ndarray,
    seconds: float,
    *,
    on_step: Callable[[str], None] = lambda words: None,
) -> list[dict[str, Any]]:
    """One row a candidate, in order. sound: float32 [n] at the model's rate; it is enrolled and listened to.

    A candidate that fails is a row with an "error" instead of figures.
    """
    rows = []
    with tempfile.TemporaryDirectory(prefix="edge-asd-bench-") as folder:
        path, bundle = Path(folder) / "sound.npy", Path(folder) / "machine.asd"
        np.save(path, sound)
        for candidate in chosen:
            on_step(f"{candidate.backend} {candidate.precision}")
            common = {"sound": str(path), "bundle": str(bundle), "runtime": candidate.backend}
            row: dict[str, Any] = {"backend": candidate.backend, "precision": candidate.precision}
            try:
                asked = {"task": "enrol", "package": str(package), "precision": candidate.precision, **common}
                row.update(_child(asked))
                row.update(_child({"task": "listen", "seconds": seconds, **common}))
                row["temperature_c"] = temperature_c()
            except DataError as error:
                row["error"] = str(error)
            rows.append(row)
    return rows


def choose(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row to use and why: the least CPU time; among ties, the least memory. Raises DataError when all failed."""
    good = [row for row in rows if "error" not in row]
    if not good:
        raise DataError(f"nothing could be measured: {rows[0]['error'] if rows else 'no candidate'}")
    fastest = min(row["cpu_ms_per_audio_s"] for row in good)
    ties = [row for row in good if row["cpu_ms_per_audio_s"] <= TIE * fastest]
    best = min(ties, key=lambda row: row["rss_mib"])
    others = [row for row in good if row is not best]
    reason = f"{best['cpu_ms_per_audio_s']:.2f} ms of CPU a second of audio"
    if others:
        next_best = min(others, key=lambda row: row["cpu_ms_per_audio_s"])
        ratio = next_best["cpu_ms_per_audio_s"] / best["cpu_ms_per_audio_s"]
        reason += f"; {next_best['backend']} {next_best['precision']} takes {ratio:.2f} times that"
    if best["real_time_factor"] > COMFORTABLE:
        reason += f"; this board is busy {100 * best['real_time_factor']:.0f} % of the time: choose a longer step"
    return {"backend": best["backend"], "precision": best["precision"], "reason": reason}


def _child(request: dict[str, Any]) -> dict[str, Any]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "edge_asd.bench.child"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=CHILD_LIMIT_S,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"no result within {CHILD_LIMIT_S:.0f} s") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise DataError(lines[-1] if lines else f"the measuring process ended with {done.returncode}")
    return dict(json.loads(done.stdout))

"""Runs on the emulated board: one stream's work in turns, a mark before and behind each stretch of them.

    python arm64_board.py BUNDLE SOUND.npy KERNEL_FOLDER

prints how far apart the two kernels' frames are, and the names of the parts in the order of their marks. Each part runs
a short and a long stretch between three marks, so that whatever does not grow with the sound cancels.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.stream import stream
from edge_asd.bundle.bundle import load_bundle
from edge_asd.frontend import LogMel, log_mel
from edge_asd.native import library
from edge_asd.windows import clip_windows

SHORT_TURNS, LONG_TURNS = 1, 3
MARK = 0x0ED9EA5D


def main() -> None:
    """Run all parts."""
    library.FOLDER = Path(sys.argv[3])
    bundle = load_bundle(Path(sys.argv[1]))
    sound = np.load(sys.argv[2])
    contract = bundle.contract
    spec = contract.features
    step = sound[: contract.step_frames * spec.hop_samples]
    windows = clip_windows(log_mel(sound, spec), contract)[0][:1]
    fronts = {kernel: LogMel(spec, padded=False, kernel=kernel) for kernel in ("numpy", "native")}
    apart_db = np.abs(fronts["numpy"].push(sound) - fronts["native"].push(sound)).max()
    parts: dict[str, Callable[[], object]] = {f"log-mel, {k}": partial(f.push, step) for k, f in fronts.items()}
    parts["network"] = lambda: bundle.embedder.embed(windows)
    for kernel in fronts:
        os.environ[library.CHOICE_VARIABLE] = kernel
        parts[f"whole pipe, {kernel}"] = stream(bundle.detector(), sound, step.size)
    for call in parts.values():
        for _ in range(3):
            call()
        for turns in (0, SHORT_TURNS, LONG_TURNS):
            for _ in range(turns):
                call()
            with contextlib.suppress(ProcessLookupError):
                os.getpriority(0, MARK)
    said = {"parts": list(parts), "step_s": contract.step_s, "extra_turns": LONG_TURNS - SHORT_TURNS}
    print(json.dumps({**said, "kernels_apart_db": float(apart_db)}))


if __name__ == "__main__":
    main()

"""Compiles `logmel.c`: for this machine when edge-asd is installed, for any other where its archive is made.

Imports nothing but the standard library and nothing of edge-asd, because `setup.py` runs it before either is there.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).with_name("logmel.c")
FLAGS = (
    "-std=gnu11",
    "-O3",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fvisibility=hidden",
    "-Wno-psabi",
    "-shared",
    "-fPIC",
)
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "x86_64": {"liblogmel.so": (), "liblogmel-avx2.so": ("-mavx2", "-mfma")},
    "aarch64": {"liblogmel.so": ()},
    # 32-bit NEON flushes the tiniest numbers to zero, which compilers use it for only when told that this is welcome.
    "armv7l": {
        "liblogmel.so": ("-march=armv7-a", "-mfpu=neon-vfpv4", "-mfloat-abi=hard", "-funsafe-math-optimizations")
    },
}
"""Machine -> library -> flags of its own. A machine not named here gets one plain library."""


def build(folder: Path, compiler: Sequence[str] = ("cc",), machine: str | None = None) -> list[Path]:
    """Compile every variant for `machine` (default: this one) into `folder`.

    compiler: the words that start it, for another machine those of a cross compiler.

    Raises OSError where the compiler is not there, subprocess.CalledProcessError (with `stderr`) where it fails.
    """
    variants = VARIANTS.get(machine or platform.machine(), VARIANTS["aarch64"])
    folder.mkdir(parents=True, exist_ok=True)
    for name, own in variants.items():
        command = [*compiler, *FLAGS, *own, "-o", str(folder / name), str(SOURCE), "-lm"]
        subprocess.run(command, check=True, capture_output=True, text=True)
    return [folder / name for name in variants]

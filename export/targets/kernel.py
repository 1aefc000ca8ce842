"""Compiling the log-mel kernel for another machine: Debian's cross compilers, or the one in the ziglang wheel."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from edge_asd.errors import UnavailableError
from edge_asd.native.build import build

DEBIAN_COMPILERS = {
    "aarch64": ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
    "armv7l": ("arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf libc6-dev-armhf-cross"),
    "x86_64": ("x86_64-linux-gnu-gcc", "gcc-x86-64-linux-gnu libc6-dev-amd64-cross"),
}
"""Machine -> the compiler's name and the packages that bring it."""
ZIG_TARGETS = {"aarch64": "aarch64-linux-gnu", "armv7l": "arm-linux-gnueabihf", "x86_64": "x86_64-linux-gnu"}


def compiler_for(machine: str, glibc: str) -> list[str]:
    """Words that start a C compiler for `machine` ("aarch64", "armv7l", "x86_64").

    glibc: the oldest version to run on. It reaches zig only; the kernel needs nothing newer than any supported one.

    Raises UnavailableError, naming what to install.
    """
    if machine == platform.machine() and shutil.which("cc"):
        return ["cc"]
    name, packages = DEBIAN_COMPILERS[machine]
    if shutil.which(name):
        return [name]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "cc", "-target", f"{ZIG_TARGETS[machine]}.{glibc}"]
    raise UnavailableError(
        f"no C compiler for {machine}",
        remedy=f"pip install 'edge-asd[targets]' (or apt install {packages}), or give --no-kernel: numpy does its work",
    )


def build_for(machine: str, glibc: str, folder: Path) -> list[Path]:
    """Compile the kernel for `machine` into `folder`. Raises UnavailableError where that cannot be."""
    try:
        return build(folder, compiler_for(machine, glibc), machine)
    except subprocess.CalledProcessError as error:
        why = (error.stderr or "no reason given").strip().splitlines()[-1]
        raise UnavailableError(f"the log-mel kernel for {machine} does not compile: {why}") from error

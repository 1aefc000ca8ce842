"""Emulated arm64 boards for measuring: `Sysroot.ensure()`, `.run(argv, cpu=...)`, `.instructions(argv, cpu=...)`."""

from export.emulation import CPUS, Sysroot

__all__ = ["CPUS", "Sysroot"]

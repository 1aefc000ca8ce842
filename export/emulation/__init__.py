"""Boards that are not there: a small Debian of the board's architecture, run by QEMU, its instructions counted.

What runs there is what a board would run, number for number; how long it takes says nothing of a board.
"""

from export.emulation.debian import ARCHITECTURES
from export.emulation.sysroot import CPUS, SET_MARK, Sysroot, default_cache, missing

__all__ = ["ARCHITECTURES", "CPUS", "SET_MARK", "Sysroot", "default_cache", "missing"]

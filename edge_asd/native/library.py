"""Finding and loading the compiled log-mel kernel, and the word on why it is not there."""

from __future__ import annotations

import ctypes
import functools
import os
from dataclasses import dataclass
from pathlib import Path

from edge_asd.errors import ConfigError, UnavailableError

CHOICE_VARIABLE = "EDGE_ASD_KERNEL"
CHOICES = ("auto", "native", "numpy")
FOLDER = Path(__file__).parent
ABI = 1
"""Of `logmel.c`: a library of another one is not used."""


@dataclass(frozen=True)
class Library:
    """The loaded library, or why there is none.

    functions: what `logmel.c` exports, with types declared; None without a library.
    detail: "avx2", "4 lanes" or the reason for there being none.
    """

    functions: ctypes.CDLL | None
    detail: str


def chosen() -> str:
    """Which kernel this process is told to use: "native", "numpy", or "auto", which is native where it can be.

    Raises ConfigError for another word in the environment variable EDGE_ASD_KERNEL.
    """
    word = os.environ.get(CHOICE_VARIABLE) or "auto"
    if word not in CHOICES:
        raise ConfigError(f"{CHOICE_VARIABLE}={word}: no such kernel", remedy=f"one of {', '.join(CHOICES)}")
    return word


def required() -> ctypes.CDLL:
    """The library. Raises UnavailableError saying why there is none."""
    library = load()
    if library.functions is None:
        raise UnavailableError(
            f"the native log-mel kernel cannot be used: {library.detail}",
            remedy=f"install a C compiler and edge-asd again, or set {CHOICE_VARIABLE}=numpy",
        )
    return library.functions


@functools.lru_cache(maxsize=4)
def load(folder: Path | None = None) -> Library:
    """Load the best variant in `folder` (None: where it is installed) that this processor can run. Never raises."""
    folder = folder or FOLDER
    plain = folder / "liblogmel.so"
    if not plain.is_file():
        return Library(None, "not built (no C compiler when edge-asd was installed)")
    try:
        functions = _declared(ctypes.CDLL(str(plain)))
        fast = folder / "liblogmel-avx2.so"
        if functions.logmel_may_use_avx2() and fast.is_file():
            return Library(_declared(ctypes.CDLL(str(fast))), "avx2")
    except (OSError, AttributeError) as error:  # of another architecture or C library; damaged
        return Library(None, f"{plain} cannot be loaded: {' '.join(str(error).split())[:200]}")
    except _OtherAbi as error:
        return Library(None, f"{plain} is of another version ({error}): install edge-asd again")
    return Library(functions, f"{functions.logmel_lanes()} lanes")


class _OtherAbi(Exception):
    pass


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    found = library.logmel_abi()
    if found != ABI:
        raise _OtherAbi(f"{found}, not {ABI}")
    whole, number, address = ctypes.c_int, ctypes.c_float, ctypes.c_void_p
    library.logmel_new.restype = address
    library.logmel_new.argtypes = [whole, whole, whole, address, address, address, address, number, number, whole]
    library.logmel_frames.restype = None
    library.logmel_frames.argtypes = [address, address, ctypes.c_long, address, address]
    library.logmel_free.restype = None
    library.logmel_free.argtypes = [address]
    return library

"""The door to PortAudio: found late, quiet, and opened anew when the list of devices must be read again."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import os
from types import ModuleType

from edge_asd.errors import UnavailableError

INVALID_RATE, DEVICE_UNAVAILABLE = -9997, -9985


def load() -> ModuleType:
    """The `sounddevice` module, which reads the list of devices when first loaded.

    Raises UnavailableError naming the package that is missing.
    """
    _hush()
    try:
        import sounddevice
    except ImportError as error:
        raise UnavailableError(f"no microphone access: {error}", remedy="run: pip install sounddevice") from error
    except OSError as error:
        raise UnavailableError(
            "no microphone access: the PortAudio library is missing", remedy="run: sudo apt install libportaudio2"
        ) from error
    except Exception as error:
        # PortAudioError cannot be named here: the module that defines it failed to load.
        raise UnavailableError(f"no microphone access: PortAudio does not start ({error})") from error
    return sounddevice


def refresh(sounddevice: ModuleType) -> None:
    """Read the list of devices again: PortAudio freezes it when it starts. No stream may be open."""
    # Not running is no reason to fail: the start after the last end may have failed.
    with contextlib.suppress(sounddevice.PortAudioError):
        sounddevice._terminate()
    try:
        sounddevice._initialize()
    except sounddevice.PortAudioError as error:
        raise UnavailableError(f"PortAudio does not start again: {reason(error)}") from error


def forget_at_exit(sounddevice: ModuleType) -> None:
    """Leave PortAudio as it is when the process ends, because a driver that hangs would keep it from ending."""
    atexit.unregister(sounddevice._exit_handler)


def reason(error: Exception) -> str:
    """PortAudio's own words for an error, without the code a user cannot read."""
    if is_unavailable(error):
        return "busy or gone"
    if len(error.args) > 2:  # "unanticipated host error": (host API, number, words), those on the main thread only
        return str(error.args[2][2]) or "its driver fails"
    return str(error.args[0] if error.args else error).removeprefix("Error opening InputStream: ")


def is_unavailable(error: Exception) -> bool:
    """Busy or gone: no other rate will help, and PortAudio tries for a second each time."""
    return len(error.args) > 1 and error.args[1] == DEVICE_UNAVAILABLE


def is_wrong_rate(error: Exception) -> bool:
    """The device is there and does not have this rate."""
    return len(error.args) > 1 and error.args[1] == INVALID_RATE


@functools.cache
def _hush() -> None:
    """Send what C libraries print on `stderr` nowhere, for good, their last words before an abort or exit among it;
    Python and faulthandler write elsewhere.

    ALSA and PortAudio print a line for everything they try, and PortAudio a million a minute while a driver fails to
    prepare again after an overrun: a journal, and the card it lies on, would drown. Only the stream of that name is
    replaced, not the descriptor. Other C libraries than glibc do not let it be.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return
    libc.fopen.restype = ctypes.c_void_p
    nowhere = libc.fopen(os.devnull.encode(), b"w")
    if nowhere:
        ctypes.c_void_p.in_dll(libc, "stderr").value = nowhere

"""The door to PortAudio: found late, quiet, and opened anew when the list of devices must be read again."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections.abc import Iterator
from types import ModuleType

from edge_asd.errors import UnavailableError

STDERR_FD = 2
INVALID_RATE, DEVICE_UNAVAILABLE = -9997, -9985

_saved_stderr: int | None = None
_stderr_lock = threading.Lock()


def load() -> ModuleType:
    """The `sounddevice` module, which reads the list of devices when first loaded.

    Raises UnavailableError naming the package that is missing.
    """
    try:
        with quiet():
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
    with quiet():
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
    return str(error.args[0] if error.args else error).removeprefix("Error opening InputStream: ")


def is_unavailable(error: Exception) -> bool:
    """Busy or gone: no other rate will help, and PortAudio tries for a second each time."""
    return len(error.args) > 1 and error.args[1] == DEVICE_UNAVAILABLE


def is_wrong_rate(error: Exception) -> bool:
    """The device is there and does not have this rate."""
    return len(error.args) > 1 and error.args[1] == INVALID_RATE


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep PortAudio's and ALSA's debug lines off standard error: they print one for everything they try.

    The two libraries write to the descriptor itself, so the whole process is quiet meanwhile; keep it short.
    """
    global _saved_stderr
    with _stderr_lock:
        mine = _saved_stderr is None
        if mine:
            try:
                _saved_stderr = os.dup(STDERR_FD)
            except OSError:
                mine = False
            else:
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, STDERR_FD)
                os.close(nothing)
    try:
        yield
    finally:
        if mine:
            loud()


def loud() -> None:
    """End `quiet` at once, from any thread: for when the call inside it hangs."""
    global _saved_stderr
    with _stderr_lock:
        if _saved_stderr is not None:
            os.dup2(_saved_stderr, STDERR_FD)
            os.close(_saved_stderr)
            _saved_stderr = None

"""From the audio settings to an open source of sound."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge_asd.config.settings import AudioConfig
from edge_asd.errors import UsageError

if TYPE_CHECKING:
    from edge_asd.audio.captures import Captures
    from edge_asd.audio.files import FileSource
    from edge_asd.audio.microphone import MicrophoneSource, SourceEvent
    from edge_asd.audio.stdin import StdinSource

STDIN = "-"


def open_input(
    path: str,
    audio: AudioConfig,
    rate_hz: int,
    *,
    paced: bool,
    stop: threading.Event,
    clock: Callable[[], float] = time.time,
) -> FileSource | StdinSource:
    """A file, or standard input for "-", as a stream at the model's `rate_hz`."""
    if path == STDIN:
        from edge_asd.audio.stdin import StdinSource

        return StdinSource(
            rate_hz,
            channel=audio.channel,
            pcm_rate_hz=audio.rate,
            pcm_channels=audio.channels,
            pcm_format=audio.input_format,
            paced=paced,
            stop=stop,
            clock=clock,
        )
    from edge_asd.audio.files import FileSource

    return FileSource(path, rate_hz, audio.channel, paced=paced, stop=stop, clock=clock)


def open_microphone(
    audio: AudioConfig,
    rate_hz: int,
    *,
    wait: bool,
    stop: threading.Event,
    on_event: Callable[[SourceEvent], None],
    clock: Callable[[], float] = time.time,
    captures: Captures | None = None,
) -> MicrophoneSource:
    """The microphone that is set, as a stream at the model's `rate_hz`. Raises UsageError when none is.

    captures: shared with the other microphones of this process.
    """
    if audio.device is None:
        raise UsageError(
            "no source of sound given",
            remedy="name --device NAME (`edge-asd devices` lists them; `default` is the system's), or a file",
        )
    from edge_asd.audio.microphone import MicrophoneSource

    chosen = audio.device
    system_default = chosen == "default" and chosen not in audio.aliases
    return MicrophoneSource(
        None if system_default else chosen,
        rate_hz,
        channel=audio.channel,
        device_rate_hz=audio.rate,
        aliases=audio.aliases,
        wait=wait,
        on_event=on_event,
        stop=stop,
        clock=clock,
        captures=captures,
    )

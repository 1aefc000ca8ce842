"""Sound from standard input: a WAV stream, or raw PCM as `arecord -t raw` and `ffmpeg -f s16le` give it."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np

from edge_asd.audio.block import AudioBlock
from edge_asd.audio.condition import Conditioner, check_samples, pcm_to_float32
from edge_asd.audio.header import IEEE_FLOAT, PCM, read_wav_header
from edge_asd.audio.pacing import BLOCK_S, FAST_BLOCK_S, Pacer
from edge_asd.errors import DataError, MissingInputError, StorageError, UsageError

NAME = "standard input"
PCM_BYTES = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4, "f64le": 8}
_WAV_FORMATS = {
    (PCM, 8): "u8",
    (PCM, 16): "s16le",
    (PCM, 24): "s24le",
    (PCM, 32): "s32le",
    (IEEE_FLOAT, 32): "f32le",
    (IEEE_FLOAT, 64): "f64le",
}
_OTHER_FILES = {b"fLaC": "FLAC", b"OggS": "OGG", b"FORM": "AIFF", b"ID3": "MP3", b"caff": "CAF", b".snd": "AU"}
POLL_S = 0.2


class StdinSource:
    """Standard input as a stream. A WAV header is recognised; anything else is taken as raw PCM.

    rate_hz: the model's rate; blocks come at it.
    channel: which to listen to; None takes the only one or, saying so in `note`, channel 0.
    pcm_rate_hz, pcm_channels, pcm_format: of raw PCM (format one of `PCM_BYTES`); the rate defaults to the model's.
    paced: hold back sound that is there already to the speed at which it was heard. A live producer is never held
        back: whenever reading has to wait, its clock is taken over.
    stream: the bytes; defaults to this process's standard input.
    clock, stop, sleep: as for `FileSource`; `stop` is seen within 0.2 s even when nothing comes.
    """

    def __init__(
        self,
        rate_hz: int,
        *,
        channel: int | None = None,
        pcm_rate_hz: int | None = None,
        pcm_channels: int = 1,
        pcm_format: str = "s16le",
        paced: bool = True,
        stream: BinaryIO | None = None,
        clock: Callable[[], float] = time.time,
        stop: threading.Event | None = None,
        sleep: Callable[[float], Any] | None = None,
    ) -> None:
        if pcm_format not in PCM_BYTES:
            raise UsageError(f"PCM format {pcm_format!r} is not known", remedy=f"choose from {', '.join(PCM_BYTES)}")
        if pcm_channels < 1:
            raise UsageError(f"{pcm_channels} channels of PCM make no sound")
        if stream is None and sys.stdin is None:
            raise MissingInputError(f"{NAME} is closed", remedy="pipe sound into edge-asd")
        self.name = NAME
        self.rate_hz = rate_hz
        self.note = ""
        self._stream: BinaryIO = stream if stream is not None else sys.stdin.buffer
        if self._stream.isatty():
            raise UsageError(f"{NAME} is a terminal", remedy="pipe sound into edge-asd, or name a file")
        self._channel = channel
        self._raw = (pcm_rate_hz or rate_hz, pcm_channels, pcm_format)
        self._block_s = BLOCK_S if paced else FAST_BLOCK_S
        self._stop = stop or threading.Event()
        self._pipe = _Pipe(self._stream, self._stop)
        self._pacer = Pacer(rate_hz, paced=paced, clock=clock, stop=self._stop, sleep=sleep)

    def blocks(self) -> Iterator[AudioBlock]:
        """Blocks to the end of the input.

        Raises DataError when there is no sound at all, a WAV stream ends early, or a sample is no sound.
        """
        yield from self._pacer.blocks(self._conditioned(), self._pipe.had_to_wait)

    def close(self) -> None:
        """Standard input belongs to the process: nothing to release."""

    def _conditioned(self) -> Iterator[np.ndarray]:
        rate_hz, channels, pcm_format, promised = self._recognise()
        conditioner = Conditioner(rate_hz, self.rate_hz, channel=self._channel)
        conditioner.check(channels)
        self.note = conditioner.note
        frame_bytes = channels * PCM_BYTES[pcm_format]
        block_bytes, position = round(self._block_s * rate_hz) * frame_bytes, 0
        while promised is None or position * frame_bytes < promised:
            left = block_bytes if promised is None else promised - position * frame_bytes
            data = self._pipe.read(min(block_bytes, left))
            frames = len(data) // frame_bytes
            if frames:
                raw = decode_pcm(data[: frames * frame_bytes], channels, pcm_format)
                check_samples(raw, position, rate_hz, NAME)
                yield conditioner.push(raw)
            position += frames
            if len(data) < min(block_bytes, left):
                self._ended(position, len(data) % frame_bytes, frame_bytes, promised)
                break
        yield conditioner.flush()

    def _recognise(self) -> tuple[int, int, str, int | None]:
        """Rate, channels, format and promised bytes of what comes."""
        head = self._pipe.read(4)
        if head[:3] in _OTHER_FILES or head in _OTHER_FILES:
            kind = _OTHER_FILES.get(head) or _OTHER_FILES[head[:3]]
            raise DataError(f"{NAME} is {kind}, which cannot be streamed", remedy="name the file, or pipe WAV or PCM")
        self._pipe.put_back(head)
        if head not in (b"RIFF", b"RF64"):
            return (*self._raw, None)
        header = read_wav_header(self._pipe.read, NAME)
        pcm_format = _WAV_FORMATS.get((header.encoding, header.bits))
        if pcm_format is None or header.bytes_per_frame != header.channels * PCM_BYTES[pcm_format]:
            raise DataError(
                f"{NAME}: WAV with encoding {header.encoding} and {header.bits} bits cannot be streamed",
                remedy="use PCM of 8, 16, 24 or 32 bits, or float",
            )
        return header.rate_hz, header.channels, pcm_format, header.data_bytes

    def _ended(self, frames: int, odd_bytes: int, frame_bytes: int, promised: int | None) -> None:
        """The input is over: an error when it held nothing or less than promised, a note when it ended in a sample."""
        if self._stop.is_set():
            return
        if promised is not None:
            raise DataError(
                f"{NAME}: truncated, its header promises {promised // frame_bytes} samples and {frames} came"
            )
        if not frames:
            raise DataError(f"{NAME} holds no sound ({odd_bytes} bytes)", remedy="pipe sound into edge-asd")
        if odd_bytes:
            self.note = "; ".join(
                filter(None, (self.note, f"ended within a sample: {odd_bytes} of {frame_bytes} bytes ignored"))
            )


def decode_pcm(data: bytes, channels: int, pcm_format: str) -> np.ndarray:
    """Whole frames of interleaved PCM -> float32 [n, channels], full scale +-1, exact up to 24 bits."""
    if pcm_format == "u8":
        samples = (np.frombuffer(data, np.uint8).astype(np.int16) - 128).astype(np.int8)
    elif pcm_format == "s24le":
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        samples = wide.reshape(-1).view("<i4")
    else:
        kind, size = pcm_format[0].replace("s", "i"), PCM_BYTES[pcm_format]
        samples = np.frombuffer(data, f"<{kind}{size}")
    return pcm_to_float32(samples).reshape(-1, channels)


class _Pipe:
    """Reads that are interrupted by `stop` and know whether they had to wait."""

    def __init__(self, stream: BinaryIO, stop: threading.Event) -> None:
        self._stream = stream
        self._stop = stop
        self._back = b""
        self._waited = False
        try:
            self._fd: int | None = stream.fileno()
        except OSError:  # a stream in memory: it never has to be waited for
            self._fd = None

    def put_back(self, data: bytes) -> None:
        self._back = data + self._back

    def had_to_wait(self) -> bool:
        """Whether any read since this was last asked found nothing there yet."""
        waited, self._waited = self._waited, False
        return waited

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer only at the end of the stream or when stopped."""
        parts, self._back = [self._back[:size]], self._back[size:]
        missing = size - len(parts[0])
        while missing and self._ready():
            try:
                # The descriptor itself: Python's buffer would hide bytes from `select`.
                data = self._stream.read(missing) if self._fd is None else os.read(self._fd, missing)
            except OSError as error:
                raise StorageError(f"{NAME} cannot be read: {error.strerror or error}") from error
            if not data:
                break
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def _ready(self) -> bool:
        """Wait until there is something to read; False when stopped."""
        waiting = False
        while not self._stop.is_set():
            if self._fd is None or select.select([self._fd], [], [], POLL_S if waiting else 0.0)[0]:
                return True
            waiting = self._waited = True
        return False

"""Sound from files: whole clips for enrolment and scoring, and a file played as if it were a live stream."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edge_asd.audio.block import AudioBlock
from edge_asd.audio.condition import Conditioner, check_samples
from edge_asd.audio.header import container_bytes, read_wav_header
from edge_asd.audio.pacing import BLOCK_S, FAST_BLOCK_S, Pacer
from edge_asd.errors import DataError, MissingInputError, StorageError, UnavailableError

CLIP_SUFFIXES = (".aif", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64", ".w64", ".wav")
MIN_CLIP_S = 0.1
"""Less than two frames of the usual front end: a click, not a machine."""


def read_clip(
    path: str | os.PathLike[str],
    rate_hz: int,
    channel: int | None = None,
    *,
    on_note: Callable[[str], None] = lambda note: None,
) -> np.ndarray:
    """A whole clip, conditioned: float32 mono [n] at `rate_hz`.

    on_note: told what was chosen for the user (a channel of several), in words.

    Raises MissingInputError when it is not there, DataError when it is empty, truncated, shorter than 0.1 s, not
    audio, or holds a sample that is no finite number of a sensible size.
    """
    with _SoundFile(Path(path)) as sound:
        conditioner = Conditioner(sound.rate_hz, rate_hz, channel=channel)
        pieces = [_condition(conditioner, raw, sound.path) for raw in sound.raw_blocks(FAST_BLOCK_S)]
        if conditioner.note:
            on_note(conditioner.note)
        return np.concatenate([*pieces, conditioner.flush()])


def find_clips(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Clips named by files and directories: files as given, directories with all below them, sorted.

    Hidden files in directories are left out: macOS puts a `._a.wav` that is no sound beside every `a.wav` on a card.
    Raises MissingInputError when a path is not there or a directory holds no clip.
    """
    clips: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found = sorted(p for p in path.rglob("[!.]*") if p.suffix.lower() in CLIP_SUFFIXES and p.is_file())
            if not found:
                kinds = " ".join(CLIP_SUFFIXES)
                raise MissingInputError(f"{path}: no audio file in this directory", remedy=f"looked for {kinds}")
            clips.extend(found)
        elif path.exists():
            clips.append(path)
        else:
            raise MissingInputError(f"{path}: no such file or directory")
    return clips


def sound_hz(path: Path) -> int:
    """The rate of a sound file. Raises DataError, MissingInputError, StorageError."""
    with _SoundFile(path) as sound:
        return sound.rate_hz


class FileSource:
    """A file played as a stream, never loaded whole.

    path: of the file; the same checks as `read_clip`.
    rate_hz: the model's rate; blocks come at it.
    channel: which to listen to; None takes the only one or, saying so in `note`, channel 0.
    paced: at the speed of the sound; otherwise as fast as blocks are taken.
    clock: UTC seconds since the epoch; the file's first sample is heard when iteration begins.
    stop: set it to end the stream early.
    sleep: waits some seconds; defaults to waiting for `stop`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        rate_hz: int,
        channel: int | None = None,
        *,
        paced: bool = True,
        clock: Callable[[], float] = time.time,
        stop: threading.Event | None = None,
        sleep: Callable[[float], Any] | None = None,
    ) -> None:
        self.name = os.fspath(path)
        self.rate_hz = rate_hz
        self._sound = _SoundFile(Path(path))
        try:
            self._conditioner = Conditioner(self._sound.rate_hz, rate_hz, channel=channel)
            self._conditioner.check(self._sound.channels)
        except BaseException:
            self._sound.close()
            raise
        self._block_s = BLOCK_S if paced else FAST_BLOCK_S
        self._pacer = Pacer(rate_hz, paced=paced, clock=clock, stop=stop, sleep=sleep)

    @property
    def heard_hz(self) -> int:
        """The file's own rate."""
        return self._sound.rate_hz

    @property
    def note(self) -> str:
        """What the user should know about the choice of channel, or nothing."""
        return self._conditioner.note

    def blocks(self) -> Iterator[AudioBlock]:
        """Blocks to the end of the file. Raises DataError at a bad sample, after the blocks before it."""
        yield from self._pacer.blocks(self._conditioned())

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._sound.close()

    def _conditioned(self) -> Iterator[np.ndarray]:
        for raw in self._sound.raw_blocks(self._block_s):
            yield _condition(self._conditioner, raw, self._sound.path)
        yield self._conditioner.flush()


def _condition(conditioner: Conditioner, raw: np.ndarray, path: Path) -> np.ndarray:
    try:
        return conditioner.push(raw)
    except DataError as error:
        raise DataError(f"{path}: {error.message}", remedy=error.remedy) from error


class _SoundFile:
    """An open sound file that was checked before its first sample is given out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.is_dir():
            raise DataError(f"{path}: is a directory, not a sound file")
        if not path.exists():
            raise MissingInputError(f"{path}: no such file")
        if not path.is_file():
            raise DataError(
                f"{path}: a device or pipe, not a sound file", remedy="pipe it into `edge-asd run --input -`"
            )
        soundfile = _import_soundfile()
        try:
            size = path.stat().st_size
            if size == 0:
                raise DataError(f"{path}: the file is empty")
            _check_promise(path, size)
            self._file = soundfile.SoundFile(str(path))
        except soundfile.LibsndfileError as error:
            raise DataError(
                f"{path}: not a sound file this program can read ({_reason(error)})",
                remedy="use WAV, FLAC, OGG, AIFF or MP3",
            ) from error
        except OSError as error:
            raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error
        self.rate_hz: int = self._file.samplerate
        self.channels: int = self._file.channels
        self._frames: int = self._file.frames
        if self._frames < MIN_CLIP_S * self.rate_hz:
            self.close()
            count = f"{self._frames} sample{'' if self._frames == 1 else 's'} at {self.rate_hz} Hz"
            raise DataError(f"{path}: holds {count}", remedy=f"at least {MIN_CLIP_S} s of sound is needed")

    def raw_blocks(self, block_s: float) -> Iterator[np.ndarray]:
        """float32 [n, channels], every sample checked; DataError where the file breaks off."""
        soundfile = _import_soundfile()
        position, size = 0, max(1, round(block_s * self.rate_hz))
        while True:
            try:
                raw = self._file.read(size, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise self._broken_off(position, _reason(error)) from error
            check_samples(raw, position, self.rate_hz, str(self.path))
            position += len(raw)
            if len(raw):
                yield raw
            if len(raw) < size:
                break
        if position < self._frames:
            raise self._broken_off(position, "truncated")

    def _broken_off(self, position: int, reason: str) -> DataError:
        return DataError(
            f"{self.path}: promises {self._frames} samples but breaks off after {position} ({reason})",
            remedy="copy or record it again",
        )

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> _SoundFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check_promise(path: Path, size: int) -> None:
    """Refuse a WAV or AIFF file shorter than its header says: libsndfile would shorten it without a word."""
    with path.open("rb") as file:
        head = file.read(12)
        promised = container_bytes(head)
        if promised is not None and size < promised:
            raise DataError(
                f"{path}: truncated, its header promises {promised} bytes and {size} are there",
                remedy="copy or record it again",
            )
        if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
            return
        file.seek(0)
        header = read_wav_header(file.read, str(path))
    if header.data_bytes is None:
        return
    there = size - header.data_offset
    if there // header.bytes_per_frame < header.data_bytes // header.bytes_per_frame:
        raise DataError(
            f"{path}: truncated, its header promises {header.data_bytes} bytes of sound and {there} are there",
            remedy="copy or record it again",
        )


def _reason(error: Exception) -> str:
    """libsndfile's own words, without its prefix that repeats the path."""
    return str(getattr(error, "error_string", error)).strip().rstrip(".")


def _import_soundfile() -> ModuleType:
    """Only where a file is opened. Raises UnavailableError."""
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise UnavailableError(f"cannot read sound files: {error}", remedy="run: pip install soundfile") from error
    return soundfile

"""A clip on the card: FLAC that gives back the very samples, and its spectrogram with the findings marked."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_asd.atomic import write_atomically
from edge_asd.errors import StorageError, UnavailableError
from edge_asd.store.ring import FULL_SCALE, Clip

if TYPE_CHECKING:
    from edge_asd.contract import LogMelSpec
    from edge_asd.explain import Finding
    from edge_asd.store.ledger import Ledger

DIRECTORY = "clips"
SOUND, PICTURE = ".flac", ".png"
MARKED_AT_MOST = 3
NOWHERE = ("level", "timbre")
"""Kinds of findings that no box can show."""


def clip_stem(machine: str, alarm: str) -> str:
    """Where an alarm's files go, relative to the store and without their suffix: a directory a month, the oldest
    first when sorted by name."""
    return f"{DIRECTORY}/{alarm[:4]}-{alarm[4:6]}/{alarm}_{re.sub('[^A-Za-z0-9.-]', '_', machine)}"


def flac_bytes(clip: Clip) -> bytes:
    """The clip's samples, unchanged."""
    import soundfile

    data = io.BytesIO()
    soundfile.write(data, clip.samples, clip.rate_hz, format="FLAC", subtype="PCM_16")
    return data.getvalue()


def picture_bytes(clip: Clip, spec: LogMelSpec, title: str, findings: Iterable[Finding]) -> bytes:
    """A spectrogram of the clip as PNG, with a box for each finding from the alarm's start on, and the gaps named."""
    from edge_asd.frontend import log_mel
    from edge_asd.pictures.spectrogram import Mark, spectrogram_png

    frames = log_mel(clip.samples.astype(np.float32) / np.float32(FULL_SCALE), spec)
    shown = [finding for finding in findings if finding.kind not in NOWHERE][:MARKED_AT_MOST]
    marks = [Mark(clip.alarm_s, clip.duration_s, one.from_hz, one.to_hz, one.kind) for one in shown]
    marks += [Mark(at_s, at_s, spec.fmin_hz, spec.fmax_hz, f"{lost_s:.1f} s lost") for at_s, lost_s in clip.gaps]
    return spectrogram_png(frames, spec, title=title, marks=marks)


@dataclass(frozen=True)
class ClipJob:
    """A clip on its way to the card.

    machine, alarm: whose. clip: the sound. keep_sound: whether it may be stored.
    draw: makes its picture (PNG); None: no picture is kept.
    """

    machine: str
    alarm: str
    clip: Clip
    keep_sound: bool
    draw: Callable[[Clip], bytes] | None

    def files(self) -> tuple[bytes, bytes]:
        """FLAC and PNG, each empty where it is not to be kept."""
        sound = flac_bytes(self.clip) if self.keep_sound else b""
        picture = b""
        if self.draw is not None:
            with contextlib.suppress(UnavailableError):  # without Pillow there is the sound, and the words
                picture = self.draw(self.clip)
        return sound, picture

    def about(self) -> dict[str, Any]:
        """What the database says about the clip: length, where the alarm starts in it, where sound is missing."""
        clip = self.clip
        return {
            "duration_s": round(clip.duration_s, 3),
            "alarm_s": round(clip.alarm_s, 3),
            "gaps": [{"at_s": round(at_s, 3), "lost_s": round(lost_s, 3)} for at_s, lost_s in clip.gaps],
        }


def clip_entry(
    machine: str, alarm: str, names: tuple[str | None, str | None], about: dict[str, Any]
) -> Callable[[Ledger], None]:
    """Tells the database where a clip's files lie."""
    return lambda ledger: ledger.put_clip(machine, alarm, *names, json.dumps(about))


def written_files(
    directory: Path, machine: str, alarm: str, files: tuple[bytes, bytes]
) -> tuple[str | None, str | None]:
    """Put FLAC and PNG (empty: none) beside the database; give their names. Raises OSError, nothing is half there."""
    names: list[str | None] = []
    for data, suffix in zip(files, (SOUND, PICTURE), strict=True):
        name = clip_stem(machine, alarm) + suffix
        if data:
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                write_atomically(path, data)
            except StorageError as error:
                for written in filter(None, names):
                    (directory / written).unlink(missing_ok=True)
                raise error.__cause__ or error from None
        names.append(name if data else None)
    return names[0], names[1]


def found_files(directory: Path, machine: str, alarm: str) -> tuple[str | None, str | None]:
    """Names of an alarm's FLAC and PNG, None where there is none."""
    stem = clip_stem(machine, alarm)
    sound, picture = stem + SOUND, stem + PICTURE
    return (
        sound if (directory / sound).exists() else None,
        picture if (directory / picture).exists() else None,
    )


def remove_remains(directory: Path) -> None:
    """Take away what writing files left half done when the power went. Raises OSError."""
    for path in (directory / DIRECTORY).glob("*/.*.tmp"):
        path.unlink(missing_ok=True)

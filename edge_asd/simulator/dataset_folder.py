"""The generated DCASE-2022-shaped set as a folder: there whole, or not at all."""

from __future__ import annotations

import csv
import io
import os
import shutil
import tempfile
import wave
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_asd.errors import MissingInputError, StorageError, UsageError
from edge_asd.simulator.dcase2022 import MACHINES, RATE_HZ, SECTIONS, Counts, GeneratedClip, sections_of


@dataclass(frozen=True)
class Written:
    """What was written: clips by role and label ("train normal", "test anomaly", ...), and their sound in seconds."""

    folder: Path
    clips: dict[str, int]
    seconds: float

    @property
    def n_clips(self) -> int:
        return sum(self.clips.values())


def write_dcase2022(
    folder: Path,
    *,
    machines: Sequence[str] = MACHINES,
    sections: Sequence[str] = SECTIONS,
    counts: Counts | None = None,
    clip_s: float = 0.8,
    seed: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Written:
    """Make the set in `folder`, which must be empty or not there yet: 16 kHz, mono, 16 bits, and attribute tables.

    The clips grow in a folder beside it that takes its place at the end; what goes wrong on the way, Ctrl-C
    included, leaves nothing. progress: told the clips done and the clips to do.

    Raises UsageError (the folder holds something), MissingInputError (no folder to put it in), DataError (a machine,
    section, time or number of clips that cannot be), StorageError (no space, no permission).
    """
    folder = Path(folder)
    made = sections_of(machines, sections, clip_s, seed)
    plans = [(section, list(section.clips(counts or Counts()))) for section in made]
    _refuse_taken(folder)
    parent = folder.absolute().parent
    if not parent.is_dir():
        raise MissingInputError(f"{folder}: the directory {parent} does not exist", remedy="make it first")
    total, done = sum(len(clips) for _, clips in plans), 0
    growing: Path | None = None
    try:
        growing = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=parent))
        for section, clips in plans:
            for clip in clips:
                file = growing / clip.path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(wav_bytes(section.sound(clip)))
                done += 1
                progress(done, total)
            (growing / section.machine / f"attributes_{section.section}.csv").write_text(
                _table(clips), encoding="utf-8", newline=""
            )
        growing.chmod(0o755)  # mkdtemp makes 0700
        os.sync()
        growing.replace(folder)  # takes the place of an empty directory, never of one that holds something
        growing = None
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be written: {error.strerror or error}", remedy="nothing was left behind"
        ) from error
    finally:
        if growing is not None:
            shutil.rmtree(growing, ignore_errors=True)
    counted = Counter(f"{clip.role} {clip.label}" for _, clips in plans for clip in clips)
    return Written(folder, dict(counted), total * round(clip_s * RATE_HZ) / RATE_HZ)


def wav_bytes(samples: np.ndarray) -> bytes:
    """int16 [n] at 16 kHz as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(RATE_HZ)
        wav.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def _refuse_taken(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"{folder} is there and no directory", remedy="choose another name")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", remedy="choose a new directory: nothing is written over")


def _table(clips: Sequence[GeneratedClip]) -> str:
    """The organisers' attribute table: file_name, then d1p, d1v, d2p, d2v, ... (parameter, value)."""
    width = max((len(clip.attributes) for clip in clips), default=0)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file_name", *(f"d{i + 1}{kind}" for i in range(width) for kind in "pv")])
    for clip in clips:
        writer.writerow([clip.path, *(word for pair in clip.attributes for word in pair)])
    return text.getvalue()

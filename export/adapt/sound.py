"""The normal sound an embedder is adapted to: recordings of one machine or several, cut into short clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_asd.audio.files import find_clips, read_clip
from edge_asd.enrolment.hearing import sound_problems
from edge_asd.errors import DataError, MissingInputError, UsageError

CLIP_S = 5.0
"""Long recordings are cut into clips of about this length: enough windows for a score, enough clips for a rate."""
LEAST_S = 120.0
"""Under two minutes no fold of the sound says anything about the rest."""
FOLDS = 3


@dataclass(frozen=True)
class SoundClip:
    """A stretch of one recording.

    samples: float32 mono [n] at the model's rate. name: of the recording; start_s: where in it this begins.
    group: recordings that belong together share it; None: not named. domain: as `Enrolment.add_samples` takes it.
    """

    samples: np.ndarray
    name: str
    start_s: float = 0.0
    group: str | None = None
    domain: str | None = None


@dataclass(frozen=True)
class MachineSound:
    """Normal sound of one machine. clips: in the order they were recorded, as far as names tell."""

    name: str
    clips: tuple[SoundClip, ...]
    rate_hz: int

    @property
    def seconds(self) -> float:
        """Seconds of sound."""
        return sum(clip.samples.size for clip in self.clips) / self.rate_hz

    def folds(self) -> np.ndarray:
        """Fold of each clip, int [n] from 0 to `FOLDS` - 1: neighbours in time, and whole groups where they are named,
        stay together, so that what is held out is as new as the sound allows."""
        groups = [clip.group for clip in self.clips]
        known = {group: i for i, group in enumerate(dict.fromkeys(groups))}
        if None not in known and len(known) >= FOLDS:
            lengths = np.zeros(len(known))
            numbers = np.array([known[group] for group in groups])
            np.add.at(lengths, numbers, [clip.samples.size for clip in self.clips])
            middles = np.cumsum(lengths) - lengths / 2
            return np.minimum((middles / lengths.sum() * FOLDS).astype(int), FOLDS - 1)[numbers]
        return np.arange(len(self.clips)) * FOLDS // len(self.clips)

    def part(self, chosen: np.ndarray) -> MachineSound:
        """Some of its clips, bool [n]."""
        clips = tuple(clip for clip, taken in zip(self.clips, chosen, strict=True) if taken)
        return MachineSound(self.name, clips, self.rate_hz)


def cut(
    samples: np.ndarray, rate_hz: int, name: str, group: str | None = None, domain: str | None = None
) -> list[SoundClip]:
    """A recording as clips of about `CLIP_S` each."""
    parts = np.array_split(samples, max(1, round(samples.size / rate_hz / CLIP_S)))
    starts = np.concatenate(([0], np.cumsum([part.size for part in parts])))
    return [
        SoundClip(part, name, float(start) / rate_hz, group, domain) for part, start in zip(parts, starts, strict=False)
    ]


def machine_folders(folder: Path) -> dict[str, Path]:
    """Machines below a folder, by name: its subfolders where those alone hold sound; {"": folder} for loose recordings.

    Raises MissingInputError (no such folder, no sound in it), UsageError (loose recordings beside subfolders of sound).
    """
    if not folder.is_dir():
        raise MissingInputError(f"{folder}: no such directory")
    clips = find_clips([folder])
    loose = [clip for clip in clips if clip.parent == folder]
    below = sorted({clip.relative_to(folder).parts[0] for clip in clips if clip.parent != folder})
    if loose and below:
        raise UsageError(
            f"{folder}: recordings lie beside subfolders of recordings ({loose[0].name}, {below[0]}/)",
            remedy="give each machine a subfolder, or one machine a folder without any",
        )
    return {name: folder / name for name in below} if below else {"": folder}


def read_machine(
    name: str,
    folder: Path,
    rate_hz: int,
    *,
    channel: int | None = None,
    on_note: Callable[[str], None] = lambda note: None,
    at_clip: Callable[[int, int], None] = lambda done, total: None,
) -> MachineSound:
    """All recordings below a folder as one machine's normal sound; channel: see `edge_asd.audio.files.read_clip`.

    Raises MissingInputError, and DataError for sound nobody should learn from: silent, clipped, not a number, recorded
    at less than the model's rate, or less than two minutes of it.
    """
    import soundfile

    paths = find_clips([folder])
    clips: list[SoundClip] = []
    for done, path in enumerate(paths, 1):
        samples = read_clip(path, rate_hz, channel, on_note=on_note)
        own_hz = soundfile.info(str(path)).samplerate
        if own_hz < rate_hz:
            raise DataError(
                f"{path}: sampled at {own_hz:g} Hz, the model hears {rate_hz} Hz: its upper bands would be empty",
                remedy=f"record at {rate_hz} Hz or more, or leave it out",
            )
        for problem in sound_problems(samples, rate_hz, str(path)):
            raise DataError(f"{path}: {problem}", remedy="check the microphone and its gain, leave this recording out")
        clips += cut(samples, rate_hz, str(path))
        at_clip(done, len(paths))
    sound = MachineSound(name, tuple(clips), rate_hz)
    check_length([sound])
    return sound


def check_length(machines: Sequence[MachineSound]) -> None:
    """Raise DataError for a machine with too little sound to be held against itself."""
    for machine in machines:
        if machine.seconds < LEAST_S - 0.05:
            raise DataError(
                f"{machine.name or 'the machine'}: {machine.seconds:.0f} s of normal sound, at least {LEAST_S:.0f} s "
                "are needed to adapt to it and to tell whether that helped",
                remedy="record more; ten minutes are good",
            )

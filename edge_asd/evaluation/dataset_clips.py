"""The clips below a dataset's folder, each with what its name says."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from edge_asd.audio.files import CLIP_SUFFIXES
from edge_asd.clips import LOG_MEL_SUFFIX
from edge_asd.errors import DataError, MissingInputError
from edge_asd.evaluation.clip_names import EXTRA_FOLDERS, MIMII_NAMES, NamedClip, parse_clip

SUFFIXES = (*CLIP_SUFFIXES, LOG_MEL_SUFFIX)
_EXAMPLE = "fan/train/section_00_source_train_normal_0000.wav"


def find_named_clips(root: Path) -> tuple[list[NamedClip], list[str]]:
    """Clips that are named as in some layout, in order, and in words what was left out.

    Raises MissingInputError (no folder, no clip in it), DataError (none is named so, two of one name).
    """
    if not root.is_dir():
        raise MissingInputError(f"{root}: no such directory")
    clips: list[NamedClip] = []
    n_extra, n_odd, first_odd = 0, 0, ""
    # Absolute, so that the folder may also be a machine's own, or one inside it.
    for file in _clip_files(root.absolute()):
        if set(PurePath(file).relative_to(root.absolute()).parts[:-1]) & set(EXTRA_FOLDERS):
            n_extra += 1
        elif (clip := parse_clip(file)) is not None:
            clips.append(clip)
        else:
            n_odd, first_odd = n_odd + 1, first_odd or file
    if not clips and not n_odd and not n_extra:
        raise MissingInputError(f"{root}: no clip in this directory", remedy=f"looked for {' '.join(SUFFIXES)}")
    if not clips:
        raise DataError(
            f"{root}: no clip is named as in any DCASE Task 2 year or MIMII",
            remedy=f"expected names like {_EXAMPLE}, or list the clips in a CASES.csv",
        )
    _refuse_doubles(clips)
    notes = []
    if n_odd:
        notes.append(f"{n_odd} clips with other names are left out, the first is {first_odd}")
    if n_extra:
        notes.append(f"{n_extra} supplemental clips are neither enrolment nor test: left out")
    return clips, notes


def _clip_files(root: Path) -> Iterator[str]:
    """Paths of clips, folder by folder in order. Links to folders are followed (data sets lie on other disks), each
    folder is entered once. Hidden files are none: macOS puts a `._a.wav` that is no sound beside every `a.wav`."""
    entered = set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:
            below.clear()
            continue
        entered.add(real)
        below.sort()
        for name in sorted(files):
            if not name.startswith(".") and PurePath(name).suffix.lower() in SUFFIXES:
                yield str(PurePath(folder) / name)


def _refuse_doubles(clips: Iterable[NamedClip]) -> None:
    seen: dict[tuple[str, str, str, str, str], NamedClip] = {}
    for clip in clips:
        if clip.naming == MIMII_NAMES:
            continue  # every folder counts from 0, and `dataset.machine_names` keeps folders apart
        other = seen.setdefault((clip.machine, clip.section, clip.role, clip.label, clip.stem), clip)
        if other is not clip:
            raise DataError(f"two clips of one name: {other.file} and {clip.file}", remedy="name one dataset")

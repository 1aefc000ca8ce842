"""Recordings to learn from, sorted into classes, and what is to be said of them before hours are spent."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge_asd.audio.files import MIN_CLIP_S, find_clips
from edge_asd.contract import ModelContract
from edge_asd.errors import DataError, MissingInputError
from edge_asd.evaluation.clip_names import EXTRA_FOLDERS, MIMII_NAMES, NamedClip, parse_clip
from edge_asd.evaluation.dataset import dataset_year, machine_names, mimii_split
from edge_asd.evaluation.official import year_name
from export.recipe import RecordingSettings, section_names


@dataclass(frozen=True)
class ClipClasses:
    """Recordings sorted into classes.

    paths: of the clips, in order of their names; labels: int64 [clips], indices into `names`.
    sections: int64 [clips], indices into `section_names` ("fan/00"), and target: bool [clips], whether of the target
        domain, where the clips' names say so; otherwise empty.
    """

    paths: tuple[Path, ...]
    labels: np.ndarray
    names: tuple[str, ...]
    sections: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    section_names: tuple[str, ...] = ()
    target: np.ndarray = field(default_factory=lambda: np.empty(0, bool))

    @property
    def key(self) -> str:
        """Names these recordings: changes with their names, sizes and classes."""
        listed = [
            f"{self.names[label]}/{path.name}:{path.stat().st_size}"
            for path, label in zip(self.paths, self.labels, strict=True)
        ]
        return hashlib.sha256("\n".join(listed).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class MachineClips:
    """Normal training clips of a data set, (machine, section) -> clips in order; year: of the challenge."""

    year: int
    by_section: dict[tuple[str, str], list[NamedClip]]

    @property
    def machines(self) -> tuple[str, ...]:
        """Names of the machines, in order."""
        return tuple(dict.fromkeys(machine for machine, _ in self.by_section))


def machine_clips(folder: Path, settings: RecordingSettings | None = None) -> MachineClips | None:
    """The training clips below a folder whose clips are named as in DCASE Task 2 or MIMII; None where they are not.

    Of MIMII, which brings no split, the clips that `edge-asd evaluate` tests on are no training clips.

    Raises MissingInputError (no folder, no clip), DataError (a year the settings are not for, a section that has test
    clips but none to train on, none at all).
    """
    settings = settings or RecordingSettings()
    if not folder.is_dir():
        raise MissingInputError(f"{folder}: no such directory")
    root = folder.absolute()
    paths = [p for p in find_clips([root]) if not set(p.relative_to(root).parts[:-1]) & set(EXTRA_FOLDERS)]
    clips = [clip for path in paths if (clip := parse_clip(str(path))) is not None]
    if 2 * len(clips) < len(paths) or not clips:  # a few stray files do not unmake a dataset
        return None
    if settings.years:
        year, reason = dataset_year(root, clips, None)
        if year not in settings.years:
            wanted = ", ".join(map(str, settings.years))
            raise DataError(
                f"{folder}: {year_name(year)} ({reason}), but this recipe is made for {wanted}",
                remedy="give the data of that year, or a recipe that extends this one with recordings.years: []",
            )
    else:
        year = 0
    names = machine_names(root, clips)
    sections: dict[tuple[str, str], list[NamedClip]] = {}
    for clip in clips:
        sections.setdefault((names[clip.place], clip.section), []).append(clip)
    training: dict[tuple[str, str], list[NamedClip]] = {}
    for (machine, section), members in sorted(sections.items()):
        if members[0].naming == MIMII_NAMES:
            members = mimii_split(f"{machine}_{section}", members)
        own = [clip for clip in members if clip.role == "train" and clip.label == "normal"]
        if not own:
            raise DataError(
                f"{folder}: {machine} section {section} has no normal training clips",
                remedy="add them (their folders or names say train and normal), or take the section away",
            )
        training[machine, section] = own
    return MachineClips(year, training)


def clip_classes(folder: Path, settings: RecordingSettings | None = None) -> ClipClasses:
    """Sort the clips below a folder into classes.

    Clips named as in DCASE Task 2 or MIMII: the normal training clips that the settings choose, a class for each set of
    `settings.classes`. Others: each subfolder that holds clips is a class.

    Raises as `machine_clips`, and DataError (a machine, section or domain that is not there; one class only: nothing to
    tell apart).
    """
    settings = settings or RecordingSettings()
    found = machine_clips(folder, settings)
    if found is not None:
        return classes_of(found, settings, folder)
    paths = find_clips([folder])
    return _sorted(folder, paths, [str(path.parent.relative_to(folder)) for path in paths])


def classes_of(found: MachineClips, settings: RecordingSettings, folder: Path) -> ClipClasses:
    """The clips of a data set that the settings choose; see `clip_classes`."""
    for machine in settings.machines:
        if machine not in found.machines:
            raise DataError(f"{folder}: no machine {machine!r}", remedy=f"there are {', '.join(found.machines)}")
    wanted = section_names(settings.sections)
    chosen: list[tuple[str, NamedClip]] = []
    for (machine, section), clips in found.by_section.items():
        if (not settings.machines or machine in settings.machines) and (wanted is None or section in wanted):
            domains = settings.domains or ("source", "target")
            chosen += [(machine, clip) for clip in clips if (clip.domain or "source") in domains]
    there = {(machine, clip.section) for machine, clip in chosen}
    for machine in settings.machines or found.machines:
        for section in wanted or sorted({s for m, s in found.by_section if m == machine}):
            if (machine, section) not in there:
                of = f" of the {' and '.join(settings.domains)} domain" if settings.domains else ""
                raise DataError(
                    f"{folder}: {machine} section {section} has no training clips{of}",
                    remedy=f"the recipe trains on sections {settings.sections!r}: see recordings.sections",
                )
    chosen.sort(key=lambda pair: Path(pair[1].file))
    classes = [_class(machine, clip, settings.classes) for machine, clip in chosen]
    paths = [Path(folder) / Path(clip.file).relative_to(folder.absolute()) for _, clip in chosen]
    return _sorted(folder, paths, classes, chosen, alone=settings.models == "machine")


def _class(machine: str, clip: NamedClip, parts: tuple[str, ...]) -> str:
    said = {"machine": machine, "section": clip.section, "domain": clip.domain}
    attributes = [f"{name}_{value}" for name, value in sorted(clip.attributes)] if "attributes" in parts else []
    return "/".join(part for part in (*(said[name] for name in said if name in parts), *attributes) if part)


def _sorted(
    folder: Path,
    paths: list[Path],
    classes: list[str],
    named: list[tuple[str, NamedClip]] | None = None,
    alone: bool = False,
) -> ClipClasses:
    names = tuple(sorted(set(classes)))
    if len(names) < 2 and not alone:
        raise DataError(
            f"{folder}: all {len(paths)} clips belong to one class, nothing to learn from",
            remedy="put the sounds of each machine (or state) into a subfolder of its own",
        )
    index = {name: i for i, name in enumerate(names)}
    labels = np.array([index[name] for name in classes], np.int64)
    if named is None:
        return ClipClasses(tuple(paths), labels, names)
    of_clip = [f"{machine}/{clip.section}" for machine, clip in named]
    sections = tuple(sorted(set(of_clip)))
    place = {name: i for i, name in enumerate(sections)}
    return ClipClasses(
        tuple(paths),
        labels,
        names,
        np.array([place[name] for name in of_clip], np.int64),
        sections,
        np.array([clip.domain == "target" for _, clip in named], bool),
    )


def remarks(paths: Sequence[str | Path], contract: ModelContract) -> list[str]:
    """In words what the headers of the clips say that differs from what the model hears.

    Raises DataError for a file that is no sound, or too short a one.
    """
    import soundfile

    rates, short, lengths_s = Counter[int](), 0, Counter[float]()
    for path in paths:
        try:
            info = soundfile.info(str(path))
        except (soundfile.LibsndfileError, OSError) as error:
            raise DataError(f"{path}: not a readable clip", remedy="copy it again or take it away") from error
        if info.frames < MIN_CLIP_S * info.samplerate:
            raise DataError(
                f"{path}: holds {info.frames} samples at {info.samplerate} Hz",
                remedy=f"at least {MIN_CLIP_S} s of sound is needed: copy it again or take it away",
            )
        rates[info.samplerate] += 1
        lengths_s[round(info.frames / info.samplerate, 1)] += 1
        frames = info.frames * contract.features.rate_hz / info.samplerate / contract.features.hop_samples + 1
        short += int(frames) < contract.window_frames
    said, wanted = [], contract.features.rate_hz
    for rate, count in sorted(rates.items()):
        if rate != wanted:
            empty = f"; nothing of them lies above {rate // 2} Hz" if rate < wanted else ""
            said.append(f"{count} of {len(paths)} clips have {rate} Hz: resampled to {wanted} Hz{empty}")
    if short:
        how = "played back and forth" if contract.short_clip == "reflect" else "played over again"
        said.append(f"{short} of {len(paths)} clips are shorter than a window of {contract.window_s:.2f} s: {how}")
    usual_s, n_usual = lengths_s.most_common(1)[0]
    if n_usual < len(paths):
        said.append(
            f"{len(paths) - n_usual} of {len(paths)} clips are not {usual_s:g} s long "
            f"({min(lengths_s):g} to {max(lengths_s):g} s): windows are cut from all of them alike"
        )
    return said

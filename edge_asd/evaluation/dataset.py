"""A dataset's folder as cases: any DCASE Task 2 year, or MIMII as it was published."""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_asd.audio.files import CLIP_SUFFIXES
from edge_asd.clips import LOG_MEL_SUFFIX
from edge_asd.errors import DataError, MissingInputError
from edge_asd.evaluation.cases import Case, CaseClip
from edge_asd.evaluation.clip_names import (
    EXTRA_FOLDERS,
    ID_NAMES,
    MIMII_NAMES,
    NO_ATTRIBUTE,
    SECTION_NAMES,
    NamedClip,
    parse_clip,
)
from edge_asd.evaluation.official import MIMII, YEARS, year_name

NAMING_YEARS = {ID_NAMES: (2020,), MIMII_NAMES: (MIMII,), SECTION_NAMES: tuple(year for year in YEARS if year > 2020)}
_YEAR_IN_NAME = re.compile(r"(?<!\d)20(2[0-6])(?!\d)|dcase[-_ ]?(2[0-6])(?!\d)", re.IGNORECASE)
_EXAMPLE = "fan/train/section_00_source_train_normal_0000.wav"


@dataclass(frozen=True)
class Dataset:
    """Cases of one folder.

    year: of the challenge, or `official.MIMII`.
    reason: how the year was told, in words.
    notes: what was left out and why, in words.
    """

    year: int
    reason: str
    cases: tuple[Case, ...]
    notes: tuple[str, ...]


def read_dataset(root: Path, year: int | None = None, *, enrolled: bool = False) -> Dataset:
    """Find the clips below a folder and sort them into one case a machine and section, named `<machine>_<section>`.

    year: the user's word; None: guessed from the folders' and clips' names. enrolled: bundles stand ready, so that
    sections need no training clips.

    MIMII brings no split: as in its paper (arXiv 1909.09347), the test takes all abnormal clips of a machine and as
    many normal ones, drawn once and for all by the machine's name, at most half of them.

    Raises MissingInputError (no folder, no clip), DataError (names of no known year or of several, two clips of one
    name, an anomaly among the training clips, a section without them).
    """
    root = Path(root)
    clips, notes = _named_clips(root)
    year, reason = _year(root, clips, year)
    _refuse_doubles(clips)
    machines = _machine_names(root, clips)
    tables = {place: _attribute_tables(place) for place in machines}
    sections: dict[tuple[str, str], list[NamedClip]] = {}
    for clip in clips:
        sections.setdefault((machines[clip.place], clip.section), []).append(clip)
    cases, unlabelled, train_only = [], 0, []
    for (machine, section), members in sorted(sections.items()):
        name = f"{machine}_{section}"
        if year == MIMII:
            members = _mimii_split(name, members)
        train = [clip for clip in members if clip.role == "train"]
        test = [clip for clip in members if clip.role == "test" and clip.label]
        unlabelled += sum(clip.role == "test" and not clip.label for clip in members)
        wrong = next((clip for clip in train if clip.label != "normal"), None)
        if wrong is not None:
            raise DataError(f"{wrong.path}: an anomaly among the enrolment", remedy="enrol normal sound only")
        if not test:
            train_only.append(name)
            continue
        if not train and not enrolled:
            raise DataError(
                f"{root}: {machine} section {section} has no training clips",
                remedy="add them, or score with bundles (--bundle)",
            )
        cases.append(Case(name, _as_clips(train, tables), _as_clips(test, tables), machine, section))
    if unlabelled:
        notes.append(f"{unlabelled} test clips have no label in their names (an evaluation set): left out")
    if train_only:
        notes.append(f"{len(train_only)} sections have no labelled test clips ({', '.join(train_only[:3])}): left out")
    if not cases:
        raise DataError(f"{root}: no labelled test clip", remedy="their names say normal or anomaly")
    return Dataset(year, reason, tuple(cases), tuple(notes))


def _named_clips(root: Path) -> tuple[list[NamedClip], list[str]]:
    if not root.is_dir():
        raise MissingInputError(f"{root}: no such directory")
    suffixes = (*CLIP_SUFFIXES, LOG_MEL_SUFFIX)
    # Hidden files are none: macOS puts a `._a.wav` that is no sound beside every `a.wav` on a card.
    paths = [path for path in sorted(root.rglob("[!.]*")) if path.suffix.lower() in suffixes and path.is_file()]
    if not paths:
        raise MissingInputError(f"{root}: no clip in this directory", remedy=f"looked for {' '.join(suffixes)}")
    extra = [path for path in paths if any(part in EXTRA_FOLDERS for part in path.relative_to(root).parts[:-1])]
    kept = set(paths) - set(extra)
    # Absolute, so that DATASET_DIR may also be the machine's own folder, or one inside it.
    parsed = [parse_clip(path.absolute()) for path in paths if path in kept]
    clips = [clip for clip in parsed if clip is not None]
    if not clips:
        raise DataError(
            f"{root}: no clip is named as in any DCASE Task 2 year or MIMII",
            remedy=f"expected names like {_EXAMPLE}, or list the clips in a CASES.csv",
        )
    notes = []
    if len(clips) < len(parsed):
        odd = next(path for path, clip in zip((p for p in paths if p in kept), parsed, strict=True) if clip is None)
        notes.append(f"{len(parsed) - len(clips)} clips with other names are left out, the first is {odd}")
    if extra:
        notes.append(f"{len(extra)} supplemental clips are neither enrolment nor test: left out")
    return clips, notes


def _year(root: Path, clips: list[NamedClip], given: int | None) -> tuple[int, str]:
    namings = sorted({clip.naming for clip in clips})
    if len(namings) > 1:
        first = [next(clip.path for clip in clips if clip.naming == naming) for naming in namings[:2]]
        raise DataError(
            f"{root}: names of more than one year: {first[0].name} and {first[1].name}", remedy="name one dataset"
        )
    possible = NAMING_YEARS[namings[0]]
    if given is not None:
        if given not in possible:
            raise DataError(
                f"{root}: not named as in {year_name(given)}: {clips[0].path.name}",
                remedy=f"this is {year_name(possible[0])}{' or later' if len(possible) > 1 else ''}",
            )
        return given, "as given"
    if len(possible) == 1:
        return possible[0], "by the names of the clips"
    for folder in (root.absolute(), *root.absolute().parents):
        if found := _YEAR_IN_NAME.search(folder.name):
            named = 2000 + int(found[1] or found[2])
            if named in possible:
                return named, f"by the folder's name, {folder.name}"
    return _year_by_habits(root, clips)


def _year_by_habits(root: Path, clips: list[NamedClip]) -> tuple[int, str]:
    """What only one year did; all years from 2022 on are scored alike."""
    folders = {clip.path.parent.name for clip in clips}
    if folders & {"source_test", "target_test"}:
        return 2021, "by its folders source_test and target_test"
    if _channels(clips[0].path) == 2:
        return 2026, "by its two channels"
    if any(clip.place.joinpath(extra).is_dir() for clip in clips for extra in EXTRA_FOLDERS):
        return 2025, "by its supplemental clips"
    if any(clip.path.stem.endswith(NO_ATTRIBUTE) for clip in clips):
        return 2024, "by its clips without attributes"
    per_machine: dict[Path, set[str]] = {}
    for clip in clips:
        per_machine.setdefault(clip.place, set()).add(clip.section)
    if any(len(sections) > 1 for sections in per_machine.values()):
        return 2022, "by its several sections a machine"
    return 2023, "by its one section a machine (2023 and later are scored alike)"


def _channels(path: Path) -> int:
    if path.suffix.lower() == LOG_MEL_SUFFIX:
        return 1
    import soundfile

    try:
        return int(soundfile.info(str(path)).channels)
    except (soundfile.LibsndfileError, OSError):
        return 1  # it will be named when it is read


def _refuse_doubles(clips: Iterable[NamedClip]) -> None:
    seen: dict[tuple[str, str, str, str, str], Path] = {}
    for clip in clips:
        if clip.naming == MIMII_NAMES:
            continue  # every folder counts from 0, and `_machine_names` keeps folders apart
        key = (clip.place.name, clip.section, clip.role, clip.label, clip.path.stem)
        other = seen.setdefault(key, clip.path)
        if other != clip.path:
            raise DataError(f"two clips of one name: {other} and {clip.path}", remedy="name one dataset, or remove one")


def _machine_names(root: Path, clips: Iterable[NamedClip]) -> dict[Path, str]:
    """Folder of each machine -> its name. MIMII holds the same machine at several noise levels: their folders tell."""
    places = dict.fromkeys(clip.place for clip in clips)
    mimii = {clip.place for clip in clips if clip.naming == MIMII_NAMES}
    names = {}
    for place in places:
        twins = [other for other in mimii if other.name == place.name]
        if place in mimii and len(twins) > 1:
            names[place] = "-".join(place.relative_to(root.absolute()).parts)
        else:
            names[place] = place.name
    return names


def _mimii_split(name: str, members: list[NamedClip]) -> list[NamedClip]:
    normal = [clip for clip in members if clip.label == "normal"]
    n_test = min(len(members) - len(normal), len(normal) // 2)
    drawn = np.random.default_rng(zlib.crc32(name.encode())).permutation(len(normal))[:n_test]
    tested = {normal[i].path for i in drawn}

    def with_role(clip: NamedClip) -> NamedClip:
        role = "test" if clip.label == "anomaly" or clip.path in tested else "train"
        return NamedClip(clip.path, clip.naming, clip.place, clip.section, role, clip.label, clip.domain)

    return [with_role(clip) for clip in members]


def _as_clips(
    clips: Iterable[NamedClip], tables: Mapping[Path, Mapping[str, Mapping[str, str]]]
) -> tuple[CaseClip, ...]:
    return tuple(
        CaseClip(
            str(clip.path),
            clip.label == "anomaly",
            clip.domain,
            attributes=tuple(tables[clip.place].get(clip.path.stem, clip.attributes).items()),
        )
        for clip in clips
    )


def _attribute_tables(place: Path) -> dict[str, dict[str, str]]:
    """`attributes_00.csv` and the like of a machine: clip's name -> attributes. They win over what names say.

    Columns: file_name, then d1p, d1v, d2p, d2v, ... (parameter, value).
    """
    attributes: dict[str, dict[str, str]] = {}
    for table in sorted(place.glob("attributes_*.csv")):
        try:
            with table.open(newline="", encoding="utf-8-sig") as file:
                for row in csv.DictReader(file):
                    pairs = [(row.get(f"d{i}p"), row.get(f"d{i}v")) for i in range(1, len(row) // 2 + 1)]
                    known = {str(p): str(v) for p, v in pairs if p and p != NO_ATTRIBUTE and v is not None}
                    attributes[Path(str(row.get("file_name"))).stem] = known
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{table}: not a readable CSV file: {error}") from error
    return attributes

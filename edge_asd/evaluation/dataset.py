"""A dataset's folder as cases: any DCASE Task 2 year, or MIMII as it was published."""

from __future__ import annotations

import csv
import dataclasses
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from edge_asd.clips import LOG_MEL_SUFFIX
from edge_asd.errors import DataError
from edge_asd.evaluation.cases import Case, CaseClip
from edge_asd.evaluation.clip_names import (
    EXTRA_FOLDERS,
    ID_NAMES,
    MIMII_NAMES,
    NO_ATTRIBUTE,
    SECTION_NAMES,
    NamedClip,
)
from edge_asd.evaluation.dataset_clips import find_named_clips
from edge_asd.evaluation.official import MIMII, YEARS, year_name

NAMING_YEARS = {ID_NAMES: (2020,), MIMII_NAMES: (MIMII,), SECTION_NAMES: tuple(year for year in YEARS if year > 2020)}
_YEAR_IN_NAME = re.compile(r"(?<!\d)20(2[0-6])(?!\d)|dcase[-_ ]?(2[0-6])(?!\d)", re.IGNORECASE)
Attributes = tuple[tuple[str, str], ...]


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
    clips, notes = find_named_clips(root)
    year, reason = dataset_year(root, clips, year)
    machines = machine_names(root, clips)
    tables = {place: _attribute_tables(place) for place in machines}
    sections: dict[tuple[str, str], list[NamedClip]] = {}
    for clip in clips:
        sections.setdefault((machines[clip.place], clip.section), []).append(clip)
    cases, unlabelled, train_only = [], 0, []
    for (machine, section), members in sorted(sections.items()):
        name = f"{machine}_{section}"
        if year == MIMII:
            members = mimii_split(name, members)
        train = [clip for clip in members if clip.role == "train"]
        test = [clip for clip in members if clip.role == "test" and clip.label]
        unlabelled += sum(clip.role == "test" and not clip.label for clip in members)
        wrong = next((clip for clip in train if clip.label != "normal"), None)
        if wrong is not None:
            raise DataError(f"{wrong.file}: an anomaly among the enrolment", remedy="enrol normal sound only")
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


def dataset_year(root: Path, clips: list[NamedClip], given: int | None) -> tuple[int, str]:
    """The year of a data set and how it was told, in words. given: the user's word. Raises DataError for names of
    several years, or of another one than was given."""
    namings = sorted({clip.naming for clip in clips})
    if len(namings) > 1:
        first = [next(clip.file for clip in clips if clip.naming == naming) for naming in namings[:2]]
        raise DataError(
            f"{root}: names of more than one year: {PurePath(first[0]).name} and {PurePath(first[1]).name}",
            remedy="name one dataset",
        )
    possible = NAMING_YEARS[namings[0]]
    if given is not None:
        if given not in possible:
            raise DataError(
                f"{root}: not named as in {year_name(given)}: {PurePath(clips[0].file).name}",
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
    folders = {PurePath(clip.file).parent.name for clip in clips}
    if folders & {"source_test", "target_test"}:
        return 2021, "by its folders source_test and target_test"
    if _channels(Path(clips[0].file)) == 2:
        return 2026, "by its two channels"
    if any(Path(place, extra).is_dir() for place in {clip.place for clip in clips} for extra in EXTRA_FOLDERS):
        return 2025, "by its supplemental clips"
    if any(clip.stem.endswith(NO_ATTRIBUTE) for clip in clips):
        return 2024, "by its clips without attributes"
    per_machine: dict[str, set[str]] = {}
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


def machine_names(root: Path, clips: Iterable[NamedClip]) -> dict[str, str]:
    """Folder of each machine -> its name. MIMII holds the same machine at several noise levels: their folders tell."""
    namings = {clip.place: clip.naming for clip in clips}
    names = {place: PurePath(place).name for place in namings}
    for place, naming in namings.items():
        twins = [other for other in namings if PurePath(other).name == PurePath(place).name]
        if naming == MIMII_NAMES and len(twins) > 1:
            names[place] = "-".join(PurePath(place).relative_to(root.absolute()).parts)
    return names


def mimii_split(name: str, members: list[NamedClip]) -> list[NamedClip]:
    """The clips of one machine and section, "train" and "test" as `read_dataset` says; name: `<machine>_<section>`."""
    normal = [clip for clip in members if clip.label == "normal"]
    n_test = min(len(members) - len(normal), len(normal) // 2)
    drawn = np.random.default_rng(zlib.crc32(name.encode())).permutation(len(normal))[:n_test]
    tested = {normal[i].file for i in drawn}
    return [
        dataclasses.replace(clip, role="test" if clip.label == "anomaly" or clip.file in tested else "train")
        for clip in members
    ]


def _as_clips(clips: Iterable[NamedClip], tables: Mapping[str, Mapping[str, Attributes]]) -> tuple[CaseClip, ...]:
    return tuple(
        CaseClip(
            clip.file,
            clip.label == "anomaly",
            clip.domain,
            attributes=tables[clip.place].get(clip.stem, clip.attributes),
        )
        for clip in clips
    )


def _attribute_tables(place: str) -> dict[str, Attributes]:
    """`attributes_00.csv` and the like of a machine: clip's name -> attributes. They win over what names say.

    Columns: file_name, then d1p, d1v, d2p, d2v, ... (parameter, value).
    """
    attributes: dict[str, Attributes] = {}
    for table in sorted(Path(place).glob("attributes_*.csv")):
        try:
            with table.open(newline="", encoding="utf-8-sig") as file:
                for row in csv.DictReader(file):
                    pairs = [(row.get(f"d{i}p"), row.get(f"d{i}v")) for i in range(1, len(row) // 2 + 1)]
                    known = tuple((str(p), str(v)) for p, v in pairs if p and p != NO_ATTRIBUTE and v is not None)
                    attributes[Path(str(row.get("file_name"))).stem] = known
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{table}: not a readable CSV file: {error}") from error
    return attributes

"""What the file names of DCASE Task 2 and MIMII say of a clip: machine, section, role, label, domain, attributes.

Layouts, one a line, <machine> standing for fan, ToyCar, ...:

    2020    <machine>/train/normal_id_00_00000000.wav, <machine>/test/{normal,anomaly}_id_00_00000000.wav
    2021    <machine>/{train,source_test,target_test}/section_00_source_train_normal_0000_<attributes>.wav
    2022-   <machine>/{train,test}/section_00_source_train_normal_0000_<attributes>.wav
    MIMII   <machine>/id_00/{normal,abnormal}/00000000.wav
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ID_NAMES, SECTION_NAMES, MIMII_NAMES = "id", "section", "mimii"
"""The three ways to name clips: of 2020, of 2021 and later, of MIMII as it was published."""
SPLIT_FOLDERS = ("train", "test", "source_train", "target_train", "source_test", "target_test")
EXTRA_FOLDERS = ("supplemental",)
"""Sound beside the task (2025: clean machine or noise alone): neither enrolment nor test."""
NO_ATTRIBUTE = "noAttribute"

_ID = re.compile(r"(?:(?P<label>normal|anomaly)_)?id_(?P<section>\d+)_\d+")
_SECTION = re.compile(
    r"section_(?P<section>\d+)(?:_(?P<domain>source|target))?(?:_(?P<role>train|test))?"
    r"(?:_(?P<label>normal|anomaly))?_\d+(?:_(?P<attributes>.+))?"
)
_MIMII_SECTION = re.compile(r"id_(\d+)")
_MIMII_LABELS = {"normal": "normal", "abnormal": "anomaly"}


@dataclass(frozen=True)
class NamedClip:
    """What a clip's name and folders say.

    naming: one of the three ways above.
    place: the folder of the machine; its name is the machine.
    section: "00", "01", ... (in 2020 and MIMII the machine's id).
    role: "train" or "test"; "" where the name leaves it open (MIMII).
    label: "normal", "anomaly", or "" where the organisers gave none (evaluation sets).
    domain: "source", "target" or "".
    """

    path: Path
    naming: str
    place: Path
    section: str
    role: str
    label: str
    domain: str
    attributes: Mapping[str, str] = field(default_factory=dict)


def parse_clip(path: Path) -> NamedClip | None:
    """Read a clip's name and folders; None where they follow none of the layouts."""
    split = next((folder for folder in path.parents if folder.name in SPLIT_FOLDERS), None)
    if split is None:
        return _parse_mimii(path)
    folder_domain, _, folder_role = split.name.rpartition("_")
    if found := _ID.fullmatch(path.stem):
        label = found["label"] or ("normal" if folder_role == "train" else "")
        return NamedClip(path, ID_NAMES, split.parent, found["section"], folder_role, label, "")
    if found := _SECTION.fullmatch(path.stem):
        role = found["role"] or folder_role
        return NamedClip(
            path,
            SECTION_NAMES,
            split.parent,
            found["section"],
            role,
            found["label"] or ("normal" if role == "train" else ""),
            found["domain"] or folder_domain,
            parse_attributes(found["attributes"] or ""),
        )
    return None


def _parse_mimii(path: Path) -> NamedClip | None:
    label_folder, section_folder = path.parent, path.parent.parent
    section = _MIMII_SECTION.fullmatch(section_folder.name)
    if section is None or label_folder.name not in _MIMII_LABELS:
        return None
    label = _MIMII_LABELS[label_folder.name]
    return NamedClip(path, MIMII_NAMES, section_folder.parent, section[1], "", label, "")


def parse_attributes(text: str) -> dict[str, str]:
    """`vel_9_loc_A` -> {"vel": "9", "loc": "A"}; a word too many is an attribute without a value."""
    words = text.split("_") if text and text != NO_ATTRIBUTE else []
    return {words[i]: words[i + 1] if i + 1 < len(words) else "" for i in range(0, len(words), 2)}

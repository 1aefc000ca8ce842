"""What the file names of DCASE Task 2 and MIMII say of a clip: machine, section, role, label, domain, attributes.

Layouts, one a line, <machine> standing for fan, ToyCar, ...:

    2020    <machine>/train/normal_id_00_00000000.wav, <machine>/test/{normal,anomaly}_id_00_00000000.wav
    2021    <machine>/{train,source_test,target_test}/section_00_source_train_normal_0000_<attributes>.wav
    2022-   <machine>/{train,test}/section_00_source_train_normal_0000_<attributes>.wav
    MIMII   <machine>/id_00/{normal,abnormal}/00000000.wav
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import PurePath

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


@dataclass(frozen=True, slots=True)
class NamedClip:
    """What a clip's name and folders say; slim, since a dataset has tens of thousands.

    file: its path. naming: one of the three ways above.
    place: path of the machine's folder, whose name is the machine.
    section: "00", "01", ... (in 2020 and MIMII the machine's id).
    role: "train" or "test"; "" where the name leaves it open (MIMII).
    label: "normal", "anomaly", or "" where the organisers gave none (evaluation sets).
    domain: "source", "target" or "".
    """

    file: str
    naming: str
    place: str
    section: str
    role: str
    label: str
    domain: str
    attributes: tuple[tuple[str, str], ...] = ()

    @property
    def stem(self) -> str:
        """The file's name without its suffix."""
        return PurePath(self.file).stem

    @property
    def machine(self) -> str:
        """The name of the machine's folder."""
        return PurePath(self.place).name


def parse_clip(file: str) -> NamedClip | None:
    """Read a clip's name and folders; None where they follow none of the layouts."""
    path = PurePath(file)
    split = next((folder for folder in path.parents if folder.name in SPLIT_FOLDERS), None)
    if split is None:
        return _parse_mimii(path)
    folder_domain, _, folder_role = split.name.rpartition("_")
    if found := _ID.fullmatch(path.stem):
        label = found["label"] or ("normal" if folder_role == "train" else "")
        return NamedClip(file, ID_NAMES, sys.intern(str(split.parent)), found["section"], folder_role, label, "")
    if found := _SECTION.fullmatch(path.stem):
        role = found["role"] or folder_role
        return NamedClip(
            file,
            SECTION_NAMES,
            sys.intern(str(split.parent)),
            found["section"],
            role,
            found["label"] or ("normal" if role == "train" else ""),
            found["domain"] or folder_domain,
            parse_attributes(found["attributes"] or ""),
        )
    return None


def _parse_mimii(path: PurePath) -> NamedClip | None:
    label_folder, section_folder = path.parent, path.parent.parent
    section = _MIMII_SECTION.fullmatch(section_folder.name)
    if section is None or label_folder.name not in _MIMII_LABELS:
        return None
    label = _MIMII_LABELS[label_folder.name]
    return NamedClip(str(path), MIMII_NAMES, sys.intern(str(section_folder.parent)), section[1], "", label, "")


def parse_attributes(text: str) -> tuple[tuple[str, str], ...]:
    """`vel_9_loc_A` -> (("vel", "9"), ("loc", "A")); a word too many is an attribute without a value."""
    words = text.split("_") if text and text != NO_ATTRIBUTE else []
    pairs = (words[i : i + 2] for i in range(0, len(words), 2))
    return tuple((pair[0], pair[1] if len(pair) > 1 else "") for pair in pairs)

"""Cases: which clips enrol a machine and which test it. A CASES.csv lists them, or a dataset's folders do."""

from __future__ import annotations

import csv
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from edge_asd.errors import DataError, MissingInputError, StorageError

COLUMNS = ("case", "role", "path", "label", "domain", "group")
ONSET_COLUMN = "onset_s"
"""Optional column: where in an anomalous clip the fault sets in, seconds from the clip's start."""
ROLES = ("enrol", "test")
LABELS = ("normal", "anomaly")


@dataclass(frozen=True, slots=True)
class CaseClip:
    """One clip; slim, since a dataset has tens of thousands.

    file: its path.
    anomalous: its label.
    domain: "source", "target" or whatever conditions the data names; "" where none is told.
    group: the recording or session it belongs to; "" where none is told.
    onset_s: where its fault sets in, seconds from its start; None: not labelled.
    attributes: names and values of the machine's state (speed, load, ...), as its name or the dataset's tables tell.
    """

    file: str
    anomalous: bool
    domain: str = ""
    group: str = ""
    onset_s: float | None = None
    attributes: tuple[tuple[str, str], ...] = ()

    @property
    def path(self) -> Path:
        """Where it lies."""
        return Path(self.file)


@dataclass(frozen=True)
class Case:
    """One machine: normal clips to enrol, labelled clips to test.

    name: unique in a run. machine, section: of a dataset; "" for a case of a CSV file.
    """

    name: str
    enrol: tuple[CaseClip, ...]
    test: tuple[CaseClip, ...]
    machine: str = ""
    section: str = ""


def read_cases(path: Path, *, enrolled: bool = False) -> list[Case]:
    """Read a CASES.csv with the columns case, role, path, label, domain, group and perhaps onset_s.

    Paths are relative to the file. enrolled: bundles stand ready, so cases need no enrol rows.

    Raises MissingInputError (the file, or a clip it names), StorageError, DataError (a column, role, label or onset
    that cannot be, an anomaly among the enrolment, a test clip of a case named twice, a case without enrolment or test
    clips), always naming the line.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file")
    enrol: dict[str, list[CaseClip]] = {}
    test: dict[str, list[CaseClip]] = {}
    tested: dict[tuple[str, str], tuple[int, CaseClip]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or [])]
            if missing:
                raise DataError(f"{path}: column {missing[0]!r} is missing", remedy=f"it needs {','.join(COLUMNS)}")
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if any(row[column] is None for column in COLUMNS):
                    raise DataError(f"{where}: fewer fields than columns")
                if not row["case"]:
                    raise DataError(f"{where}: the case has no name")
                clip = _clip(row, path.parent, where)
                if row["role"] == "test":
                    named = row["case"], os.path.normpath(clip.file)
                    if named in tested:
                        _refuse_second(clip, where, *tested[named])
                    tested[named] = reader.line_num, clip
                enrol.setdefault(row["case"], [])
                test.setdefault(row["case"], [])
                (enrol if row["role"] == "enrol" else test)[row["case"]].append(clip)
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable CSV file: {error}") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not enrol:
        raise DataError(f"{path}: no cases in it")
    for name in enrol:
        if not test[name] or not (enrol[name] or enrolled):
            raise DataError(f"{path}: case {name!r} has no {'enrol' if test[name] else 'test'} rows")
    return [Case(name, tuple(enrol[name]), tuple(test[name])) for name in enrol]


def _clip(row: dict[str, str], base: Path, where: str) -> CaseClip:
    if row["role"] not in ROLES:
        raise DataError(f"{where}: role {row['role']!r}, expected {' or '.join(ROLES)}")
    if row["label"] not in LABELS:
        raise DataError(f"{where}: label {row['label']!r}, expected {' or '.join(LABELS)}")
    if row["role"] == "enrol" and row["label"] == "anomaly":
        raise DataError(f"{where}: an anomaly among the enrolment", remedy="enrol normal sound only")
    clip_path = base / row["path"]
    if not clip_path.is_file():
        raise MissingInputError(f"{where}: {clip_path} does not exist")
    onset_s = _onset_s(row.get(ONSET_COLUMN), where)
    domain, group = sys.intern(row["domain"]), sys.intern(row["group"])
    return CaseClip(str(clip_path), row["label"] == "anomaly", domain, group, onset_s)


def _refuse_second(clip: CaseClip, where: str, line: int, before: CaseClip) -> NoReturn:
    """Raise DataError for a test clip that the case had on another line: it would count twice, or against itself."""
    if before.anomalous != clip.anomalous:
        raise DataError(f"{where}: {clip.file} was labelled otherwise on line {line}", remedy="keep the right one")
    raise DataError(f"{where}: {clip.file} is tested on line {line} already", remedy="leave one of them out")


def _onset_s(text: str | None, where: str) -> float | None:
    if not text:
        return None
    try:
        onset_s = float(text)
    except ValueError:
        onset_s = -1.0
    if not 0.0 <= onset_s < math.inf:
        raise DataError(f"{where}: {ONSET_COLUMN} {text!r}, expected seconds from the clip's start, 0 or more")
    return onset_s

"""CASES.csv: which clips enrol a machine and which test it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from edge_asd.errors import DataError, MissingInputError

COLUMNS = ("case", "role", "path", "label", "domain", "group")
ROLES = ("enrol", "test")
LABELS = ("normal", "anomaly")


@dataclass(frozen=True)
class CaseClip:
    """One row: a clip, whether it is anomalous, its domain, and the recording or session it belongs to."""

    path: Path
    anomalous: bool
    domain: str
    group: str


@dataclass(frozen=True)
class Case:
    """One machine: normal clips to enrol, labelled clips to test."""

    name: str
    enrol: tuple[CaseClip, ...]
    test: tuple[CaseClip, ...]


def read_cases(path: Path) -> list[Case]:
    """Read a CASES.csv with the columns case, role, path, label, domain, group; paths are relative to the file.

    Raises MissingInputError (the file, or a clip it names), DataError (a column, role or label that is not known,
    an anomaly among the enrolment, a case without enrolment or test clips), always naming the line.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file")
    enrol: dict[str, list[CaseClip]] = {}
    test: dict[str, list[CaseClip]] = {}
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
                clip = _clip(row, path.parent, where)
                enrol.setdefault(row["case"], [])
                test.setdefault(row["case"], [])
                (enrol if row["role"] == "enrol" else test)[row["case"]].append(clip)
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable CSV file: {error}") from error
    if not enrol:
        raise DataError(f"{path}: no cases in it")
    for name in enrol:
        if not enrol[name] or not test[name]:
            raise DataError(f"{path}: case {name!r} has no {'test' if enrol[name] else 'enrol'} rows")
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
    return CaseClip(clip_path, row["label"] == "anomaly", row["domain"], row["group"])

"""The reports' tables, and any evaluation's, as figures of machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edge_asd.evaluation.official import combine

TABLES = Path(__file__).parent / "published.yaml"
OFFICIAL = "official"
EDGE = "-edge"
"""Ends the name of a system's recipe at a size for a board."""


@dataclass(frozen=True)
class Figures:
    """A system's figures on one data set, as shares of 1.

    year: of the challenge whose rule makes the official score.
    columns: names of the figures. rows: machine -> one value a column, None where nobody can give it.
    official: machine -> the year's mean over the machine. all: the same over every machine.
    """

    year: int
    columns: tuple[str, ...]
    rows: dict[str, tuple[float | None, ...]]
    official: dict[str, float | None]
    all: float | None


@dataclass(frozen=True)
class Published:
    """One system of a report.

    system: its name here. recipe: that makes it. weights: names of published weights it starts from.
    report, table: where the figures stand. note: what is to be said of them. figures: of the development set.
    """

    system: str
    recipe: str
    weights: tuple[str, ...]
    report: str
    table: str
    note: str
    figures: Figures


def published_systems() -> list[Published]:
    """All tables, in the order of the file."""
    return [
        Published(
            entry["system"],
            entry["recipe"],
            tuple(entry.get("weights", ())),
            entry["report"],
            entry["table"],
            entry.get("note", ""),
            _figures(entry),
        )
        for entry in yaml.safe_load(TABLES.read_text("utf-8"))
    ]


def _figures(entry: Mapping[str, Any]) -> Figures:
    """A table of percentages, by machine or by machine and section."""
    rows = [
        (row.partition("/")[0], {name: value / 100.0 for name, value in zip(entry["columns"], values, strict=True)})
        for row, values in entry["rows"].items()
    ]
    if entry["columns"] == [OFFICIAL]:
        own = {machine: values[OFFICIAL] for machine, values in rows}
        return Figures(entry["year"], (), dict.fromkeys(own, ()), dict(own), entry["all"] / 100.0)
    return figures_of(entry["year"], rows)


def figures_of(year: int, rows: Sequence[tuple[str, Mapping[str, float | None]]]) -> Figures:
    """Figures from the components of machines' sections (or of whole machines), each column the year's mean over a
    machine's sections. rows: (machine, component -> value), as `edge_asd.evaluation.official.components` names them."""
    columns = tuple(dict.fromkeys(name for _, values in rows for name in values))
    of_machine: dict[str, list[Mapping[str, float | None]]] = {}
    for machine, values in rows:
        of_machine.setdefault(machine, []).append(values)
    return Figures(
        year,
        columns,
        {m: tuple(combine(year, [own.get(c) for own in sections]) for c in columns)
         for m, sections in of_machine.items()},
        {m: combine(year, [value for own in sections for value in own.values()]) for m, sections in of_machine.items()},
        combine(year, [value for _, values in rows for value in values.values()]),
    )  # fmt: skip


def measured_figures(evaluation: Mapping[str, Any]) -> Figures:
    """Of the document that `edge-asd evaluate DATASET_DIR --json` printed (see `edge_asd.evaluation.document`)."""
    dataset = evaluation["datasets"][0]
    tested = [case for case in evaluation["cases"] if case["components"]]
    return figures_of(dataset["year"], [(case["machine"], case["components"]) for case in tested])

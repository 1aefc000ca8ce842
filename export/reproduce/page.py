"""The page that shows each report's table beside our own figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asd.errors import DataError
from edge_asd.evaluation.official import year_name
from export.reproduce.published import Figures, Published, measured_figures

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
"""What stands between them on a page is replaced, what stands around them is left alone."""
COLUMN_WORDS = {
    "auc": "AUC",
    "pauc": "pAUC",
    "auc_source": "AUC source",
    "auc_target": "AUC target",
    "pauc_source": "pAUC source",
    "pauc_target": "pAUC target",
}
SECTIONS = {2021: 21, 2022: 21, 2024: 7}
LEAST_TEST_CLIPS = 150
"""A development set has seven machines of three sections (from 2023 on of one) with about 200 test clips each."""


@dataclass(frozen=True)
class Outcome:
    """What became of one system here.

    published: the report's system. recipe: that was used for it.
    evaluation: the document of `edge-asd evaluate --json`; None where there is none, and `reason` says why.
    about: of data and training, in words.
    """

    published: Published
    recipe: str
    evaluation: dict[str, Any] | None
    reason: str = ""
    about: str = ""


def data_words(evaluation: dict[str, Any]) -> str:
    """What was measured on, counted."""
    cases, dataset = evaluation["cases"], evaluation["datasets"][0]
    tested = [case for case in cases if case["components"]]
    machines = {case["machine"] for case in tested}
    normal, anomalous = (sum(case[f"n_{kind}"] for case in tested) for kind in ("normal", "anomaly"))
    return (
        f"{dataset['name']} layout, {len(machines)} machines, {len(tested)} sections with test clips: "
        f"{normal} normal and {anomalous} anomalous"
    )


def is_the_reports_data(evaluation: dict[str, Any], year: int) -> bool:
    """Whether what was scored has the year and the size of the report's development set."""
    n_clips = [case["n_normal"] + case["n_anomaly"] for case in evaluation["cases"] if case["components"]]
    whole = sum(n >= LEAST_TEST_CLIPS for n in n_clips)
    return evaluation["datasets"][0]["year"] == year and len(n_clips) == whole == SECTIONS[year]


def figures_part(outcomes: Sequence[Outcome], title: str) -> str:
    """What stands between the marks: an overview, then a table for each system."""
    lines = [f"Measured on: {title}", ""]
    lines += ["| system | published | ours | our recipe | figures of the same data |", "|---|---|---|---|---|"]
    for outcome in outcomes:
        theirs, evaluation = outcome.published.figures, outcome.evaluation
        where = f"{_percent(theirs.all)} ({year_name(theirs.year)} dev)"
        if evaluation is None:
            lines.append(f"| {outcome.published.system} | {where} | - | `{outcome.recipe}` | {outcome.reason} |")
            continue
        same = "yes" if is_the_reports_data(evaluation, theirs.year) else "**no: not comparable**"
        ours = _percent(measured_figures(evaluation).all)
        lines.append(f"| {outcome.published.system} | {where} | {ours} | `{outcome.recipe}` | {same} |")
    for outcome in outcomes:
        lines += ["", *_system_part(outcome)]
    return "\n".join(lines)


def _system_part(outcome: Outcome) -> list[str]:
    published, evaluation = outcome.published, outcome.evaluation
    source = f"Published: {published.report}, {published.table}"
    lines = [f"### {published.system}", "", f"{source}; {published.note}." if published.note else f"{source}."]
    if evaluation is None:
        lines.append(f"Ours: none, {outcome.reason}.")
        return [*lines, "", *_table(published.figures, None)]
    lines.append(f"Ours: recipe `{outcome.recipe}`; {data_words(evaluation)}. {outcome.about}".rstrip())
    if not is_the_reports_data(evaluation, published.figures.year):
        lines.append(
            f"This is not the report's data ({year_name(published.figures.year)} development set): the two halves of "
            "the table cannot be compared."
        )
    return [*lines, "", *_table(published.figures, measured_figures(evaluation))]


def _table(theirs: Figures, ours: Figures | None) -> list[str]:
    head, *rows = table_rows(theirs, ours)
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def table_rows(theirs: Figures, ours: Figures | None) -> list[list[str]]:
    """A report's figures and ours, in percent: the head, a row a machine, and one of all."""
    halves = [("published", theirs)] + ([("ours", ours)] if ours is not None else [])
    head = [
        f"{who} {COLUMN_WORDS.get(column, column)}" for who, half in halves for column in (*half.columns, "official")
    ]
    rows = [["machine", *head]]
    for machine in dict.fromkeys(machine for _, half in halves for machine in half.rows):
        cells = [machine]
        for _, half in halves:
            values = half.rows.get(machine, (None,) * len(half.columns))
            cells += [_percent(value) for value in (*values, half.official.get(machine))]
        rows.append(cells)
    rows.append(["all", *(cell for _, half in halves for cell in (*[""] * len(half.columns), _percent(half.all)))])
    return rows


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100.0 * value:.2f}"


def filled(path: Path, part: str) -> str:
    """The page at `path` with `part` between its marks; a page of its own where there is none yet.

    Raises DataError for a page without the marks.
    """
    if not path.is_file():
        return f"# The published systems, and ours\n\n{BEGIN}\n{part}\n{END}\n"
    page = path.read_text("utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise DataError(f"{path}: has no lines {BEGIN!r} and {END!r}", remedy="name another file with --page")
    return f"{before}{BEGIN}\n{part}\n{END}{after}"

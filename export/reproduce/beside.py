"""A report's own table beside an evaluation, for a person at a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_asd.evaluation.official import year_name
from export.reproduce.page import is_the_reports_data, table_rows
from export.reproduce.published import EDGE, measured_figures, published_systems


def beside(recipes: Sequence[str], evaluation: dict[str, Any]) -> str:
    """The table of the system a recipe reproduces, and what `edge-asd evaluate --json` would print, in percent.

    recipes: name of the one that trained what was evaluated, then of those it extends; where none is of the systems (or
    their -edge forms), or no section had a figure, there is nothing to say: "".
    """
    systems = {published.recipe: published for published in published_systems()}
    known = next((name for name in recipes if name.removesuffix(EDGE) in systems), None)
    found = None if known is None else systems[known.removesuffix(EDGE)]
    if found is None or not evaluation["datasets"] or not any(case["components"] for case in evaluation["cases"]):
        return ""
    year = found.figures.year
    by = f"{known}," if recipes[0] == known else f"{recipes[0]}, which extends {known},"
    lines = [f"{found.system}, as published ({found.report}, {found.table}) and as measured here by {by} in %:"]
    (corner, *head), *rows = table_rows(found.figures, measured_figures(evaluation))
    whose, columns = zip(*(words.split(" ", 1) for words in head), strict=True)
    above = [who if who not in whose[:i] else "" for i, who in enumerate(whose)]
    table = [["", *above], [corner, *columns], *rows]
    first, *others = (max(map(len, column)) for column in zip(*table, strict=True))
    for name, *cells in table:
        shown = (f"{cell:>{width}}" for cell, width in zip(cells, others, strict=True))
        lines.append(f"{name:{first}}  {'  '.join(shown)}".rstrip())
    if not is_the_reports_data(evaluation, year):
        lines.append(f"This is not the report's data ({year_name(year)} development set): the two cannot be compared.")
    return "\n".join(lines)

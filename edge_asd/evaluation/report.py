"""`evaluate --report`: a folder with one HTML page, its pictures beside it, and the scores as CSV. Opens offline."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd.atomic import write_atomically
from edge_asd.errors import StorageError, UsageError
from edge_asd.evaluation.cases import Case, CaseClip
from edge_asd.evaluation.figures import Outcome
from edge_asd.evaluation.plots import case_png, trace_png
from edge_asd.evaluation.trace import LiveTrace

PAGE, SCORES = "index.html", "scores.csv"
WORST = 3
"""Mistakes of each kind shown for a case."""
SCORE_COLUMNS = ("case", "path", "label", "domain", "group", "score", "threshold")
_STYLE = """\
body { font: 15px/1.45 sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .2rem .7rem; text-align: right }
th:first-child, td:first-child { text-align: left } thead { border-bottom: 2px solid #888 }
tbody tr:nth-child(even) { background: #f4f4f4 } img { max-width: 100% } small { color: #666 }"""


@dataclass(frozen=True)
class Heard:
    """A clip heard again for the report.

    trace: its live scores. picture: its spectrogram with a title, as PNG.
    """

    trace: LiveTrace
    picture: bytes


class Report:
    """Takes cases one by one, writes their pictures at once and the page at the end: memory holds no picture.

    directory: made where it is missing; files of an earlier report in it are replaced.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = Path(directory)
        if self._directory.exists() and not self._directory.is_dir():
            raise UsageError(f"{self._directory} is a file", remedy="give --report a directory")
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self._directory}: cannot be made: {error.strerror or error}") from error
        self._sections: list[str] = []
        self._n_pictures = 0
        self._put(SCORES, _csv_line(SCORE_COLUMNS).encode())

    @property
    def page(self) -> Path:
        """The page to open."""
        return self._directory / PAGE

    def add_case(
        self, case: Case, tested: Outcome, threshold: float, hear: Callable[[CaseClip, str], Heard | None]
    ) -> None:
        """Draw one case.

        tested: an element for every test clip of the case. hear: a clip and a title for its spectrogram -> the clip
        heard again, or None where it cannot be.
        """
        self._add_scores(case, tested, threshold)
        parts = [f"<h2>{html.escape(case.name)}</h2>"]
        kept = tested.scored()
        if len(kept.scores):
            title = f"{case.name}: scores, ROC and DET"
            parts.append(self._picture(case_png(kept.scores, kept.anomalous, threshold, title), title))
        mistakes = worst_mistakes(tested, threshold)
        parts.append("<h3>Worst mistakes</h3>" if mistakes else "<p>No mistake at this threshold.</p>")
        for index in mistakes:
            clip, score = case.test[index], tested.scores[index]
            what = "missed" if clip.anomalous else "false alarm"
            words = f"{what}: {clip.path.name}, score {score:.4g}, threshold {threshold:.4g}"
            parts.append(f"<p>{html.escape(words)}<br><small>{html.escape(clip.file)}</small></p>")
            heard = hear(clip, words)
            if heard is not None:
                parts.append(self._picture(trace_png(heard.trace, f"{what}: live score", clip.onset_s), "score"))
                parts.append(self._picture(heard.picture, "spectrogram"))
        self._sections.append("\n".join(parts))

    def finish(self, document: Mapping[str, Any], settings: Sequence[str]) -> Path:
        """Write the page over the document `--json` prints; settings: lines that say how it was measured."""
        head = [f"<p>{html.escape(line)}</p>" for line in settings]
        body = [*head, case_table(document), *dataset_tables(document), failed_list(document), *self._sections]
        page = (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>edge-asd evaluate</title>\n'
            f"<style>\n{_STYLE}\n</style></head><body>\n<h1>edge-asd evaluate</h1>\n"
            + "\n".join(part for part in body if part)
            + "\n</body></html>\n"
        )
        self._put(PAGE, page.encode())
        return self.page

    def _picture(self, png: bytes, caption: str) -> str:
        self._n_pictures += 1
        name = f"{self._n_pictures:04d}.png"
        self._put(name, png)
        return f'<p><img src="{name}" alt="{html.escape(caption, quote=True)}"></p>'

    def _add_scores(self, case: Case, tested: Outcome, threshold: float) -> None:
        with (self._directory / SCORES).open("a", encoding="utf-8", errors="backslashreplace", newline="") as file:
            for clip, score in zip(case.test, tested.scores, strict=True):
                label = "anomaly" if clip.anomalous else "normal"
                written = "" if np.isnan(score) else f"{score:.6g}"
                row = (case.name, clip.file, label, clip.domain, clip.group, written, f"{threshold:.6g}")
                file.write(_csv_line(row))

    def _put(self, name: str, data: bytes) -> None:
        write_atomically(self._directory / name, data)


def worst_mistakes(tested: Outcome, threshold: float, n: int = WORST) -> list[int]:
    """Indices of the n highest normal clips above the threshold, then of the n lowest anomalies that are not."""
    order = np.argsort(tested.scores, kind="stable")  # NaN, the failed clips, come last and are no mistakes
    alarms = [i for i in order[::-1] if not tested.anomalous[i] and tested.scores[i] > threshold]
    missed = [i for i in order if tested.anomalous[i] and tested.scores[i] <= threshold]
    return [int(i) for i in (*alarms[:n], *missed[:n])]


def case_table(document: Mapping[str, Any]) -> str:
    """The table of all cases."""
    heads = ("case", "AUC", "pAUC", "far", "alarms a day", "found", "s to detection", "enrol", "normal", "anomaly")
    rows = [
        (
            case["case"],
            _with_interval(case["auc"], case["auc_ci"]),
            _with_interval(case["pauc"], case["pauc_ci"]),
            _with_interval(case["far"], case["far_ci"]),
            _number(case["false_alarms_per_day"], 1),
            _number(case["found"], 3),
            _number(case["time_to_detection_s"], 1),
            *(str(case[key]) for key in ("n_enrol", "n_normal", "n_anomaly")),
        )
        for case in document["cases"]
    ]
    mean = document["mean"]
    rows.append(("mean of the cases with an AUC", *(_number(mean[key], 4) for key in ("auc", "pauc", "far"))))
    return _table(heads, rows)


def dataset_tables(document: Mapping[str, Any]) -> list[str]:
    """A heading with the official score and a table by machine and domain for every dataset."""
    parts = []
    for dataset in document["datasets"]:
        score = _with_interval(dataset["official"], dataset["official_ci"])
        parts.append(f"<h2>{html.escape(dataset['name'])}: official score {score}</h2>")
        parts.append(f"<p><small>{html.escape(dataset['path'])}</small></p>")
        rows = []
        for machine, figures in dataset["machines"].items():
            rows.append((machine, *(_number(figures[key], 4) for key in ("auc", "pauc", "far", "official"))))
            for domain, own in figures["domains"].items():
                rows.append((f"— {domain}", *(_number(own[key], 4) for key in ("auc", "pauc", "far"))))
        parts.append(_table(("machine", "AUC", "pAUC", "far", "official"), rows))
    return parts


def failed_list(document: Mapping[str, Any]) -> str:
    """The clips that could not be used, or nothing."""
    failed = document["failed"]
    if not failed:
        return ""
    lines = "".join(f"<li>{html.escape(str(item['case']))}: {html.escape(item['error'])}</li>" for item in failed)
    return f"<h2>Clips that could not be used</h2><ul>{lines}</ul>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    return _number(value, 4) if interval is None else f"{_number(value, 4)} ({interval[0]:.3f}-{interval[1]:.3f})"


def _csv_line(row: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(row)
    return buffer.getvalue()

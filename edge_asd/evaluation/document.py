"""The document `edge-asd evaluate --json` prints. Keys are only ever added; a figure nobody can give is null.

    {"cases": [{"case", "machine", "section", "auc", "auc_ci", "auc_se", "pauc", "pauc_ci", "far", "far_ci",
                "false_alarms_per_day", "false_alarms_per_day_ci", "normal_hours", "found", "time_to_detection_s",
                "n_enrol", "n_normal", "n_anomaly", "n_failed", "n_groups", "threshold", "threshold_method", "bundle",
                "domains": {"source": {"auc", "pauc", "far", "n_normal", "n_anomaly"}, ...},
                "components": {"auc_source", "auc_target", "pauc"}, "warnings": [...]}, ...],
     "mean": {"auc", "pauc", "far"},
     "datasets": [{"path", "year", "name", "reason", "official", "official_ci",
                   "machines": {"fan": {"auc", "pauc", "far", "official", "n_sections",
                                        "domains": {"source": {"auc", "pauc", "far"}, ...}}, ...}}, ...],
     "failed": [{"case", "path", "role", "error"}, ...],
     "settings": {...}}

`cases` holds every case in the order of the files, also those without a figure. auc and pauc are null only where no
anomaly or no normal clip was scored; `mean` is over the cases with an AUC. What each figure means is told at
`edge_asd.evaluation.figures.Figures`. Intervals, [low, high], are of 95 %.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asd.evaluation.evaluate import CaseResult, FailedClip
from edge_asd.evaluation.figures import mean_of, official_interval
from edge_asd.evaluation.official import combine, year_name

MEANS = ("auc", "pauc", "far")


@dataclass(frozen=True)
class DatasetRun:
    """A dataset that was measured: where it lies, its year and how that was told, and its cases' names."""

    path: Path
    year: int
    reason: str
    cases: tuple[str, ...]

    @property
    def name(self) -> str:
        """The year as people say it."""
        return year_name(self.year)


def document(
    results: Sequence[CaseResult],
    datasets: Sequence[DatasetRun],
    failed: Sequence[FailedClip],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Plain JSON types."""
    by_name = {result.case.name: result for result in results}
    return {
        "cases": [case_entry(result) for result in results],
        "mean": means(results),
        "datasets": [_dataset_entry(run, [by_name[name] for name in run.cases]) for run in datasets],
        "failed": [dataclasses.asdict(clip) for clip in failed],
        "settings": dict(settings),
    }


def means(results: Sequence[CaseResult]) -> dict[str, float | None]:
    """Means over the cases with an AUC."""
    known = [result.figures for result in results if result.figures.auc is not None]
    return {key: mean_of([getattr(figures, key) for figures in known]) for key in MEANS}


def case_entry(result: CaseResult) -> dict[str, Any]:
    """One element of `cases`."""
    return {
        "case": result.case.name,
        "machine": result.case.machine or None,
        "section": result.case.section or None,
        **dataclasses.asdict(result.figures),
        "n_enrol": result.n_enrol,
        "n_normal": result.n_normal,
        "n_anomaly": result.n_anomaly,
        "n_failed": result.n_failed,
        "n_groups": result.n_groups,
        "threshold": result.threshold,
        "threshold_method": result.threshold_method,
        "bundle": None if result.bundle is None else str(result.bundle),
        "warnings": list(result.warnings),
    }


def _dataset_entry(run: DatasetRun, results: Sequence[CaseResult]) -> dict[str, Any]:
    machines: dict[str, list[CaseResult]] = {}
    for result in results:
        machines.setdefault(result.case.machine, []).append(result)
    return {
        "path": str(run.path),
        "year": run.year,
        "name": run.name,
        "reason": run.reason,
        "official": _official(run.year, results),
        "official_ci": official_interval(run.year, [result.drawn for result in results]),
        "machines": {machine: _machine_entry(run.year, sections) for machine, sections in machines.items()},
    }


def _machine_entry(year: int, sections: Sequence[CaseResult]) -> dict[str, Any]:
    """Means over the sections, and the official score of this machine alone."""
    names = sorted({name for result in sections for name in result.figures.domains})
    own = {name: [r.figures.domains[name] for r in sections if name in r.figures.domains] for name in names}
    return {
        **{key: mean_of([getattr(result.figures, key) for result in sections]) for key in MEANS},
        "official": _official(year, sections),
        "n_sections": len(sections),
        "domains": {
            name: {key: mean_of([getattr(domain, key) for domain in domains]) for key in MEANS}
            for name, domains in own.items()
        },
    }


def _official(year: int, results: Sequence[CaseResult]) -> float | None:
    return combine(year, [value for result in results for value in result.figures.components.values()])

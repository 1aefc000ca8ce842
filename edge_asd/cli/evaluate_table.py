"""The table `edge-asd evaluate` prints for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_asd.evaluation.evaluate import CaseResult

HEAD = (
    f"{'case':32} {'AUC':>7} {'95 %':>13} {'pAUC':>7} {'far':>7} {'alarms/day':>10} {'found':>6} {'after s':>7}"
    "  enrol normal anomaly failed"
)


def case_row(result: CaseResult) -> str:
    """One case under HEAD."""
    figures = result.figures
    interval = "-" if figures.auc_ci is None else f"{figures.auc_ci[0]:.3f}-{figures.auc_ci[1]:.3f}"
    return (
        f"{result.case.name:32} {_figure(figures.auc)} {interval:>13} {_figure(figures.pauc)} {_figure(figures.far)} "
        f"{_figure(figures.false_alarms_per_day, 10, 1)} {_figure(figures.found, 6, 2)} "
        f"{_figure(figures.time_to_detection_s, 7, 1)}  "
        f"{result.n_enrol:5} {result.n_normal:6} {result.n_anomaly:7} {result.n_failed:6}"
    )


def summary(made: dict[str, Any]) -> str:
    """The means, and the datasets by machine and domain, of the document `--json` prints."""
    mean = made["mean"]
    lines = [f"{'mean':32} {_figure(mean['auc'])} {'':13} {_figure(mean['pauc'])} {_figure(mean['far'])}"]
    for dataset in made["datasets"]:
        interval = dataset["official_ci"]
        words = "" if interval is None else f" (95 %: {interval[0]:.4f}-{interval[1]:.4f})"
        lines += [
            "",
            f"{dataset['name']}, {dataset['path']}: official score {_figure(dataset['official']).strip()}{words}",
            f"{'machine':24} {'domain':8} {'AUC':>7} {'pAUC':>7} {'far':>7} {'official':>8}",
        ]
        for machine, own in dataset["machines"].items():
            lines.append(f"{machine:24} {'':8} {_three(own)} {_figure(own['official'], 8)}")
            lines += [f"{'':24} {domain:8} {_three(figures)}" for domain, figures in own["domains"].items()]
    return "\n".join(lines)


def _three(figures: dict[str, float | None]) -> str:
    return " ".join(_figure(figures[key]) for key in ("auc", "pauc", "far"))


def _figure(value: float | None, width: int = 7, digits: int = 4) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}.{digits}f}"

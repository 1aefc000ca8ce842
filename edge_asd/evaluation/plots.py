"""Pictures of an evaluation, by matplotlib (the extra `report`), as PNG bytes."""

from __future__ import annotations

import io
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_asd.errors import UnavailableError
from edge_asd.evaluation.metrics import PAUC_MAX_FPR, roc_curve

if TYPE_CHECKING:
    from edge_asd.evaluation.trace import LiveTrace

NORMAL_COLOUR, ANOMALY_COLOUR, THRESHOLD_COLOUR = "#2b6ca3", "#c8442d", "#444444"
BINS = 30
DOTS_PER_INCH = 90
_DET_RATES = (0.01, 0.05, 0.2, 0.5, 0.8, 0.95)


def check_plots() -> None:
    """Raise UnavailableError where matplotlib is missing: before hours of scoring, not after."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise UnavailableError(
            "a report needs matplotlib, which is not installed", remedy="run: pip install 'edge-asd[report]'"
        ) from error


def case_png(scores: np.ndarray, anomalous: np.ndarray, threshold: float, title: str) -> bytes:
    """Histogram of the scores and, where both kinds were tested, ROC and DET curve beside it.

    scores: float64 [n] >= 0, higher = more anomalous; anomalous: bool [n]; threshold: of the scores.
    """
    both = bool(anomalous.any() and not anomalous.all())
    figure = _figure(15.0 if both else 5.0, 4.2)
    panels = figure.subplots(1, 3 if both else 1, squeeze=False)[0]
    _histogram(panels[0], scores, anomalous, threshold)
    if both:
        fpr, tpr = roc_curve(scores[~anomalous], scores[anomalous])
        here = (
            float(np.mean(scores[~anomalous] > threshold)),
            float(np.mean(scores[anomalous] > threshold)),
        )
        _roc(panels[1], fpr, tpr, here)
        _det(panels[2], fpr, tpr, here)
    figure.suptitle(_plain(title))
    return _png(figure)


def trace_png(trace: LiveTrace, title: str, onset_s: float | None) -> bytes:
    """The live score of one clip over time beside its threshold."""
    figure = _figure(8.0, 2.6)
    axes = figure.subplots()
    axes.plot(trace.times_s, trace.scores, marker=".", color=ANOMALY_COLOUR, label="live score")
    axes.plot(trace.times_s, trace.thresholds, "--", color=THRESHOLD_COLOUR, label="threshold")
    if onset_s is not None:
        axes.axvline(onset_s, color=NORMAL_COLOUR, linewidth=1.0, label="onset")
    axes.set(xlabel="s", ylabel="score", title=_plain(title))
    axes.set_ylim(bottom=0.0)
    axes.legend(loc="best", fontsize="small")
    return _png(figure)


def _histogram(axes: Any, scores: np.ndarray, anomalous: np.ndarray, threshold: float) -> None:
    low, high = min(float(scores.min()), threshold), max(float(scores.max()), threshold)
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    for chosen, colour, label in ((~anomalous, NORMAL_COLOUR, "normal"), (anomalous, ANOMALY_COLOUR, "anomaly")):
        if chosen.any():
            axes.hist(scores[chosen], edges, alpha=0.6, color=colour, label=f"{label} ({int(chosen.sum())})")
    axes.axvline(threshold, linestyle="--", color=THRESHOLD_COLOUR, label="threshold")
    axes.set(xlabel="score (higher = more anomalous)", ylabel="clips", title="Scores")
    axes.legend(loc="best", fontsize="small")


def _roc(axes: Any, fpr: np.ndarray, tpr: np.ndarray, here: tuple[float, float]) -> None:
    axes.axvspan(0.0, PAUC_MAX_FPR, color="#eeeeee", label=f"pAUC, to {PAUC_MAX_FPR:g}")
    axes.plot(fpr, tpr, color=ANOMALY_COLOUR)
    axes.plot((0, 1), (0, 1), ":", color="#999999")
    axes.plot(*here, "o", color=THRESHOLD_COLOUR, label="at the threshold")
    axes.set(xlabel="false alarms (share of normal)", ylabel="found (share of anomalies)", title="ROC")
    axes.legend(loc="lower right", fontsize="small")


def _det(axes: Any, fpr: np.ndarray, tpr: np.ndarray, here: tuple[float, float]) -> None:
    """False alarms against misses on axes of normal deviates: Martin et al., "The DET curve in assessment of detection
    task performance" (Eurospeech 1997)."""
    ticks = [_deviate(rate) for rate in _DET_RATES]
    axes.plot([_deviate(x) for x in fpr], [_deviate(1.0 - y) for y in tpr], color=ANOMALY_COLOUR)
    axes.plot(_deviate(here[0]), _deviate(1.0 - here[1]), "o", color=THRESHOLD_COLOUR)
    axes.set_xticks(ticks, [f"{rate:.0%}" for rate in _DET_RATES])
    axes.set_yticks(ticks, [f"{rate:.0%}" for rate in _DET_RATES])
    axes.set(xlabel="false alarms", ylabel="missed", title="DET")
    axes.grid(visible=True, linewidth=0.4)


def _deviate(rate: float) -> float:
    return NormalDist().inv_cdf(min(max(float(rate), 0.002), 0.998))


def _plain(text: str) -> str:
    """Names are no formulas: matplotlib reads $...$ as one."""
    return text.replace("$", r"\$")


def _figure(width_in: float, height_in: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), dpi=DOTS_PER_INCH, layout="tight")


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()

"""Enrol and score every case with the very pipeline a device runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edge_asd.clips import read_frames
from edge_asd.enrolment import Enrolment
from edge_asd.evaluation.cases import Case
from edge_asd.evaluation.metrics import partial_auc, roc_auc
from edge_asd.inference import Embedder
from edge_asd.model_package import Model


@dataclass(frozen=True)
class CaseResult:
    """One case measured.

    auc, pauc: over the test clips; None where the case has no anomalies or no normal test clips.
    far: share of normal test clips above the bundle's own clip threshold; None without normal test clips.
    threshold, threshold_method: of the bundle, fitted on the enrolment alone.
    warnings: what the enrolment complained of.
    """

    case: str
    auc: float | None
    pauc: float | None
    far: float | None
    n_enrol: int
    n_normal: int
    n_anomaly: int
    threshold: float
    threshold_method: str
    warnings: tuple[str, ...]


def evaluate_case(
    case: Case,
    model: Model,
    embedder: Embedder,
    *,
    percentile: float,
    clip_done: Callable[[], None] = lambda: None,
) -> CaseResult:
    """Enrol on the case's enrol clips, score its test clips.

    clip_done: called after each clip.
    """
    enrolment = Enrolment(model, embedder, clip_percentile=percentile, strict=False)
    for clip in case.enrol:
        enrolment.add_clip(clip.path, group=clip.group or None)
        clip_done()
    bundle = enrolment.finish({"case": case.name})
    scores = np.empty(len(case.test))
    for i, clip in enumerate(case.test):
        scores[i] = bundle.score_clip(read_frames(clip.path, model.contract.features)).score
        clip_done()
    anomalous = np.array([clip.anomalous for clip in case.test])
    normal_scores, anomaly_scores = scores[~anomalous], scores[anomalous]
    both = bool(len(normal_scores) and len(anomaly_scores))
    threshold = bundle.clip_calibration.threshold
    return CaseResult(
        case=case.name,
        auc=roc_auc(normal_scores, anomaly_scores) if both else None,
        pauc=partial_auc(normal_scores, anomaly_scores) if both else None,
        far=float(np.mean(normal_scores > threshold)) if len(normal_scores) else None,
        n_enrol=len(case.enrol),
        n_normal=len(normal_scores),
        n_anomaly=len(anomaly_scores),
        threshold=threshold,
        threshold_method=bundle.clip_calibration.method,
        warnings=tuple(bundle.enrolment["warnings"]),
    )


def summarise(results: Sequence[CaseResult]) -> dict[str, Any]:
    """The document `--json` prints: every case, and means over the cases that have the figure."""
    return {
        "cases": [asdict(result) for result in results],
        "mean": {key: _mean([getattr(result, key) for result in results]) for key in ("auc", "pauc", "far")},
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None

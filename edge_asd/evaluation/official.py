"""The official score of each DCASE Task 2 year.

2020: arithmetic mean of AUC and pAUC over machines and ids (MIMII, which brought no score of its own, is read so too).
2021: harmonic mean over machines, sections and domains of the domain's AUC and pAUC.
2022 and later: harmonic mean over machines and sections of the source AUC, the target AUC (that domain's normal clips
against the anomalies of both) and the pAUC of all clips together.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np

from edge_asd.evaluation.metrics import areas, partial_auc, roc_auc

YEARS = (2020, 2021, 2022, 2023, 2024, 2025, 2026)
MIMII = 2019
"""Stands for MIMII as it was published; it was the year."""
DOMAINS = ("source", "target")
Metric = Callable[[np.ndarray, np.ndarray], float]


def year_name(year: int) -> str:
    """As people say it."""
    return "MIMII" if year == MIMII else f"DCASE {year}"


def domain_clips(year: int | None, domain: str, anomalous: np.ndarray, domains: np.ndarray) -> np.ndarray:
    """Which clips make up a domain's figures, bool [n]: its normal clips, and of the anomalies its own (2021) or all.

    year: None for cases of no challenge, read as the newest rule does.
    """
    own = domains == domain
    return own if year == 2021 else own | anomalous


def components(
    year: int,
    scores: np.ndarray,
    anomalous: np.ndarray,
    domains: np.ndarray,
    overall: tuple[float | None, float | None] | None = None,
) -> dict[str, float | None]:
    """The figures of one machine and section that enter the score, None where its clips cannot give one.

    scores float64 [n], anomalous bool [n], domains str [n]. overall: `metrics.areas` of them, where it is at hand.
    """
    auc, pauc = areas(scores, anomalous) if overall is None else overall
    if year in (MIMII, 2020):
        return {"auc": auc, "pauc": pauc}
    parts: dict[str, float | None] = {}
    for domain in DOMAINS:
        chosen = domain_clips(year, domain, anomalous, domains)
        parts[f"auc_{domain}"] = _figure(roc_auc, scores[chosen], anomalous[chosen])
        if year == 2021:
            parts[f"pauc_{domain}"] = _figure(partial_auc, scores[chosen], anomalous[chosen])
    if year != 2021:
        parts["pauc"] = pauc
    return parts


def combine(year: int, values: Sequence[float | None]) -> float | None:
    """The year's mean of all components that are known; None where none is.

    A figure of 0 would make a harmonic mean 0 by division: like the organisers' scripts, it counts as the smallest
    step above 0.
    """
    known = np.array([value for value in values if value is not None])
    if known.size == 0:
        return None
    if year in (MIMII, 2020):
        return float(known.mean())
    return float(known.size / np.sum(1.0 / np.maximum(known, sys.float_info.epsilon)))


def _figure(metric: Metric, scores: np.ndarray, anomalous: np.ndarray) -> float | None:
    if not anomalous.any() or anomalous.all():
        return None
    return metric(scores[~anomalous], scores[anomalous])

"""AUC and partial AUC of scores where higher means more anomalous."""

from __future__ import annotations

import numpy as np

PAUC_MAX_FPR = 0.1
"""False-positive rate up to which DCASE Task 2 integrates."""


def roc_auc(normal: np.ndarray, anomalous: np.ndarray) -> float:
    """Probability that an anomalous score lies above a normal one, ties counted half (Mann-Whitney).

    normal [n], anomalous [m]: finite scores, n and m at least 1.
    """
    below = np.searchsorted(np.sort(normal), anomalous, side="left")
    not_above = np.searchsorted(np.sort(normal), anomalous, side="right")
    return float(np.mean(below + not_above) / 2.0 / len(normal))


def areas(scores: np.ndarray, anomalous: np.ndarray) -> tuple[float | None, float | None]:
    """AUC and partial AUC of finite scores [n] with labels bool [n], by one ROC curve; None where a kind is missing."""
    if not anomalous.any() or anomalous.all():
        return None, None
    fpr, tpr = roc_curve(scores[~anomalous], scores[anomalous])
    return float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2.0)), _partial(fpr, tpr, PAUC_MAX_FPR)


def partial_auc(normal: np.ndarray, anomalous: np.ndarray, max_fpr: float = PAUC_MAX_FPR) -> float:
    """Area under the ROC up to `max_fpr`, standardised so that chance is 0.5 and perfection 1.

    McClish, "Analyzing a portion of the ROC curve" (1989); the same number as the official DCASE evaluators' and
    scikit-learn's `roc_auc_score(max_fpr=...)`.
    """
    return _partial(*roc_curve(normal, anomalous), max_fpr)


def _partial(fpr: np.ndarray, tpr: np.ndarray, max_fpr: float) -> float:
    stop = int(np.searchsorted(fpr, max_fpr, side="right"))
    edge = np.interp(max_fpr, fpr[stop - 1 : stop + 1], tpr[stop - 1 : stop + 1])
    x, y = np.append(fpr[:stop], max_fpr), np.append(tpr[:stop], edge)
    area = float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2.0))
    chance = 0.5 * max_fpr**2
    return 0.5 * (1.0 + (area - chance) / (max_fpr - chance))


def roc_curve(normal: np.ndarray, anomalous: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False- and true-positive rates, one point a distinct score, from (0, 0) to (1, 1)."""
    scores = np.concatenate((normal, anomalous))
    is_anomalous = np.concatenate((np.zeros(len(normal)), np.ones(len(anomalous))))
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(is_anomalous[order])[last_of_ties]
    alarms = last_of_ties + 1
    fpr = np.concatenate(([0.0], (alarms - hits) / len(normal)))
    tpr = np.concatenate(([0.0], hits / len(anomalous)))
    return fpr, tpr

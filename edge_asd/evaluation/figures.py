"""From the scores of a case's test clips to its figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_asd.calibration.gamma import gamma_quantile
from edge_asd.evaluation.bootstrap import interval, redraws
from edge_asd.evaluation.cases import CaseClip
from edge_asd.evaluation.metrics import areas
from edge_asd.evaluation.official import combine, components, domain_clips

SECONDS_PER_DAY = 86_400.0
Interval = tuple[float, float]


@dataclass
class Outcome:
    """What scoring the test clips of a case gave, one element a clip [n].

    scores: higher = more anomalous; NaN for a clip that failed.
    anomalous: the labels. domains, groups: of the clips, "" where none is told.
    seconds: length of the clip.
    alarms: alarms a live run would have confirmed, see `edge_asd.evaluation.trace.LiveTrace`.
    delay_s: from the onset (or the clip's start) to the first moment the live score is above the live threshold;
        infinite where it never is.
    """

    scores: np.ndarray
    anomalous: np.ndarray
    domains: np.ndarray
    groups: list[str]
    seconds: np.ndarray
    alarms: np.ndarray
    delay_s: np.ndarray

    @classmethod
    def blank(cls, clips: Sequence[CaseClip]) -> Outcome:
        """Nothing scored yet."""
        n = len(clips)
        return cls(
            scores=np.full(n, np.nan),
            anomalous=np.array([clip.anomalous for clip in clips], bool),
            domains=np.array([clip.domain for clip in clips]),
            groups=[clip.group for clip in clips],
            seconds=np.zeros(n),
            alarms=np.zeros(n, np.int64),
            delay_s=np.full(n, np.inf),
        )

    def scored(self) -> Outcome:
        """Without the clips that failed."""
        kept = np.isfinite(self.scores)
        return Outcome(
            self.scores[kept],
            self.anomalous[kept],
            self.domains[kept],
            [group for group, keep in zip(self.groups, kept, strict=True) if keep],
            self.seconds[kept],
            self.alarms[kept],
            self.delay_s[kept],
        )


@dataclass(frozen=True)
class DomainFigures:
    """AUC, pAUC and share of false alarms of one domain, with the clips they rest on."""

    auc: float | None
    pauc: float | None
    far: float | None
    n_normal: int
    n_anomaly: int


@dataclass(frozen=True)
class Figures:
    """The figures of one case; None where its clips cannot give one. Intervals are of 95 %.

    auc, pauc, auc_ci, pauc_ci, auc_se: over the test clips, with bootstrap interval and standard error.
    far, far_ci: share of normal clips above the clip threshold.
    false_alarms_per_day: alarms a live run would have confirmed on the normal test clips, each a stream of its own,
        for a day of such sound; the interval is that of a Poisson count.
    normal_hours: of normal test sound.
    found: share of anomalous clips in which the live score rose above its threshold after the onset.
    time_to_detection_s: median over the anomalous clips from the onset (or the clip's start) to that moment, the
        confirmation of an alarm not included; None where fewer than half were found.
    domains: by name. components: what enters the official score.
    """

    auc: float | None
    auc_ci: Interval | None
    auc_se: float | None
    pauc: float | None
    pauc_ci: Interval | None
    far: float | None
    far_ci: Interval | None
    false_alarms_per_day: float | None
    false_alarms_per_day_ci: Interval | None
    normal_hours: float
    found: float | None
    time_to_detection_s: float | None
    domains: dict[str, DomainFigures]
    components: dict[str, float | None]


def figures_of(
    tested: Outcome, threshold: float, year: int | None, *, seed: int
) -> tuple[Figures, list[list[float | None]]]:
    """All figures, and the components of the official score in every bootstrap draw (none without a year).

    tested: clips that were scored. threshold: of the clip score. seed: of the bootstrap.
    """
    scores, anomalous = tested.scores, tested.anomalous
    drawn: dict[str, list[float]] = {"auc": [], "pauc": [], "far": []}
    drawn_components: list[list[float | None]] = []
    if len(scores):
        for index in redraws(tested.groups, anomalous, seed):
            basic = _basic(scores[index], anomalous[index], threshold)
            for name, value in basic.items():
                if value is not None:
                    drawn[name].append(value)
            if year is not None:
                overall = basic["auc"], basic["pauc"]
                parts = components(year, scores[index], anomalous[index], tested.domains[index], overall)
                drawn_components.append(list(parts.values()))
    basic = _basic(scores, anomalous, threshold)
    per_day, per_day_interval, hours = _alarm_rate(tested)
    found, delay_s = _detection(tested)
    figures = Figures(
        auc=basic["auc"],
        auc_ci=interval(drawn["auc"]),
        auc_se=float(np.std(drawn["auc"])) if drawn["auc"] else None,
        pauc=basic["pauc"],
        pauc_ci=interval(drawn["pauc"]),
        far=basic["far"],
        far_ci=interval(drawn["far"]),
        false_alarms_per_day=per_day,
        false_alarms_per_day_ci=per_day_interval,
        normal_hours=hours,
        found=found,
        time_to_detection_s=delay_s,
        domains=_by_domain(tested, threshold, year),
        components={} if year is None else components(year, scores, anomalous, tested.domains),
    )
    return figures, drawn_components


def official_interval(year: int, drawn_by_case: Sequence[Sequence[Sequence[float | None]]]) -> Interval | None:
    """Interval of an official score from `figures_of`'s draws, the i-th draws of all cases making the i-th score."""
    known = [draws for draws in drawn_by_case if draws]
    scores = [combine(year, [value for parts in together for value in parts]) for together in zip(*known, strict=True)]
    return interval([score for score in scores if score is not None])


def _basic(scores: np.ndarray, anomalous: np.ndarray, threshold: float) -> dict[str, float | None]:
    (auc, pauc), normal = areas(scores, anomalous), scores[~anomalous]
    return {"auc": auc, "pauc": pauc, "far": float(np.mean(normal > threshold)) if len(normal) else None}


def _by_domain(tested: Outcome, threshold: float, year: int | None) -> dict[str, DomainFigures]:
    found = {}
    for domain in sorted({str(domain) for domain in tested.domains} - {""}):
        chosen = domain_clips(year, domain, tested.anomalous, tested.domains)
        anomalous = tested.anomalous[chosen]
        n_anomaly = int(anomalous.sum())
        found[domain] = DomainFigures(
            **_basic(tested.scores[chosen], anomalous, threshold),
            n_normal=len(anomalous) - n_anomaly,
            n_anomaly=n_anomaly,
        )
    return found


def _alarm_rate(tested: Outcome) -> tuple[float | None, Interval | None, float]:
    """Alarms a day of normal sound, the exact interval of the Poisson count behind it (Garwood, 1936), and hours."""
    normal = ~tested.anomalous
    seconds, count = float(tested.seconds[normal].sum()), int(tested.alarms[normal].sum())
    if seconds <= 0.0:
        return None, None, 0.0
    per_day = SECONDS_PER_DAY / seconds
    low = gamma_quantile(0.025, float(count), 1.0) if count else 0.0
    return count * per_day, (low * per_day, gamma_quantile(0.975, count + 1.0, 1.0) * per_day), seconds / 3600.0


def _detection(tested: Outcome) -> tuple[float | None, float | None]:
    delays = tested.delay_s[tested.anomalous]
    if not len(delays):
        return None, None
    # The middle one, not a mean of two, of which one may be infinite.
    median = float(np.sort(delays)[(len(delays) - 1) // 2])
    return float(np.mean(np.isfinite(delays))), median if math.isfinite(median) else None


def mean_of(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are known; None where none is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None

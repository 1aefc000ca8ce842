"""From the enrolment scored against itself to a score and its threshold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from edge_asd.calibration.alarm_rate import Minima
from edge_asd.calibration.budget import Budget
from edge_asd.calibration.enrolment_scores import EnrolmentScores
from edge_asd.calibration.fusion import Fusion
from edge_asd.calibration.scale import raw, shown
from edge_asd.calibration.tail_threshold import fit_budget
from edge_asd.calibration.threshold import MIN_SCORES_FOR_FIT, Threshold, fit_threshold
from edge_asd.contract import ModelContract
from edge_asd.errors import DataError

T = TypeVar("T")

LATER_PERCENTILE = 50.0
"""A threshold set by a budget is widened to where this share of the distances of other sessions, as they are allowed
for, stays below it: their usual sound must not alarm, and their tail is what a budget's own threshold is far out for.
With 95 % too many faults of machines that vary within a session (slide rails) were missed."""


@dataclass(frozen=True)
class LiveTarget:
    """What a stream's threshold is set for: a budget of false alarms, or a share of the scores.

    budget: alarms accepted; None: `percentile` counts.
    percentile: share of normal scores, in percent, meant to stay below.
    confirm_s: seconds a score stays above the threshold before an alarm starts (`AlarmSettings`); the budget counts
        alarms.
    """

    budget: Budget | None = None
    percentile: float | None = None
    confirm_s: float = 0.0

    def __post_init__(self) -> None:
        if (self.budget is None) == (self.percentile is None):
            raise DataError("a live threshold is set for a false-alarm budget or for a percentile, one of them")


@dataclass(frozen=True)
class Calibration(Threshold):
    """A threshold together with what makes the scores it is for.

    fusion: one score from the distances.
    allowance: times each scorer's distances were taken to be larger on other days, see `calibration.sessions`; empty:
        not at all.
    """

    fusion: Fusion = field(kw_only=True)
    allowance: tuple[float, ...] = ()

    @classmethod
    def fit(
        cls,
        distances: np.ndarray,
        percentile: float,
        domains: np.ndarray | None = None,
        allowance: Sequence[float] = (),
    ) -> Calibration:
        """From normal distances [n, scorers]; see `fit_threshold`.

        domains: int [n], the domain of each (None: all of one). The percentile is promised in every domain that has
        scores enough to fit: the highest of their thresholds and that of all scores together counts, so that the many
        of one domain do not outvote the few of another. allowance: as in the class.
        """
        fusion = Fusion.fit(distances)
        scores = fusion.score(distances)
        fitted = [fit_threshold(scores, percentile)]
        for domain in () if domains is None else np.unique(domains):
            own = scores[domains == domain]
            if MIN_SCORES_FOR_FIT <= len(own) < len(scores):
                fitted.append(fit_threshold(own, percentile))
        best = cls(**vars(max(fitted, key=lambda threshold: threshold.threshold)), fusion=fusion)
        return best._widened(distances, allowance, percentile)

    @classmethod
    def fit_live(
        cls,
        scores: EnrolmentScores,
        n_windows: int,
        target: LiveTarget,
        step_s: float,
        allowance: Sequence[float] = (),
    ) -> Calibration:
        """For a stream's score over `n_windows`; step_s: seconds from window to window; allowance: as in the class."""
        runs = scores.smoothed(n_windows)
        distances = np.concatenate(runs)
        if target.budget is None:
            assert target.percentile is not None
            return cls.fit(distances, target.percentile, allowance=allowance)
        fusion = Fusion.fit(distances)
        ends = np.cumsum([len(run) for run in runs])[:-1]
        minima = Minima.of(
            np.split(fusion.score(distances), ends),
            confirm_windows=confirming_windows(target.confirm_s, step_s),
            smoothing_windows=n_windows,
            step_s=step_s,
        )
        found = fit_budget(minima, target.budget)
        plain = cls(
            threshold=found.threshold,
            percentile=None,
            method=found.method,
            n_scores=len(distances),
            note=found.note,
            budget=str(target.budget),
            confirm_s=target.confirm_s,
            expected=None if found.low is None or found.high is None else (found.low, found.high),
            stretch=1.0 / (target.budget.rate_hz * len(scores.distances) * step_s),
            fusion=fusion,
        )
        return plain._widened(distances, allowance, LATER_PERCENTILE)

    def _widened(self, distances: np.ndarray, allowance: Sequence[float], percentile: float) -> Calibration:
        """With a threshold that normal distances [n, scorers] would keep as well, were they so many times larger."""
        if not any(factor > 1.0 for factor in allowance):
            return self
        further = fit_threshold(self.fusion.score(distances * np.asarray(allowance)), percentile).threshold
        threshold = max(self.threshold, further)
        return dataclasses.replace(self, threshold=threshold, unwidened=self.threshold, allowance=tuple(allowance))

    def within(self, value: float) -> float:
        """Where on the scale of 0 to 100 a raw score stands that would be `value` on it without the allowance: what
        must be sure to be normal (to learn it, say) has to be so for the enrolment alone."""
        return value if self.unwidened is None else shown(raw(value, self.unwidened), self.threshold)

    @property
    def target(self) -> LiveTarget:
        """What it was set for, to set it anew."""
        if self.budget is None:
            return LiveTarget(percentile=self.percentile)
        return LiveTarget(budget=Budget.parse(self.budget), confirm_s=self.confirm_s or 0.0)

    def score(self, distances: np.ndarray) -> np.ndarray:
        """Scores of distances [k, scorers] on the scale people see: 0 to 100, float64 [k], anomalous above 50."""
        return np.array([shown(raw, self.threshold) for raw in self.fusion.score(distances)])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, the inverse of `from_dict`."""
        expected = None if self.expected is None else list(self.expected)
        own = {"expected": expected, "fusion": self.fusion.to_dict(), "allowance": list(self.allowance)}
        return {**vars(self), **own}

    @classmethod
    def from_dict(cls, data: Any) -> Calibration:
        """Build from parsed JSON; raises DataError for anything but finite numbers and strings in place."""
        try:
            made = cls(
                threshold=float(data["threshold"]),
                percentile=_maybe(float, data["percentile"]),
                method=str(data["method"]),
                n_scores=int(data["n_scores"]),
                note=str(data["note"]),
                budget=_maybe(str, data["budget"]),
                confirm_s=_maybe(float, data["confirm_s"]),
                expected=_maybe(lambda pair: (float(pair[0]), float(pair[1])), data["expected"]),
                stretch=_maybe(float, data["stretch"]),
                unwidened=_maybe(float, data.get("unwidened")),
                allowance=tuple(float(factor) for factor in data.get("allowance", ())),
                fusion=Fusion.from_dict(data["fusion"]),
            )
            target = made.target
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, DataError) as error:
            raise DataError(f"calibration: {error!r} in {data!r}") from error
        numbers = (
            *(made.threshold, made.stretch, made.unwidened, target.percentile, target.confirm_s),
            *(*(made.expected or ()), *made.allowance),
        )
        if not all(number is None or math.isfinite(number) for number in numbers):
            raise DataError(f"calibration: a number in {data!r} is not finite")
        return made


def fit_stream(
    scores: EnrolmentScores,
    smoothing_windows: int,
    target: LiveTarget,
    step_s: float,
    allowance: Sequence[float] = (),
) -> tuple[Calibration, ...]:
    """One calibration for each number of windows a stream's score can take in, 1 to `smoothing_windows`.

    After a start or a gap there are fewer windows to average; their mean varies more and deserves its own threshold.
    """
    fitted = min(smoothing_windows, scores.longest_run)
    calibrations = [Calibration.fit_live(scores, n, target, step_s, allowance) for n in range(1, fitted + 1)]
    return (*calibrations, *[calibrations[-1]] * (smoothing_windows - fitted))


def recalibrated(
    own: tuple[Calibration, ...],
    scores: EnrolmentScores,
    contract: ModelContract,
    *,
    smoothing_s: float | None,
    percentile: float | None,
    budget: Budget | None,
    confirm_s: float | None,
) -> tuple[Calibration, ...]:
    """A stream's calibrations for other settings than `own` were fitted for; `own` where nothing is new.

    smoothing_s: seconds a score averages. percentile, budget: what the threshold is set for, at most one of them.
    confirm_s: of the alarms a budget counts. None: as in `own`.
    """
    target = own[-1].target
    if percentile is not None:
        target = LiveTarget(budget, percentile)
    elif budget is not None or target.budget is not None:
        target = LiveTarget(budget or target.budget, None, target.confirm_s if confirm_s is None else confirm_s)
    n_windows = len(own) if smoothing_s is None else contract.windows_in(smoothing_s)
    if n_windows == len(own) and target == own[-1].target:
        return own
    return fit_stream(scores, n_windows, target, contract.step_s, own[-1].allowance)


def confirming_windows(confirm_s: float, step_s: float) -> int:
    """Scores in a row above the threshold that raise an alarm: the last one comes at or after the full span."""
    return 1 + math.ceil(confirm_s / step_s - 1e-9)


def _maybe(kind: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else kind(value)

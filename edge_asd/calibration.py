"""From the enrolment scored against itself to a score and its threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np

from edge_asd.aggregation import Aggregation
from edge_asd.errors import DataError
from edge_asd.fusion import Fusion, varies
from edge_asd.gamma import fit_gamma, gamma_misfit, gamma_quantile

MIN_SCORES_FOR_FIT = 10
"""Fewer scores cannot show whether a gamma distribution describes them."""
GAMMA_MISFIT_LIMIT = 2.0
"""A gamma distribution counts up to this many times the 5 % point of Kolmogorov and Smirnov."""


@dataclass(frozen=True)
class EnrolmentScores:
    """The enrolment scored against itself; the bundle keeps it, so that thresholds can be fitted anew.

    distances: float32 [n, scorers], each window's distances from the windows of other folds.
    pieces: int32 [n], the piece of sound (about 10 s, or one clip) each window belongs to, in order.
    aggregation: how windows become one, here as in whatever is scored against the bundle.
    """

    distances: np.ndarray
    pieces: np.ndarray
    aggregation: Aggregation = field(default_factory=Aggregation)

    def __post_init__(self) -> None:
        n = len(self.distances)
        if n == 0 or self.distances.ndim != 2 or self.pieces.shape != (n,) or not np.isfinite(self.distances).all():
            raise DataError("enrolment scores: not finite distances and one piece for each window")

    @property
    def longest_piece(self) -> int:
        """Windows in the longest piece: averages of more cannot be taken from the enrolment."""
        return max(len(own) for own in self._by_piece())

    def per_clip(self) -> np.ndarray:
        """Distances of each piece, its windows aggregated, [n_pieces, scorers]: what normal clips look like."""
        return np.array([self.aggregation.over(own) for own in self._by_piece()])

    def smoothed(self, n_windows: int) -> np.ndarray:
        """Distances of `n_windows` consecutive windows, aggregated, [m, scorers]: what a normal stream looks like.

        Stretches do not reach from one piece into the next; a shorter piece is taken whole.
        """
        aggregated = []
        for own in self._by_piece():
            size = min(n_windows, len(own))
            stretches = np.lib.stride_tricks.sliding_window_view(own, size, axis=0)
            aggregated.append(self.aggregation.over(stretches, axis=-1))
        return np.concatenate(aggregated)

    def _by_piece(self) -> list[np.ndarray]:
        return np.split(self.distances, np.flatnonzero(np.diff(self.pieces)) + 1)


@dataclass(frozen=True)
class Threshold:
    """A threshold and where it came from.

    threshold: scores above it are anomalous.
    percentile: share of normal sound, in percent, meant to stay below.
    method: "gamma" (maximum-likelihood fit, as in the DCASE reports) or "robust" (median + deviations).
    n_scores: enrolment scores it rests on.
    note: in words, why the fall-back was taken; empty for a good fit.
    """

    threshold: float
    percentile: float
    method: str
    n_scores: int
    note: str


@dataclass(frozen=True)
class Calibration(Threshold):
    """A threshold together with what makes the scores it is for.

    fusion: one score from the distances.
    """

    fusion: Fusion

    @classmethod
    def fit(cls, distances: np.ndarray, percentile: float) -> Calibration:
        """From normal distances [n, scorers]; see `fit_threshold`."""
        fusion = Fusion.fit(distances)
        return cls(**vars(fit_threshold(fusion.score(distances), percentile)), fusion=fusion)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, the inverse of `from_dict`."""
        return {**vars(self), "fusion": self.fusion.to_dict()}

    @classmethod
    def from_dict(cls, data: Any) -> Calibration:
        """Build from parsed JSON; raises DataError for anything but finite numbers and strings in place."""
        try:
            made = cls(
                threshold=float(data["threshold"]),
                percentile=float(data["percentile"]),
                method=str(data["method"]),
                n_scores=int(data["n_scores"]),
                note=str(data["note"]),
                fusion=Fusion.from_dict(data["fusion"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"calibration: {error!r} in {data!r}") from error
        if not math.isfinite(made.threshold):
            raise DataError(f"calibration: threshold {made.threshold} is not a finite number")
        return made


def fit_stream(scores: EnrolmentScores, smoothing_windows: int, percentile: float) -> tuple[Calibration, ...]:
    """One calibration for each number of windows a stream's score can average, 1 to `smoothing_windows`.

    After a start or a gap there are fewer windows to average; their mean varies more and deserves its own threshold.
    """
    fitted = min(smoothing_windows, scores.longest_piece)
    calibrations = [Calibration.fit(scores.smoothed(n), percentile) for n in range(1, fitted + 1)]
    return (*calibrations, *[calibrations[-1]] * (smoothing_windows - fitted))


def fit_threshold(scores: np.ndarray, percentile: float) -> Threshold:
    """Fit the threshold below which `percentile` percent of normal scores [n] should stay.

    A gamma distribution is fitted; where that cannot describe the scores (too few, no spread, or a
    Kolmogorov-Smirnov distance beyond twice the 5 % point) the larger of the empirical percentile and median +
    normal-equivalent deviations (1.4826 MAD) is taken instead, and the note says so.
    """
    if not 50.0 <= percentile < 100.0:
        raise DataError(f"percentile {percentile} is not within 50 <= p < 100")
    scores = np.asarray(scores, np.float64)
    scores = scores[np.isfinite(scores)]
    if scores.size == 0:
        raise DataError("no enrolment score to fit a threshold on", remedy="enrol at least 20 s of sound")
    share = percentile / 100.0
    if scores.size < MIN_SCORES_FOR_FIT:
        reason = f"only {scores.size} enrolment scores, {MIN_SCORES_FOR_FIT} are needed for a fit"
    elif not varies(scores):
        reason = "the enrolment scores hardly vary"
    else:
        positive = np.maximum(scores, 1e-9)
        shape, scale = fit_gamma(positive)
        misfit = gamma_misfit(positive, shape, scale)
        if misfit <= GAMMA_MISFIT_LIMIT:
            return Threshold(gamma_quantile(share, shape, scale), percentile, "gamma", int(scores.size), "")
        unit = 1.36 / math.sqrt(positive.size)
        reason = (
            f"the scores do not follow a gamma distribution (distance {misfit * unit:.2f}, "
            f"limit {GAMMA_MISFIT_LIMIT * unit:.2f})"
        )
    return Threshold(_robust_threshold(scores, share), percentile, "robust", int(scores.size), reason)


def _robust_threshold(scores: np.ndarray, share: float) -> float:
    median = float(np.median(scores))
    deviation = 1.4826 * float(np.median(np.abs(scores - median)))
    # In standard deviations of a normal distribution: 1.64 for 95 %.
    return max(float(np.quantile(scores, share)), median + NormalDist().inv_cdf(share) * deviation)

"""One score from several distances: how rare each would be in normal sound, on a common scale.

A distance alone says nothing: 0.1 may be everyday for one machine and unheard of for another. Each scorer's normal
distances (the enrolment scored against itself, fold by fold) are described by a gamma distribution; a new distance
becomes its rarity, -log10 of the share of normal sound at least as far away. The score is the mean of the scorers'
rarities (Fisher's method of combining p-values, up to a factor): 0.3 is ordinary, 2 is one normal clip in a hundred.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_asd.calibration.gamma import fit_gamma, gamma_log_sf
from edge_asd.errors import DataError

MIN_SPREAD = 0.005
"""Distances closer together than this share of themselves (sound in a loop) are rounding, not a distribution: the fit
would divide by nothing."""
ASSUMED_SPREAD = 0.05
"""Relative spread taken where none can be measured."""


@dataclass(frozen=True)
class Fusion:
    """The gamma distribution of each scorer's normal distances: shape and scale, one a scorer."""

    shapes: tuple[float, ...]
    scales: tuple[float, ...]

    @classmethod
    def fit(cls, distances: np.ndarray) -> Fusion:
        """From normal distances [n, scorers], n >= 1."""
        fits = [_fit_side(side) for side in distances.T]
        return cls(tuple(shape for shape, _ in fits), tuple(scale for _, scale in fits))

    def score(self, distances: np.ndarray) -> np.ndarray:
        """Mean rarity: distances [n, scorers] -> float64 [n], higher = more anomalous, never below 0."""
        return self.rarity(distances).mean(axis=1)

    def rarity(self, distances: np.ndarray) -> np.ndarray:
        """Rarity by each scorer: distances [n, scorers] -> float64 of the same shape."""
        rarity = np.empty(distances.shape)
        for side, (shape, scale) in enumerate(zip(self.shapes, self.scales, strict=True)):
            rarity[:, side] = [-gamma_log_sf(float(d), shape, scale) / math.log(10.0) for d in distances[:, side]]
        return rarity

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, the inverse of `from_dict`."""
        return {"shapes": list(self.shapes), "scales": list(self.scales)}

    @classmethod
    def from_dict(cls, data: Any) -> Fusion:
        """Build from parsed JSON; raises DataError for anything but as many positive numbers of both kinds."""
        try:
            shapes, scales = (tuple(float(x) for x in data[key]) for key in ("shapes", "scales"))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"fusion: {error!r} in {data!r}") from error
        if len(shapes) != len(scales) or not all(0.0 < x < math.inf for x in shapes + scales):
            raise DataError(f"fusion: {data!r} is not one positive shape and scale a scorer")
        return cls(shapes, scales)


def _fit_side(distances: np.ndarray) -> tuple[float, float]:
    # Rounding can put a cosine distance a hair under 0.
    positive = np.maximum(np.asarray(distances, np.float64), 1e-9)
    if varies(positive):
        return fit_gamma(positive)
    shape = 1.0 / ASSUMED_SPREAD**2
    return shape, float(positive.mean()) / shape


def varies(values: np.ndarray) -> bool:
    """Whether positive values [n] spread enough to fit a distribution to."""
    return len(values) > 1 and float(np.ptp(values)) > max(1e-9, MIN_SPREAD * float(np.abs(values).max()))

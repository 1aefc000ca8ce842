"""The generalised Pareto distribution with numpy alone: what lies above a high level, and how far it may reach.

Excesses over a high enough level follow it whatever the distribution below (Balkema and de Haan 1974; Pickands 1975).
Shape 0 is an exponential tail, above 0 a heavier one, below 0 one that ends.
"""

from __future__ import annotations

import math

import numpy as np

PRIOR_SHAPE, PRIOR_EXCESSES = 0.2, 60.0
"""The estimated shape is drawn towards a tail heavier than an exponential one, as if this many excesses had shown it.
Minutes of sound hold a dozen independent excesses, and those hardly show a shape (its standard error is about
1 / sqrt(n)); what is rarer than minutes makes a tail heavier, never lighter. On streams whose tail is known, a shape of
0.2 costs a fifth more threshold than one of 0 and keeps ten times more of the budget."""
MOST_SHAPE = 0.5
"""Above it the variance is infinite and extrapolation meaningless."""


def fit_pareto(excesses: np.ndarray, n_independent: float | None = None) -> tuple[float, float]:
    """Shape and scale of positive excesses [n], n >= 2, by probability-weighted moments (Hosking and Wallis 1987).

    n_independent: how many of the excesses count as independent (None: all of them), against `PRIOR_EXCESSES`.
    The shape is kept within 0 .. 0.5: minutes of sound cannot show that a tail ends. The scale is then the one that
    gives the excesses' mean.
    """
    ordered = np.sort(np.asarray(excesses, np.float64))
    n = ordered.size
    mean = float(ordered.mean())
    beyond = 1.0 - (np.arange(1, n + 1) - 0.35) / n
    weighted = float(np.mean(ordered * beyond))
    spread = mean - 2.0 * weighted
    shape = 2.0 - mean / spread if spread > 1e-12 * mean else MOST_SHAPE
    count = float(n if n_independent is None else n_independent)
    shape = (shape * count + PRIOR_SHAPE * PRIOR_EXCESSES) / (count + PRIOR_EXCESSES)
    shape = min(MOST_SHAPE, max(0.0, shape))
    return shape, mean * (1.0 - shape)


def pareto_log_sf(excess: float, shape: float, scale: float) -> float:
    """ln P(Y > excess), 0 for an excess of 0 or less; shape >= 0."""
    if excess <= 0.0:
        return 0.0
    if shape < 1e-9:
        return -excess / scale
    return -math.log1p(shape * excess / scale) / shape

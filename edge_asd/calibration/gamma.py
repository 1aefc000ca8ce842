"""The gamma distribution with numpy and the standard library alone: fit, distribution function, tail, quantile."""

from __future__ import annotations

import math

import numpy as np

MISFIT_LIMIT = 2.0
"""A gamma distribution counts up to this `gamma_misfit`: neighbours that resemble each other count for less than they
are."""


def fit_gamma(values: np.ndarray) -> tuple[float, float]:
    """Maximum-likelihood shape and scale of positive values [n] that are not all the same.

    Minka, "Estimating a Gamma distribution" (2002): generalised Newton steps on ln k - psi(k) = ln mean - mean ln.
    """
    mean = float(np.mean(values))
    spread = math.log(mean) - float(np.mean(np.log(values)))
    shape = (3.0 - spread + math.sqrt((spread - 3.0) ** 2 + 24.0 * spread)) / (12.0 * spread)
    for _ in range(50):
        slope = 1.0 / shape - _trigamma(shape)
        step = (math.log(shape) - _digamma(shape) - spread) / (shape * shape * slope)
        improved = 1.0 / (1.0 / shape + step)
        if abs(improved - shape) <= 1e-10 * shape:
            break
        shape = improved
    return shape, mean / shape


def gamma_cdf(x: float, shape: float, scale: float) -> float:
    """P(X <= x)."""
    z = x / scale
    if z <= 0.0:
        return 0.0
    if z < shape + 1.0:
        return min(1.0, _lower_tail(z, shape))
    return 1.0 - math.exp(_log_upper_tail(z, shape))


def gamma_log_sf(x: float, shape: float, scale: float) -> float:
    """ln P(X > x), exact where the probability itself would underflow."""
    z = x / scale
    if z <= 0.0:
        return 0.0
    if z < shape + 1.0:
        return math.log1p(-min(_lower_tail(z, shape), 1.0 - 1e-16))
    return _log_upper_tail(z, shape)


def gamma_misfit(values: np.ndarray, shape: float, scale: float) -> float:
    """Kolmogorov-Smirnov distance of values [n] from the distribution, in units of its 5 % point for n values.

    Values whose neighbours resemble each other vary as fewer than n would, so the limit is the caller's to choose.
    """
    ordered = np.sort(values)
    model = np.array([gamma_cdf(float(x), shape, scale) for x in ordered])
    ranks = np.arange(ordered.size + 1) / ordered.size
    distance = max(float(np.max(model - ranks[:-1])), float(np.max(ranks[1:] - model)))
    return distance * math.sqrt(ordered.size) / 1.36


def _lower_tail(z: float, shape: float) -> float:
    """P(X <= z) at scale 1 by its series, for z < shape + 1 (Abramowitz and Stegun 6.5.29)."""
    term = total = 1.0 / shape
    n = shape
    while term > 1e-13 * total:  # all terms are positive
        n += 1.0
        term *= z / n
        total += term
    return total * math.exp(shape * math.log(z) - z - math.lgamma(shape))


def _log_upper_tail(z: float, shape: float) -> float:
    """ln P(X > z) at scale 1 by Lentz's continued fraction, for z >= shape + 1 (Abramowitz and Stegun 6.5.31)."""
    tiny = 1e-300
    b = z + 1.0 - shape
    c, d = 1.0 / tiny, 1.0 / b
    fraction = d
    for i in range(1, 100_000):
        a = -i * (i - shape)
        b += 2.0
        d = 1.0 / (a * d + b or tiny)
        c = b + a / c or tiny
        fraction *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return shape * math.log(z) - z - math.lgamma(shape) + math.log(fraction)


def gamma_quantile(probability: float, shape: float, scale: float) -> float:
    """The x with P(X <= x) = probability, 0 < probability < 1, by bisection."""
    low, high = 0.0, shape * scale
    while gamma_cdf(high, shape, scale) < probability:
        low, high = high, 2.0 * high
    for _ in range(200):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        if gamma_cdf(middle, shape, scale) < probability:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def _digamma(x: float) -> float:
    """psi(x), x > 0: recurrence up to 8, then the asymptotic series (Abramowitz and Stegun 6.3.18)."""
    shift = 0.0
    while x < 8.0:
        shift -= 1.0 / x
        x += 1.0
    y = 1.0 / (x * x)
    series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y * (5 / 660 - y * 691 / 32760)))))
    return shift + math.log(x) - 0.5 / x - series


def _trigamma(x: float) -> float:
    """psi'(x), x > 0: recurrence up to 8, then the asymptotic series (Abramowitz and Stegun 6.4.12)."""
    shift = 0.0
    while x < 8.0:
        shift += 1.0 / (x * x)
        x += 1.0
    y = 1.0 / (x * x)
    return shift + 1.0 / x + y / 2 + y / x * (1 / 6 - y * (1 / 30 - y * (1 / 42 - y * (1 / 30 - y * 5 / 66))))

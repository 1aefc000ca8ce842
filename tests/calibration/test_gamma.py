"""The gamma distribution against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.calibration.gamma import _digamma, _trigamma, fit_gamma, gamma_cdf, gamma_quantile

stats = pytest.importorskip("scipy.stats", reason="scipy, the oracle, is not installed")
special = pytest.importorskip("scipy.special", reason="scipy, the oracle, is not installed")

SHAPES = [0.05, 0.3, 1.0, 2.5, 17.0, 300.0, 20_000.0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.004, 1.0, 30.0])
def test_distribution_function(shape: float, scale: float) -> None:
    mean, deviation = shape * scale, np.sqrt(shape) * scale
    values = np.concatenate((np.linspace(mean / 100, mean, 9), mean + deviation * np.linspace(0.0, 8.0, 9)))
    found = [gamma_cdf(float(x), shape, scale) for x in values]
    np.testing.assert_allclose(found, stats.gamma.cdf(values, shape, scale=scale), rtol=1e-9, atol=1e-11)


def test_nothing_lies_below_zero() -> None:
    assert gamma_cdf(0.0, 2.0, 1.0) == 0.0
    assert gamma_cdf(-1.0, 2.0, 1.0) == 0.0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.95, 0.999, 0.99999])
def test_quantile(shape: float, share: float) -> None:
    assert gamma_quantile(share, shape, 0.02) == pytest.approx(stats.gamma.ppf(share, shape, scale=0.02), rel=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_fit_is_the_maximum_likelihood_one(shape: float) -> None:
    values = np.random.default_rng(1).gamma(shape, 0.03, 400)
    values = values[values > 0]
    expected_shape, _, expected_scale = stats.gamma.fit(values, floc=0)
    found_shape, found_scale = fit_gamma(values)
    assert found_shape == pytest.approx(expected_shape, rel=1e-5)
    assert found_scale == pytest.approx(expected_scale, rel=1e-5)


@pytest.mark.parametrize("x", [1e-3, 0.4, 1.0, 3.3, 7.999, 8.0, 50.0, 1e5])
def test_digamma_and_trigamma(x: float) -> None:
    assert _digamma(x) == pytest.approx(float(special.digamma(x)), rel=1e-10)
    assert _trigamma(x) == pytest.approx(float(special.polygamma(1, x)), rel=1e-10)

"""The generalised Pareto tail: known parameters come back, and what minutes cannot show is not claimed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_asd.calibration.pareto import MOST_SHAPE, fit_pareto, pareto_log_sf


def excesses(shape: float, scale: float, n: int, seed: int = 0) -> np.ndarray:
    u = np.random.default_rng(seed).uniform(size=n)
    return -scale * np.log(u) if shape == 0.0 else scale * (u**-shape - 1.0) / shape


@pytest.mark.parametrize("shape", [0.0, 0.1, 0.25, 0.4])
@pytest.mark.parametrize("scale", [0.02, 3.0])
def test_known_parameters_come_back(shape: float, scale: float) -> None:
    found_shape, found_scale = fit_pareto(excesses(shape, scale, 40_000))
    assert found_shape == pytest.approx(shape, abs=0.03)
    assert found_scale == pytest.approx(scale, rel=0.05)


def test_a_tail_that_ends_is_taken_for_an_exponential_one() -> None:
    """Uniform excesses have shape -1: what was heard ends, what was not heard need not."""
    shape, scale = fit_pareto(np.random.default_rng(1).uniform(0.0, 2.0, 5000))
    assert shape == 0.0
    assert scale == pytest.approx(1.0, rel=0.05)


def test_few_excesses_hardly_show_a_shape_and_dependent_ones_less() -> None:
    heavy = excesses(0.4, 1.0, 400, seed=3)
    many, dependent = fit_pareto(heavy)[0], fit_pareto(heavy, n_independent=20)[0]
    assert 0.2 < dependent < many < MOST_SHAPE
    alone = (many * (400 + 60) - 0.2 * 60) / 400
    assert dependent == pytest.approx(0.25 * alone + 0.75 * 0.2)


def test_the_shape_never_leaves_what_can_be_extrapolated() -> None:
    wild = np.concatenate((np.full(200, 0.01), [1e6]))
    shape, scale = fit_pareto(wild)
    assert 0.0 <= shape <= MOST_SHAPE and math.isfinite(scale) and scale > 0.0


@pytest.mark.parametrize("values", [[1.0, 1.0], [1e-12, 1e-12, 1e-12], [0.5, 0.7]])
def test_excesses_that_are_all_alike_give_a_tail_too(values: list[float]) -> None:
    shape, scale = fit_pareto(np.array(values))
    assert 0.0 <= shape <= MOST_SHAPE and scale > 0.0


@pytest.mark.parametrize("shape", [0.0, 0.2])
def test_the_tail_matches_scipy(shape: float) -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy, the oracle, is not installed")
    for y in (0.1, 1.0, 30.0):
        log_sf = pareto_log_sf(y, shape, 0.7)
        assert log_sf == pytest.approx(float(stats.genpareto.logsf(y, shape, scale=0.7)), rel=1e-9)
    assert pareto_log_sf(0.0, shape, 0.7) == pareto_log_sf(-1.0, shape, 0.7) == 0.0

"""Rarity: distances of any unit on one scale."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mpmath import gammainc, log
from scipy import stats

from edge_asd.calibration.fusion import Fusion
from edge_asd.calibration.gamma import gamma_log_sf
from edge_asd.errors import DataError


@pytest.mark.parametrize("shape", [0.5, 3.0, 400.0])
def test_log_survival_is_exact_even_where_the_probability_underflows(shape: float) -> None:
    for x in np.array([0.01, 0.5, 1.0, 1.5, 3.0, 10.0, 100.0]) * shape:
        exact = float(log(gammainc(shape, x, regularized=True)))  # scipy gives -inf for the last
        assert gamma_log_sf(x, shape, 1.0) == pytest.approx(exact, rel=1e-7, abs=1e-9)
    assert gamma_log_sf(-1.0, shape, 1.0) == 0.0


def test_the_score_is_the_mean_of_the_rarities() -> None:
    rng = np.random.default_rng(0)
    normal = np.stack((rng.gamma(5.0, 0.01, 400), rng.gamma(20.0, 3.0, 400)), axis=1)
    fusion = Fusion.fit(normal)
    asked = np.array([[0.05, 60.0], [0.2, 60.0], [0.05, 200.0]])
    rarity = [-stats.gamma.logsf(asked[:, i], fusion.shapes[i], scale=fusion.scales[i]) / np.log(10) for i in (0, 1)]
    np.testing.assert_allclose(fusion.score(asked), np.mean(rarity, axis=0), rtol=1e-7)


def test_a_sides_unit_does_not_matter() -> None:
    normal = np.random.default_rng(1).gamma(4.0, 1.0, (200, 2))
    asked = np.random.default_rng(2).gamma(6.0, 1.0, (20, 2))
    scaled = np.array([1000.0, 0.001])
    np.testing.assert_allclose(
        Fusion.fit(normal).score(asked), Fusion.fit(normal * scaled).score(asked * scaled), rtol=1e-6
    )


def test_the_score_rises_with_every_distance_far_beyond_the_enrolment() -> None:
    fusion = Fusion.fit(np.random.default_rng(3).gamma(9.0, 0.01, (100, 2)))
    far = np.linspace(0.05, 2.0, 60)
    for side in (0, 1):
        asked = np.full((60, 2), 0.09)
        asked[:, side] = far
        scores = fusion.score(asked)
        assert np.isfinite(scores).all() and (np.diff(scores) > 0).all()


def test_distances_that_do_not_vary_still_give_a_scale() -> None:
    fusion = Fusion.fit(np.full((50, 2), 0.2))
    low, same, high = fusion.score(np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]]))
    assert low < same < 1.0 < high


def test_it_survives_json_and_refuses_nonsense() -> None:
    fusion = Fusion.fit(np.random.default_rng(4).gamma(2.0, 1.0, (40, 2)))
    assert Fusion.from_dict(json.loads(json.dumps(fusion.to_dict()))) == fusion
    for bad in (
        None,
        {},
        {"shapes": [1.0], "scales": []},
        {"shapes": [0.0], "scales": [1.0]},
        {"shapes": "x", "scales": [1]},
    ):
        with pytest.raises(DataError, match="fusion"):
            Fusion.from_dict(bad)

"""A model's own scores as distances: moved to be positive, in the same order with the same means; nothing is learnt."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.errors import DataError
from edge_asd.scorers import Scorer, cross_fitted, parse_scorer
from edge_asd.scorers.column import FURTHEST, Column


def scores(middle: float, spread: float, n: int = 200, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(middle, spread, (n, 2)).astype(np.float32)


@pytest.mark.parametrize("middle, spread", [(-3000.0, 10.0), (-0.2, 1.0), (12000.0, 8.0), (0.0, 0.0), (-7.0, 0.0)])
def test_normal_scores_become_positive_distances_with_a_spread_to_fit(middle: float, spread: float) -> None:
    rows = scores(middle, spread)
    distances = Column.fit(rows, i=1).distance(rows)
    assert (distances >= 0).all()
    assert distances.max() <= 2.5 * max(np.ptp(rows[:, 1]), 1e-3 * abs(middle))  # not lost in a large offset
    np.testing.assert_allclose(distances - distances[0], rows[:, 1] - rows[0, 1], atol=1e-3)


def test_scores_with_a_natural_zero_stay_as_they_are() -> None:
    rows = np.abs(scores(0.0, 1.0)) + 0.5
    np.testing.assert_array_equal(Column.fit(rows).distance(rows), rows[:, 0])


def test_what_no_density_can_express_is_as_far_as_anything() -> None:
    fitted = Column.fit(scores(-3000.0, 10.0))
    found = fitted.distance(np.array([[np.inf, 0], [np.nan, 0], [-3000, 0]], np.float32))
    assert found[0] == found[1] == np.float32(FURTHEST) and 0 < found[2] < 1000
    assert np.isfinite(found.mean())


def test_a_column_that_is_not_there_or_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(DataError, match=r"scores:column,i=2: the model gives 2 scores, counted from 0"):
        Column.fit(scores(0.0, 1.0), i=2)
    with pytest.raises(DataError, match="the model's own score of this sound is not a finite number"):
        Column.fit(np.array([[np.inf]], np.float32))


def test_every_fold_is_judged_by_the_same_zero() -> None:
    spec, rows = parse_scorer("scores:column,i=1"), scores(-3000.0, 10.0)
    folds = np.arange(len(rows)) * 5 // len(rows)
    whole = Scorer.fit(spec, rows)
    crossed = cross_fitted([spec], {spec.features: rows}, folds)
    np.testing.assert_array_equal(crossed[:, 0], whole.measure.distance(rows))
    later = np.concatenate((rows, rows - 100))
    kept = cross_fitted([spec], {spec.features: later}, np.zeros(len(later)), like=[whole])
    np.testing.assert_array_equal(kept[: len(rows)], crossed)  # more sound moves no distance that is known


def test_it_survives_its_arrays() -> None:
    spec, rows = parse_scorer("scores:column,i=1"), scores(5.0, 1.0)
    fitted = Scorer.fit(spec, rows)
    again = Scorer.from_arrays(spec, fitted.measure.arrays())
    np.testing.assert_array_equal(again.measure.distance(rows), fitted.measure.distance(rows))
    assert fitted.measure.width == 2 and fitted.measure.n_windows is None and not fitted.measure.growing()

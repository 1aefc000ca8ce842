"""Each measure against an independent reference: scikit-learn where it has the same, the plain formula elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf as sklearn_ledoit_wolf
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.neighbors import LocalOutlierFactor as SklearnLof

from edge_asd.scorers.clusters import Centres, SmoteKnn, between_neighbours, k_means
from edge_asd.scorers.density import MIN_DENSITY_SHARE, LocalDensity, LocalOutlierFactor
from edge_asd.scorers.mixture import GaussianMixture, fit_mixture
from edge_asd.scorers.shrinkage import ledoit_wolf, whitening
from edge_asd.scorers.space import Space
from edge_asd.scorers.whitened import Mahalanobis, WhitenedKnn


def features(n: int, width: int = 12, seed: int = 0) -> np.ndarray:
    """Correlated rows in two heaps."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(50).normal(size=(width, width))
    rows = rng.normal(size=(n, width)) @ mixing + 6.0 * (np.arange(n) % 3 == 0)[:, None]
    return rows.astype(np.float32)


def coordinates(metric: str, enrolled: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in the space of the enrolment, the enrolment rounded as it is kept."""
    space = Space.fit(metric, enrolled)
    return space.coordinates(enrolled).astype(np.float16).astype(np.float64), space.coordinates(asked)


def euclidean(asked: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.linalg.norm(asked[:, None].astype(np.float64) - rows[None], axis=2)


@pytest.mark.parametrize("n, width", [(400, 5), (30, 12), (12, 40), (2, 6)])
def test_shrunk_covariance_is_scikit_learns(n: int, width: int) -> None:
    rows = features(n, width)
    centred = rows - rows.mean(axis=0)
    expected, _ = sklearn_ledoit_wolf(centred, assume_centered=True)
    np.testing.assert_allclose(ledoit_wolf(centred), expected, rtol=1e-4, atol=1e-4)


def test_whitening_makes_the_covariance_one() -> None:
    covariance = np.cov(features(300).T)
    matrix = whitening(covariance)
    np.testing.assert_allclose(matrix.T @ covariance @ matrix, np.eye(12), atol=1e-3)


@pytest.mark.parametrize("metric", ["cosine", "spread"])
@pytest.mark.parametrize("k", [3, 20])
def test_local_outlier_factor_is_scikit_learns(metric: str, k: int) -> None:
    enrolled, asked = features(80), features(15, seed=1)
    rows, queries = coordinates(metric, enrolled, asked)
    reference = SklearnLof(n_neighbors=k, novelty=True, algorithm="brute").fit(rows)
    found = LocalOutlierFactor.fit(enrolled, metric=metric, k=k).distance(asked)
    np.testing.assert_allclose(found, -reference.score_samples(queries), rtol=2e-3)


@pytest.mark.parametrize("metric", ["cosine", "spread"])
@pytest.mark.parametrize("k", [1, 4])
def test_local_density_is_the_papers_formula(metric: str, k: int) -> None:
    enrolled, asked = features(40), features(15, seed=1)
    rows, queries = coordinates(metric, enrolled, asked)
    power = (lambda d: 0.5 * d**2) if metric == "cosine" else (lambda d: d)
    among = power(euclidean(rows, rows))
    np.fill_diagonal(among, np.inf)
    spacing = np.sort(among, axis=1)[:, :k].mean(axis=1)
    spacing = np.maximum(spacing, MIN_DENSITY_SHARE * np.median(spacing))
    plain = power(euclidean(queries, rows)) / spacing
    distance, index = LocalDensity.fit(enrolled, metric=metric, k=k).nearest(asked)
    np.testing.assert_allclose(distance, plain.min(axis=1), rtol=2e-3)
    np.testing.assert_array_equal(index, plain.argmin(axis=1))


def test_a_sparse_condition_is_entitled_to_larger_distances() -> None:
    rng = np.random.default_rng(4)
    dense, sparse = rng.normal(size=(60, 4)), 50.0 + 10.0 * rng.normal(size=(60, 4))
    measure = LocalDensity.fit(np.concatenate((dense, sparse)).astype(np.float32), metric="spread")
    beside_dense, beside_sparse = dense.mean(axis=0) + 12.0, sparse.mean(axis=0) + 12.0
    distance = measure.distance(np.array([beside_dense, beside_sparse], np.float32))
    assert distance[0] > 2.0 * distance[1]


@pytest.mark.parametrize("metric", ["cosine", "spread"])
def test_whitened_neighbours_and_mahalanobis_are_the_plain_formulas(metric: str) -> None:
    enrolled, asked = features(200), features(15, seed=1)
    space = Space.fit(metric, enrolled)
    rows, queries = space.coordinates(enrolled).astype(np.float64), space.coordinates(asked).astype(np.float64)
    mean = rows.mean(axis=0)
    inverse = np.linalg.inv(sklearn_ledoit_wolf(rows - mean, assume_centered=True)[0])

    def distances(differences: np.ndarray) -> np.ndarray:
        return np.sqrt(np.einsum("...i,ij,...j->...", differences, inverse, differences) / 12)

    to_mean = Mahalanobis.fit(enrolled, metric=metric).distance(asked)
    np.testing.assert_allclose(to_mean, distances(queries - mean), rtol=1e-3)
    plain = distances(queries[:, None] - rows[None])
    found, index = WhitenedKnn.fit(enrolled, metric=metric).nearest(asked)
    np.testing.assert_allclose(found, plain.min(axis=1), rtol=5e-3)
    np.testing.assert_array_equal(index, plain.argmin(axis=1))


def test_mahalanobis_takes_the_nearer_domain_and_their_common_covariance() -> None:
    rng = np.random.default_rng(6)
    rows = rng.normal(size=(300, 6))
    target = np.arange(300) >= 280
    rows[target] += 30.0
    measure = Mahalanobis.fit(rows.astype(np.float32), target)
    means = np.array([rows[~target].mean(axis=0), rows[target].mean(axis=0)])
    at_means, away = measure.distance(means.astype(np.float32)), measure.distance((means + 3.0).astype(np.float32))
    assert at_means.max() < 0.02
    np.testing.assert_allclose(away, 3.0, rtol=0.15)  # in units of a domain's own spread, not of the gap between both


def test_one_gaussian_with_plenty_of_rows_is_the_sample_covariance_and_mahalanobis_distance() -> None:
    enrolled, asked = features(20_000), features(30, seed=1)
    found = GaussianMixture.fit(enrolled, k=1).distance(asked)
    away = asked - enrolled.mean(axis=0)
    squares = np.einsum("ki,ij,kj->k", away, np.linalg.inv(np.cov(enrolled.T)), away)
    np.testing.assert_allclose(found, np.sqrt(squares / 12), rtol=5e-3)


def test_the_mixture_reaches_scikit_learns_likelihood() -> None:
    rows = features(3000, 6)
    reference = SklearnMixture(2, n_init=3, random_state=0).fit(rows)
    found = fit_mixture(rows, 2, np.random.default_rng(0), prior_rows=1e-3)
    assert found.log_likelihoods[-1] == pytest.approx(reference.score(rows), abs=0.01)
    order = np.argsort(found.means[:, 0])
    np.testing.assert_allclose(found.means[order], reference.means_[np.argsort(reference.means_[:, 0])], atol=0.1)


def test_the_distance_orders_as_scikit_learns_density_does() -> None:
    enrolled, asked = features(3000, 6), 2.0 * features(300, 6, seed=1)
    space = Space.fit("spread", enrolled)
    reference = SklearnMixture(2, n_init=3, random_state=0).fit(space.coordinates(enrolled))
    improbable = -reference.score_samples(space.coordinates(asked))
    found = GaussianMixture.fit(enrolled, k=2).distance(asked)
    ranks = [np.argsort(np.argsort(values)) for values in (found, improbable)]
    assert np.corrcoef(ranks)[0, 1] > 0.999


def test_every_round_of_the_mixture_gains() -> None:
    found = fit_mixture(features(2000, 6), 4, np.random.default_rng(1), prior_rows=1e-6)
    gains = np.diff(found.log_likelihoods)
    assert len(gains) > 2
    assert gains.min() > -1e-4


@pytest.mark.parametrize("k", [1, 3, 7])
def test_k_means_assigns_each_row_to_the_nearest_centre_and_centres_are_means(k: int) -> None:
    rows = np.concatenate([seed * 20.0 + features(30, 4, seed) for seed in range(3)])
    centres, owner = k_means(rows, k, np.random.default_rng(0))
    assert centres.shape == (k, 4)
    np.testing.assert_array_equal(owner, euclidean(rows, centres).argmin(axis=1))
    for i in range(k):
        np.testing.assert_allclose(centres[i], rows[owner == i].mean(axis=0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("metric", ["cosine", "spread"])
def test_centres_sum_up_the_source_and_keep_the_target_whole(metric: str) -> None:
    enrolled, asked = features(90), features(15, seed=1)
    target = np.arange(90) >= 84
    measure = Centres.fit(enrolled, target, metric=metric, k=5)
    assert measure.centres.shape == (5, 12)
    rows, queries = coordinates(metric, enrolled, asked)
    np.testing.assert_allclose(measure.memory, rows[target])
    if metric == "cosine":
        np.testing.assert_allclose(np.linalg.norm(measure.centres, axis=1), 1.0, rtol=1e-5)
    nearest = euclidean(queries, np.concatenate((measure.centres, rows[target]))).min(axis=1)
    np.testing.assert_allclose(
        measure.distance(asked), 0.5 * nearest**2 if metric == "cosine" else nearest, rtol=2e-3, atol=1e-5
    )


def test_the_target_domain_may_have_centres_of_its_own() -> None:
    enrolled, asked, target = features(90), features(15, seed=1), np.arange(90) >= 60
    rows, queries = coordinates("cosine", enrolled, asked)
    middles = np.stack((rows[~target].mean(axis=0), rows[target].mean(axis=0)))
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    measure = Centres.fit(enrolled, target, metric="cosine", k=1, t=1)
    assert measure.centres.shape == measure.memory.shape == (1, 12)
    np.testing.assert_allclose(measure.distance(asked), (1.0 - queries @ middles.T).min(axis=1), rtol=1e-2)
    assert Centres.fit(enrolled, metric="cosine", k=1, t=1).memory.shape == (0, 12)


def test_made_points_lie_between_a_row_and_one_of_its_nearest() -> None:
    rows = features(8, 5)
    made = between_neighbours(rows, 200, 3, np.random.default_rng(0))
    assert made.shape == (200, 5)
    among = euclidean(rows, rows)
    for point in made:
        through = [
            (i, j)
            for i in range(8)
            for j in np.argsort(among[i])[1:4]
            if abs(euclidean(point[None], rows[[i, j]]).sum() - among[i, j]) < 1e-3
        ]
        assert through
    assert between_neighbours(rows[:1], 200, 3, np.random.default_rng(0)).shape == (0, 5)


def test_target_windows_are_multiplied_up_to_their_share() -> None:
    enrolled, target = features(104), np.arange(104) >= 100
    measure = SmoteKnn.fit(enrolled, target, metric="spread", share=0.2)
    assert len(measure.rows) == 104 + 16
    rows, queries = coordinates("spread", enrolled, features(15, seed=1))
    np.testing.assert_allclose(measure.rows[:104], rows)
    nearest = euclidean(queries, measure.rows.astype(np.float64)).min(axis=1)
    np.testing.assert_allclose(measure.distance(features(15, seed=1)), nearest, rtol=1e-3)
    between = 0.5 * (enrolled[100:104, None] + enrolled[None, 100:104])[np.triu_indices(4, 1)]
    without = SmoteKnn.fit(enrolled, metric="spread").distance(between)
    assert (measure.distance(between) <= without).all()
    assert measure.distance(between).mean() < 0.9 * without.mean()
    for share, of_target in ((0.2, np.arange(104) >= 60), (0.0, target), (0.2, np.arange(104) >= 103)):
        assert len(SmoteKnn.fit(enrolled, of_target, metric="spread", share=share).rows) == 104

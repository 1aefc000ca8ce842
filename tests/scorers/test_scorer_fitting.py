"""Fitting, cross-fitting and storing: the same for every scorer, on features with two domains."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.errors import DataError
from edge_asd.scorers import Scorer, cross_fitted, domain_folds, features_of, parse_scorer, parse_scorers, uses_network
from edge_asd.scorers.registry import fitting_measures
from edge_asd.scorers.views import VIEWS

ALL = [f"{view}:{measure}" for view in VIEWS if view != "scores" for measure in fitting_measures(view)]


def normal_features(view: str, n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows around one place, the last tenth around another, and which those are. Of the same machine for any seed."""
    places = np.random.default_rng(99).normal(size=(2, 24))
    rng = np.random.default_rng(seed)
    target = np.arange(n) >= n - max(1, n // 10)
    rows = places[target.astype(int)] + 0.2 * rng.normal(size=(n, 24))
    return (rows if view == "embedding" else 10.0 * rows - 50.0).astype(np.float32), target


def strange_features(view: str, n: int = 20) -> np.ndarray:
    rows = 1.5 * np.random.default_rng(5).normal(size=(n, 24))
    return (rows if view == "embedding" else 10.0 * rows - 50.0).astype(np.float32)


@pytest.mark.parametrize("text", ALL)
def test_strange_sound_is_further_than_normal_sound_of_both_domains(text: str) -> None:
    spec = parse_scorer(text)
    scorer = Scorer.fit(spec, *normal_features(spec.view))
    heard, target = normal_features(spec.view, seed=1)
    near, far = scorer.measure.distance(heard), scorer.measure.distance(strange_features(spec.view))
    assert near.dtype == far.dtype == np.float32
    assert near.shape == (60,)
    assert near[~target].max() < far.min()
    assert np.median(near[target]) < np.median(far)
    assert scorer.measure.width == 24


@pytest.mark.parametrize("text", ALL)
def test_it_comes_back_from_its_arrays_to_the_last_bit(text: str) -> None:
    spec = parse_scorer(text)
    scorer = Scorer.fit(spec, *normal_features(spec.view))
    arrays = scorer.measure.arrays()
    again = Scorer.from_arrays(spec, arrays)
    asked = np.concatenate((normal_features(spec.view, seed=1)[0], strange_features(spec.view)))
    np.testing.assert_array_equal(again.measure.distance(asked), scorer.measure.distance(asked))
    distance, index = scorer.measure.nearest(asked)
    np.testing.assert_array_equal(distance, scorer.measure.distance(asked))
    if index is not None:
        assert scorer.measure.n_windows == 60
        assert 0 <= index.min() <= index.max() < 60


@pytest.mark.parametrize("text", ALL)
def test_the_same_enrolment_gives_the_same_arrays(text: str) -> None:
    spec = parse_scorer(text)
    one, other = (Scorer.fit(spec, *normal_features(spec.view)).measure.arrays() for _ in range(2))
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize("text", ALL)
def test_foreign_arrays_are_refused(text: str) -> None:
    spec = parse_scorer(text)
    arrays = Scorer.fit(spec, *normal_features(spec.view)).measure.arrays()
    for name, array in arrays.items():
        for bad in (
            {key: value for key, value in arrays.items() if key != name},
            {**arrays, name: array.astype(np.complex64)},
            {**arrays, name: array[None]},
            *([] if name == "memory" else [{**arrays, name: array[:0]}]),
        ):
            with pytest.raises(DataError):
                Scorer.from_arrays(spec, bad)
        if array.dtype.kind == "f":
            broken = array.copy()
            broken.flat[0] = np.nan
            with pytest.raises(DataError, match="not a finite number"):
                Scorer.from_arrays(spec, {**arrays, name: broken})


@pytest.mark.parametrize("text", ALL)
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kind", ["source", "target", "mixed"])
def test_a_few_windows_are_enough_to_fit(text: str, n: int, kind: str) -> None:
    spec = parse_scorer(text)
    rows, target = normal_features(spec.view, n)
    target = {"source": None, "target": np.ones(n, bool), "mixed": target}[kind]
    measure = Scorer.fit(spec, rows, target).measure
    found = measure.distance(np.concatenate((rows, strange_features(spec.view))))
    assert np.isfinite(found).all()
    assert measure.distance(rows[:0]).shape == (0,)


@pytest.mark.parametrize("text", ALL)
def test_windows_that_are_all_the_same_are_no_division_by_zero(text: str) -> None:
    spec = parse_scorer(text)
    rows = np.repeat(normal_features(spec.view, 1)[0], 30, axis=0)
    measure = Scorer.fit(spec, rows).measure
    same, other = measure.distance(rows[:1]), measure.distance(strange_features(spec.view))
    assert np.isfinite(same).all() and np.isfinite(other).all()
    assert same[0] < other.min()


def test_cross_fitted_distances_are_those_from_a_scorer_that_never_heard_the_fold() -> None:
    specs = parse_scorers("spectrum:knn+embedding:knn")
    (spectra, target), (embeddings, _) = (normal_features(view) for view in ("spectrum", "embedding"))
    features = {"spectrum": spectra, "embedding": embeddings}
    folds = np.random.default_rng(3).integers(0, 4, 60)
    found = cross_fitted(specs, features, folds, target)
    for i, spec in enumerate(specs):
        rows = features[spec.view]
        for fold in range(4):
            left = Scorer.fit(spec, rows[folds != fold], target[folds != fold])
            np.testing.assert_array_equal(found[folds == fold, i], left.measure.distance(rows[folds == fold]))
    assert np.isnan(cross_fitted(specs, features, np.zeros(60, int), target)).all()


def test_a_fold_with_all_target_pieces_is_split_so_that_some_remain() -> None:
    folds = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    target = np.array([False, False, False, False, True, True, True, True])
    split = domain_folds(folds, target)
    assert split.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    for fold in set(split.tolist()):
        assert target[split != fold].any()


@pytest.mark.parametrize(
    "target", [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 1], [0, 1, 0, 1]], ids=["none", "all", "one", "in two folds"]
)
def test_other_folds_stay_as_they_are(target: list[int]) -> None:
    folds = np.array([0, 0, 1, 1])
    assert domain_folds(folds, np.array(target, bool)).tolist() == folds.tolist()


def test_only_embeddings_use_the_network_and_each_view_is_computed_once(tiny_embedder) -> None:
    windows = np.random.default_rng(0).normal(-50.0, 5.0, (3, 16, 128)).astype(np.float32)
    statistics = parse_scorers("ranked:knn,r=1+ranked:knn,r=1,k=2+spectrum:knn")
    assert not uses_network(statistics)
    found = features_of(statistics, windows, None)
    assert list(found) == ["ranked,r=1.0", "spectrum"]
    np.testing.assert_allclose(found["ranked,r=1.0"], windows.mean(axis=1))
    specs = (*statistics, parse_scorer("embedding:knn"))
    assert uses_network(specs)
    np.testing.assert_array_equal(features_of(specs, windows, tiny_embedder)["embedding"], tiny_embedder.embed(windows))
    with pytest.raises(DataError, match="no network"):
        features_of(specs, windows, None)


@pytest.mark.parametrize("r", [0.0, 0.5, 0.95, 1.0, 1.05, 2.0])
def test_rank_pooling_is_the_plain_formula(r: float) -> None:
    windows = np.random.default_rng(1).normal(-50.0, 5.0, (2, 16, 128)).astype(np.float32)
    (found,) = features_of([parse_scorer(f"ranked:knn,r={r}")], windows, None).values()
    for k in range(2):
        for band in (0, 50, 127):
            ranked = sorted(windows[k, :, band].tolist(), reverse=True)
            weights = [r**i for i in range(16)]
            plain = sum(w * x for w, x in zip(weights, ranked, strict=True)) / sum(weights)
            assert found[k, band] == pytest.approx(plain, rel=1e-5)
    assert found.shape == (2, 128)

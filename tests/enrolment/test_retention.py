"""A budget for the windows kept in a bundle: never exceeded, whatever the scorers, and the threshold knows of it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from edge_asd.bank import DEFAULT_METHOD, METHODS, unit_vectors
from edge_asd.bundle.bundle import Bundle, load_bundle, save_bundle
from edge_asd.config.settings import ModelConfig, fields_of
from edge_asd.contract import LogMelSpec, ModelContract
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.enrolment.retention import Retention, check_budget
from edge_asd.errors import DataError
from edge_asd.normal import NormalSound
from edge_asd.scorers import cross_fitted, parse_scorers
from edge_asd.scorers.registry import fitting_measures

N, WIDTH = 240, 32
SPECTRUM_BYTES = 32
WINDOW_BYTES = WIDTH + 4 + SPECTRUM_BYTES + 5
"""int8 embedding, scale, uint8 spectrum (which its scorer shares), tags."""
DEFAULT = parse_scorers("embedding:knn+spectrum:knn")


@pytest.fixture
def heard() -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Features, spectra and target flags of windows around a few sounds."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 8, N)
    embeddings = rng.standard_normal((8, WIDTH))[kind] + 0.2 * rng.standard_normal((N, WIDTH))
    spectra = (10 * rng.standard_normal((8, SPECTRUM_BYTES))[kind] + rng.standard_normal((N, SPECTRUM_BYTES))) - 40
    features = {"embedding": embeddings.astype(np.float32), "spectrum": spectra.astype(np.float32)}
    return features, features["spectrum"], np.arange(N) >= N - 6


def kept_bytes(normal: NormalSound) -> int:
    """What a bundle's members take that would grow with the enrolment."""
    members = {array.tobytes(): array.nbytes for array in normal.tags.arrays().values()}
    members[normal.spectra.codes.tobytes()] = normal.spectra.codes.nbytes
    for scorer in normal.scorers:
        arrays = scorer.measure.arrays()
        members |= {arrays[name].tobytes(): arrays[name].nbytes for name in scorer.measure.growing()}
    return sum(members.values())


@pytest.mark.parametrize("view", ["embedding", "spectrum"])
@pytest.mark.parametrize("measure", sorted(fitting_measures("embedding")))
def test_no_scorer_exceeds_the_budget(heard, view: str, measure: str) -> None:
    features, spectra_db, target = heard
    specs = parse_scorers(f"{view}:{measure}")
    budget = 40 * WINDOW_BYTES
    retention = Retention(specs, features, spectra_db, target, budget)
    kept = retention.kept()
    normal = NormalSound.fit(specs, features, spectra_db, target, kept=kept)
    assert len(normal) == retention.n_kept == len(set(kept.tolist())) < N
    assert kept_bytes(normal) <= retention.taken_bytes() <= budget
    assert normal.tags.domains.sum() == 6  # few target windows: all are kept
    np.testing.assert_allclose(normal.spectra.levels_db, spectra_db[kept], atol=0.15)


def test_the_default_scorers_use_what_the_budget_gives(heard) -> None:
    retention = Retention(DEFAULT, *heard, budget_bytes=50 * WINDOW_BYTES + WINDOW_BYTES - 1)
    assert retention.n_kept == 50
    assert retention.taken_bytes() == 50 * WINDOW_BYTES


def test_a_description_of_the_whole_enrolment_is_fitted_on_all_of_it(heard) -> None:
    features, spectra_db, target = heard
    specs = parse_scorers("embedding:maha+spectrum:knn")
    kept = Retention(specs, features, spectra_db, target, 20 * WINDOW_BYTES).kept()
    compact, whole = (NormalSound.fit(specs, features, spectra_db, target, kept=k) for k in (kept, None))
    for name, array in whole.scorers[0].measure.arrays().items():
        np.testing.assert_array_equal(compact.scorers[0].measure.arrays()[name], array)
    assert compact.scorers[1].measure.n_windows == len(kept) < N


def test_a_large_budget_drops_nothing(heard) -> None:
    retention = Retention(DEFAULT, *heard, budget_bytes=10**7)
    assert not retention.drops
    np.testing.assert_array_equal(retention.kept(), np.arange(N))


def test_a_budget_below_one_window_is_refused_with_its_size(heard) -> None:
    with pytest.raises(DataError, match=rf"bank budget of {WINDOW_BYTES - 1} bytes: one window takes {WINDOW_BYTES}"):
        Retention(DEFAULT, *heard, budget_bytes=WINDOW_BYTES - 1)


@pytest.mark.parametrize("scorers", ["embedding:knn+spectrum:knn", "embedding:lof+ranked:white", "spectrum:gmm"])
def test_the_least_budget_is_known_before_a_window_is_heard(scorers: str) -> None:
    contract = ModelContract("tiny", "1", LogMelSpec(n_mels=16), embedding_size=WIDTH)
    specs = parse_scorers(scorers)
    rng = np.random.default_rng(1)
    spectra_db = rng.standard_normal((N, SPECTRUM_BYTES)).astype(np.float32)
    views = {spec.features: rng.standard_normal((N, spec.width(contract))).astype(np.float32) for spec in specs}
    retention = Retention(specs, {**views, "spectrum": spectra_db}, spectra_db, np.zeros(N, bool), 600)
    with pytest.raises(DataError, match="one window takes") as refused:
        check_budget(specs, contract, 1)
    least = int(re.search(r"takes (\d+)", refused.value.message)[1])
    check_budget(specs, contract, least)
    assert least <= retention.taken_bytes() / retention.n_kept


@pytest.mark.parametrize("method", METHODS)
def test_kept_windows_are_near_all_others(heard, method: str) -> None:
    features, spectra_db, target = heard
    kept = Retention(DEFAULT, features, spectra_db, target, 30 * WINDOW_BYTES, method).kept()
    rows = unit_vectors(features["embedding"])
    # Eight sounds: every window has one of its own sound among the kept.
    assert (rows @ rows[kept].T).max(axis=1).min() > 0.7


def test_cross_fitting_compacts_every_part_alike(heard) -> None:
    features, spectra_db, target = heard
    folds = np.arange(N) // 60
    retention = Retention(DEFAULT, features, spectra_db, target, 30 * WINDOW_BYTES)
    found = cross_fitted(DEFAULT, features, folds, target, keep=retention.kept)
    for fold in range(4):
        others = np.flatnonzero(folds != fold)
        kept = others[retention.kept(others)]
        assert len(kept) == 30
        alone = NormalSound.fit(DEFAULT, features, spectra_db, target, kept=kept)
        asked = {name: rows[folds == fold] for name, rows in features.items()}
        for i, scorer in enumerate(alone.scorers):
            np.testing.assert_allclose(
                found[folds == fold, i], scorer.measure.distance(asked[scorer.spec.features]), rtol=1e-5
            )


def enrolled(tiny_model, tiny_embedder, steady_sound, budget_bytes: int | None) -> Bundle:
    enrolment = Enrolment(tiny_model, tiny_embedder, bank_budget_bytes=budget_bytes, enrolled_s=1_700_000_000.5)
    for i in range(6):
        enrolment.add_samples(steady_sound(20.0, seed=i), f"part {i}", domain="target" if i == 5 else None)
    return enrolment.finish({})


def test_an_enrolment_to_a_budget(tiny_model, tiny_embedder, steady_sound, tmp_path) -> None:
    whole, compact = (enrolled(tiny_model, tiny_embedder, steady_sound, budget) for budget in (None, 16_384))
    assert "bank" not in whole.enrolment
    bank = compact.enrolment["bank"]
    assert bank["windows"] == len(compact.normal) < len(whole.normal) == compact.enrolment["windows"]
    assert bank["bytes"] == kept_bytes(compact.normal) <= bank["budget_bytes"] == 16_384
    assert bank["method"] == DEFAULT_METHOD
    assert bank["further_percent"] > 0
    # The threshold was fitted on distances to what is kept, for every window that was heard.
    assert compact.enrolment_scores.distances.shape == whole.enrolment_scores.distances.shape
    assert np.median(compact.enrolment_scores.distances[:, 0]) > np.median(whole.enrolment_scores.distances[:, 0])
    save_bundle(compact, tmp_path / "a.asd")
    again = load_bundle(tmp_path / "a.asd")
    assert set(again.normal.tags.enrolled_s.tolist()) == {1_700_000_000}
    np.testing.assert_array_equal(again.normal.tags.domains, compact.normal.tags.domains)
    assert 0 < again.normal.tags.domains.sum() < len(again.normal)


def test_the_settings_offer_the_methods_there_are() -> None:
    assert fields_of("model")["bank_method"].metadata["choices"] == METHODS
    assert ModelConfig().bank_method == DEFAULT_METHOD

"""Normal sound: every scorer is asked about its own view, and the window to explain against is an enrolled one."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.bank import EmbeddingBank
from edge_asd.errors import DataError
from edge_asd.frontend import log_mel
from edge_asd.normal import NormalSound
from edge_asd.scorers import Scorer, features_of, parse_scorers
from edge_asd.scorers.neighbours import SpreadKnn
from edge_asd.spectra import SpectrumBank, window_spectra
from edge_asd.windows import clip_windows

SPECS = parse_scorers("spectrum:knn+embedding:knn")


@pytest.fixture(scope="module")
def enrolled(tiny_model, steady_sound) -> np.ndarray:
    """Windows of 20 s of normal sound."""
    return clip_windows(log_mel(steady_sound(20.0), tiny_model.contract.features), tiny_model.contract)[0]


@pytest.fixture(scope="module")
def asked(tiny_model, steady_sound) -> np.ndarray:
    """Windows of another 3 s with a tone."""
    samples = steady_sound(3.0, seed=1, tone_hz=3000.0, tone_amplitude=0.01)
    return clip_windows(log_mel(samples, tiny_model.contract.features), tiny_model.contract)[0]


@pytest.fixture(scope="module")
def normal(enrolled, tiny_embedder) -> NormalSound:
    return NormalSound.fit(SPECS, features_of(SPECS, enrolled, tiny_embedder), window_spectra(enrolled))


def test_scorers_of_different_numbers_of_windows_are_refused(normal, enrolled) -> None:
    with pytest.raises(DataError, match=r"spectrum:knn: \d+ windows, but 3 enrolled spectra"):
        NormalSound(normal.scorers, SpectrumBank.fit(window_spectra(enrolled[:3])))
    with pytest.raises(DataError, match="without a scorer"):
        NormalSound((), normal.spectra)


def test_comparing_is_asking_every_scorer(normal, enrolled, asked, tiny_embedder) -> None:
    found = normal.compare(asked, tiny_embedder)
    from_embeddings, nearest_embedding = EmbeddingBank.fit(tiny_embedder.embed(enrolled)).nearest(
        tiny_embedder.embed(asked)
    )
    from_spectra, nearest_spectrum = SpreadKnn.fit(window_spectra(enrolled)).nearest(window_spectra(asked))
    assert found.distances.dtype == np.float32
    np.testing.assert_array_equal(found.distances, np.stack((from_spectra, from_embeddings), axis=1))
    np.testing.assert_array_equal(found.spectra_db, window_spectra(asked))
    np.testing.assert_array_equal(found.nearest, nearest_embedding)
    assert (nearest_spectrum != nearest_embedding).any()


def test_an_enrolled_window_finds_itself(normal, enrolled, tiny_embedder) -> None:
    found = normal.compare(enrolled, tiny_embedder)
    np.testing.assert_array_equal(found.nearest, np.arange(len(enrolled)))
    strange = normal.compare(enrolled + np.linspace(-10.0, 10.0, 128, dtype=np.float32), tiny_embedder)
    assert (found.distances.max(axis=0) < 0.1 * strange.distances.min(axis=0)).all()


def test_statistics_alone_need_no_network_and_still_name_a_window(enrolled, asked, normal, tiny_embedder) -> None:
    for text in ("spectrum:knn", "ranked:knn"):
        specs = parse_scorers(text)
        alone = NormalSound.fit(specs, features_of(specs, enrolled, None), window_spectra(enrolled))
        assert not alone.uses_network
        found = alone.compare(asked, None)
        np.testing.assert_array_equal(
            found.distances,
            Scorer.fit(specs[0], features_of(specs, enrolled, None)[specs[0].features]).measure.distance(
                features_of(specs, asked, None)[specs[0].features]
            )[:, None],
        )
        assert found.nearest.shape == (len(asked),)
    assert normal.uses_network
    with pytest.raises(DataError, match="no network was started"):
        normal.compare(asked, None)

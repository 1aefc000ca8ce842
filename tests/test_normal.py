"""Normal sound from two sides: each side is its own bank, and row i of both is the same window."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.bank import EmbeddingBank
from edge_asd.errors import DataError
from edge_asd.frontend import log_mel
from edge_asd.normal import VIEWS, NormalSound
from edge_asd.spectra import SpectrumBank, window_spectra
from edge_asd.windows import clip_windows

SIZE, N_SPECTRUM = 24, 256


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
    return NormalSound.fit(tiny_embedder.embed(enrolled), window_spectra(enrolled))


@pytest.mark.parametrize("n_embeddings, n_spectra", [(3, 2), (2, 3), (1, 50)])
def test_sides_of_different_numbers_of_windows_are_refused(n_embeddings: int, n_spectra: int) -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((n_embeddings, SIZE)).astype(np.float32)
    spectra_db = rng.standard_normal((n_spectra, N_SPECTRUM)).astype(np.float32)
    with pytest.raises(DataError, match=f"{n_embeddings} embeddings but {n_spectra} spectra"):
        NormalSound.fit(embeddings, spectra_db)
    with pytest.raises(DataError, match=f"{n_embeddings} embeddings but {n_spectra} spectra"):
        NormalSound(EmbeddingBank.fit(embeddings), SpectrumBank.fit(spectra_db))


def test_it_holds_every_window_on_both_sides(normal, enrolled, tiny_embedder) -> None:
    assert len(normal) == len(normal.embeddings) == len(normal.spectra) == len(enrolled)
    np.testing.assert_array_equal(normal.embeddings.vectors, EmbeddingBank.fit(tiny_embedder.embed(enrolled)).vectors)
    np.testing.assert_array_equal(normal.spectra.levels_db, window_spectra(enrolled).astype(np.float16))


def test_comparing_is_asking_both_banks(normal, enrolled, asked, tiny_embedder) -> None:
    found = normal.compare(asked, tiny_embedder)
    from_embeddings, nearest_embedding = EmbeddingBank.fit(tiny_embedder.embed(enrolled)).nearest(
        tiny_embedder.embed(asked)
    )
    from_spectra, nearest_spectrum = SpectrumBank.fit(window_spectra(enrolled)).nearest(window_spectra(asked))
    assert found.distances.shape == (len(asked), len(VIEWS))
    assert found.distances.dtype == np.float32
    np.testing.assert_array_equal(found.distances[:, VIEWS.index("embedding")], from_embeddings)
    np.testing.assert_array_equal(found.distances[:, VIEWS.index("spectrum")], from_spectra)
    np.testing.assert_array_equal(found.spectra_db, window_spectra(asked))
    np.testing.assert_array_equal(found.nearest, nearest_embedding)
    assert (nearest_spectrum != nearest_embedding).any()


def test_an_enrolled_window_finds_itself(normal, enrolled, tiny_embedder) -> None:
    found = normal.compare(enrolled, tiny_embedder)
    np.testing.assert_array_equal(found.nearest, np.arange(len(enrolled)))
    strange = normal.compare(enrolled + np.linspace(-10.0, 10.0, 128, dtype=np.float32), tiny_embedder)
    assert (found.distances.max(axis=0) < 0.1 * strange.distances.min(axis=0)).all()


def test_leaving_a_fold_out_is_doing_so_on_both_sides(normal, enrolled, tiny_embedder) -> None:
    embeddings = tiny_embedder.embed(enrolled)
    folds = np.arange(len(enrolled)) * 4 // len(enrolled)
    found = normal.leave_fold_out(embeddings, folds)
    assert found.shape == (len(enrolled), len(VIEWS))
    np.testing.assert_array_equal(found[:, 0], normal.embeddings.leave_fold_out(embeddings, folds))
    np.testing.assert_array_equal(found[:, 1], normal.spectra.leave_fold_out(folds))
    assert np.isfinite(found).all()
    assert np.isnan(normal.leave_fold_out(embeddings, np.zeros(len(enrolled), int))).all()

"""The spectrum side of normal sound."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.errors import DataError
from edge_asd.spectra import SPREAD_FLOOR_DB, SpectrumBank, window_spectra


def _spectra(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(-40.0, 4.0, (n, 1)).astype(np.float32) + rng.normal(0.0, 2.0, (n, 16)).astype(np.float32)


def test_window_spectra_are_mean_and_deviation_over_time() -> None:
    windows = np.random.default_rng(0).normal(size=(3, 64, 8)).astype(np.float32)
    spectra = window_spectra(windows)
    assert spectra.shape == (3, 16)
    np.testing.assert_allclose(spectra[:, :8], windows.mean(axis=1))
    np.testing.assert_allclose(spectra[:, 8:], windows.std(axis=1))


def test_nearest_is_the_plain_formula() -> None:
    enrolled, asked = _spectra(50), _spectra(9, seed=1)
    bank = SpectrumBank.fit(enrolled)
    kept = bank.levels_db.astype(np.float64)
    spread = kept.std(axis=0) + SPREAD_FLOOR_DB
    plain = np.sqrt((((asked[:, None] - kept[None]) / spread) ** 2).mean(axis=2))
    distance, index = bank.nearest(asked)
    np.testing.assert_allclose(distance, plain.min(axis=1), rtol=1e-4)
    np.testing.assert_array_equal(index, plain.argmin(axis=1))


def test_a_spectrum_is_at_no_distance_from_itself_however_loud() -> None:
    bank = SpectrumBank.fit(_spectra(20) + 60.0)
    distance, index = bank.nearest(bank.levels_db.astype(np.float32))
    np.testing.assert_array_equal(index, np.arange(20))
    assert distance.max() < 2e-3


def test_leaving_a_fold_out_equals_a_bank_without_it() -> None:
    enrolled, folds = _spectra(30), np.repeat([0, 1, 2], 10)
    bank = SpectrumBank.fit(enrolled)
    kept = bank.levels_db.astype(np.float32)
    expected, _ = SpectrumBank.fit(kept[folds != 1]).nearest(kept[folds == 1])
    np.testing.assert_allclose(bank.leave_fold_out(folds)[folds == 1], expected, rtol=1e-5)


def test_one_fold_alone_gives_no_distance() -> None:
    assert np.isnan(SpectrumBank.fit(_spectra(5)).leave_fold_out(np.zeros(5, int))).all()


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((0, 4), np.float16),
        np.zeros((3, 4)),
        np.zeros(4, np.float16),
        np.full((3, 4), np.nan, np.float16),
        np.full((3, 4), np.inf, np.float16),
    ],
    ids=["none", "other type", "one axis", "nan", "inf"],
)
def test_what_is_no_bank_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(DataError, match="spectrum bank"):
        SpectrumBank(bad)

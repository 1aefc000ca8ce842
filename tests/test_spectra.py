"""The spectra of enrolled windows."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.errors import DataError
from edge_asd.spectra import SpectrumBank, window_spectra


def test_window_spectra_are_mean_and_deviation_over_time() -> None:
    windows = np.random.default_rng(0).normal(size=(3, 64, 8)).astype(np.float32)
    spectra = window_spectra(windows)
    assert spectra.shape == (3, 16)
    np.testing.assert_allclose(spectra[:, :8], windows.mean(axis=1))
    np.testing.assert_allclose(spectra[:, 8:], windows.std(axis=1))


def test_the_bank_knows_each_windows_mean_spectrum() -> None:
    windows = np.random.default_rng(1).normal(-40.0, 5.0, (4, 64, 8)).astype(np.float32)
    bank = SpectrumBank.fit(window_spectra(windows))
    assert len(bank) == 4
    np.testing.assert_allclose(bank.mean_db, windows.mean(axis=1), atol=0.02)


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

"""The spectra of enrolled windows."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.errors import DataError
from edge_asd.levels import Levels
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
    np.testing.assert_allclose(bank.mean_db, windows.mean(axis=1), atol=0.05)


@pytest.mark.parametrize("width", [0, 16])
@pytest.mark.parametrize(
    "codes",
    [np.zeros((0, 16), np.uint8), np.zeros((3, 16)), np.zeros(16, np.uint8)],
    ids=["none", "other type", "one axis"],
)
def test_what_is_no_bank_is_refused(codes: np.ndarray, width: int) -> None:
    with pytest.raises(DataError, match="spectrum bank"):
        SpectrumBank(codes, np.zeros(width, np.float32), np.ones(width, np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_levels_that_are_no_numbers_are_refused(bad: float) -> None:
    good, broken = np.zeros(16, np.float32), np.full(16, bad, np.float32)
    for lowest, step in ((broken, good), (good, broken), (good[:5], good), (good.astype(np.float64), good)):
        with pytest.raises(DataError, match="spectrum bank"):
            SpectrumBank(np.zeros((3, 16), np.uint8), lowest, step)


def test_levels_come_back_to_within_half_a_step() -> None:
    rng = np.random.default_rng(2)
    rows = rng.uniform(-90.0, -20.0, (200, 16)).astype(np.float32)
    rows[:, 3] = -50.0
    levels = Levels.of(rows)
    away = np.abs(levels.rows() - rows)
    assert (away <= 0.5 * levels.step + 1e-4).all()
    assert away[:, 3].max() == 0.0
    np.testing.assert_array_equal(Levels.of(levels.rows()).codes, levels.codes)

"""Nearest neighbours against the plain formulas."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.scorers.neighbours import CosineKnn, SpreadKnn
from edge_asd.scorers.space import SPREAD_FLOOR_DB, Search


def spectra(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(-40.0, 4.0, (n, 1)).astype(np.float32) + rng.normal(0.0, 2.0, (n, 16)).astype(np.float32)


@pytest.mark.parametrize("k", [1, 3])
def test_spread_distance_is_the_plain_formula(k: int) -> None:
    enrolled, asked = spectra(50), spectra(9, seed=1)
    measure = SpreadKnn.fit(enrolled, k=k)
    kept = measure.rows.astype(np.float64)
    spread = kept.std(axis=0) + SPREAD_FLOOR_DB
    plain = np.sqrt((((asked[:, None] - kept[None]) / spread) ** 2).mean(axis=2))
    distance, index = measure.nearest(asked)
    np.testing.assert_allclose(distance, np.sort(plain, axis=1)[:, :k].mean(axis=1), rtol=1e-4)
    np.testing.assert_array_equal(index, plain.argmin(axis=1))


@pytest.mark.parametrize("k", [1, 3, 50, 70])
def test_cosine_distance_is_the_plain_formula_but_for_int8(k: int) -> None:
    enrolled, asked = spectra(50) + 40.0, spectra(9, seed=1) + 40.0
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (enrolled, asked)]
    plain = 1.0 - unit[1] @ unit[0].T
    distance = CosineKnn.fit(enrolled, k=k).distance(asked)
    np.testing.assert_allclose(distance, np.sort(plain, axis=1)[:, :k].mean(axis=1), atol=4e-3)


def test_a_spectrum_is_at_no_distance_from_itself_however_loud() -> None:
    measure = SpreadKnn.fit(spectra(20) + 60.0)
    distance, index = measure.nearest(measure.rows)
    np.testing.assert_array_equal(index, np.arange(20))
    assert distance.max() < 2e-3


@pytest.mark.parametrize("k", [1, 4, 40])
def test_own_neighbours_leave_the_row_itself_out(k: int) -> None:
    rows = spectra(30) + 40.0
    squares = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    for block in (7, 1024):
        found, index = Search(rows).own_neighbours(k, block=block)
        np.testing.assert_allclose(found, np.sort(squares, axis=1)[:, : min(k, 29)], rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(np.take_along_axis(squares, index, axis=1), found, rtol=1e-3, atol=1e-2)

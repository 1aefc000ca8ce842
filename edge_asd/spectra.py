"""Normal spectra: what a network was never taught to hear still shows in plain statistics of the log-mel.

A window is its mean and its standard deviation over time in every band, compared with the nearest enrolled window in
units of the enrolment's own spread. In stationary noise this beats learned embeddings; where operating conditions
change it loses to them; together they are better than either (see benchmarks/RESULTS.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edge_asd.errors import DataError

SPREAD_FLOOR_DB = 0.5
"""Added to each band's spread, so that a band that never moved in minutes of sound does not decide alone."""


def window_spectra(windows: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over time: log-mel windows [k, frames, n_mels] -> float32 [k, 2 n_mels] in dB."""
    return np.concatenate((windows.mean(axis=1), windows.std(axis=1)), axis=1)


@dataclass(frozen=True)
class SpectrumBank:
    """Normal windows as spectra.

    levels_db: float16 [n, 2 n_mels], as `window_spectra` gives them.
    """

    levels_db: np.ndarray

    def __post_init__(self) -> None:
        if self.levels_db.ndim != 2 or len(self.levels_db) == 0 or self.levels_db.dtype != np.float16:
            raise DataError(
                f"spectrum bank: {self.levels_db.dtype} {list(self.levels_db.shape)}, expected float16 [n, 2m]"
            )
        if not np.isfinite(self.levels_db).all():
            raise DataError("spectrum bank: levels are not finite numbers")

    @classmethod
    def fit(cls, spectra_db: np.ndarray) -> SpectrumBank:
        """Keep spectra [n, 2 n_mels]."""
        return cls(spectra_db.astype(np.float16))

    def __len__(self) -> int:
        return len(self.levels_db)

    @property
    def mean_db(self) -> np.ndarray:
        """Mean log-mel of each window, float32 [n, n_mels]."""
        return self.levels_db[:, : self.levels_db.shape[1] // 2].astype(np.float32)

    @cached_property
    def _search(self) -> _SpreadSearch:
        return _SpreadSearch(self.levels_db.astype(np.float32))

    def nearest(self, spectra_db: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance to the nearest normal spectrum in spreads (root mean square over the bands), and which.

        spectra_db: float32 [q, 2 n_mels]. Returns float32 [q] and int [q].
        """
        return self._search.nearest(spectra_db)

    def leave_fold_out(self, folds: np.ndarray) -> np.ndarray:
        """Distance of each enrolled spectrum to the nearest of any *other* fold, float32 [n]; NaN where all is one.

        folds: int [n]. The spread, too, is measured without the fold that is scored.
        """
        levels_db = self.levels_db.astype(np.float32)
        distance = np.full(len(levels_db), np.nan, np.float32)
        for fold in np.unique(folds):
            inside = folds == fold
            if not inside.all():
                distance[inside] = _SpreadSearch(levels_db[~inside]).nearest(levels_db[inside])[0]
        return distance


class _SpreadSearch:
    """Nearest neighbour after dividing every band by its spread."""

    def __init__(self, levels_db: np.ndarray) -> None:
        self._middle = levels_db.mean(axis=0)  # centred, or float32 would lose the distance among large squares
        self._scale = 1.0 / ((levels_db.std(axis=0) + np.float32(SPREAD_FLOOR_DB)) * np.sqrt(levels_db.shape[1]))
        self._scaled = (levels_db - self._middle) * self._scale
        self._squares = np.square(self._scaled).sum(axis=1)

    def nearest(self, levels_db: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scaled = (levels_db - self._middle) * self._scale
        partial = self._squares - 2.0 * (scaled @ self._scaled.T)
        index = partial.argmin(axis=1)
        square = partial[np.arange(len(index)), index] + np.square(scaled).sum(axis=1)
        return np.sqrt(np.maximum(square, 0.0)).astype(np.float32), index

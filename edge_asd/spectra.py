"""The spectra of windows, and those of the enrolled ones: what a change is explained against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_asd.errors import DataError


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

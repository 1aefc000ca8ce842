"""The spectra of windows, and those of the enrolled ones: what a change is explained against."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edge_asd.errors import DataError
from edge_asd.levels import Levels


def window_spectra(windows: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over time: log-mel windows [k, frames, n_mels] -> float32 [k, 2 n_mels] in dB."""
    return np.concatenate((windows.mean(axis=1), windows.std(axis=1)), axis=1)


@dataclass(frozen=True)
class SpectrumBank:
    """Normal windows as spectra, as `window_spectra` gives them.

    codes: uint8 [n, 2 n_mels], lowest, step: float32 [2 n_mels], as `edge_asd.levels.Levels` has them.
    """

    codes: np.ndarray
    lowest: np.ndarray
    step: np.ndarray

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or len(self.codes) == 0 or self.codes.dtype != np.uint8:
            raise DataError(f"spectrum bank: {self.codes.dtype} {list(self.codes.shape)}, expected uint8 [n, 2m]")
        for name, values in (("lowest", self.lowest), ("step", self.step)):
            if values.shape != self.codes.shape[1:] or values.dtype != np.float32 or not np.isfinite(values).all():
                raise DataError(f"spectrum bank: {name} is not one finite float32 a band")

    @classmethod
    def fit(cls, spectra_db: np.ndarray) -> SpectrumBank:
        """Keep spectra [n, 2 n_mels]."""
        levels = Levels.of(spectra_db)
        return cls(levels.codes, levels.lowest, levels.step)

    def __len__(self) -> int:
        return len(self.codes)

    def arrays(self) -> dict[str, np.ndarray]:
        """What a bundle stores: the fields by name."""
        return {"codes": self.codes, "lowest": self.lowest, "step": self.step}

    @cached_property
    def levels_db(self) -> np.ndarray:
        """float32 [n, 2 n_mels]."""
        return Levels(self.codes, self.lowest, self.step).rows()

    @property
    def mean_db(self) -> np.ndarray:
        """Mean log-mel of each window, float32 [n, n_mels]."""
        return self.levels_db[:, : self.codes.shape[1] // 2]

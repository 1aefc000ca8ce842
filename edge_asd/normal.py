"""A machine's normal sound from two sides: embeddings and spectra. Everything that is scored is scored here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_asd.bank import EmbeddingBank
from edge_asd.errors import DataError
from edge_asd.inference import Embedder
from edge_asd.spectra import SpectrumBank, window_spectra

VIEWS = ("embedding", "spectrum")
"""The sides, in the order of every array of distances."""


@dataclass(frozen=True)
class Comparison:
    """Windows held against normal sound.

    distances: float32 [k, views], larger = further from normal; each side has its own unit.
    spectra_db: float32 [k, 2 n_mels], the windows' own spectra.
    nearest: int [k], the enrolled window with the nearest embedding, to explain a change against. The one with the
        nearest spectrum would hide part of the change: it is the one that happens to share the most of it.
    """

    distances: np.ndarray
    spectra_db: np.ndarray
    nearest: np.ndarray


@dataclass(frozen=True)
class NormalSound:
    """The enrolled windows: row i of both banks is the same window."""

    embeddings: EmbeddingBank
    spectra: SpectrumBank

    def __post_init__(self) -> None:
        if len(self.embeddings) != len(self.spectra):
            raise DataError(f"bank: {len(self.embeddings)} embeddings but {len(self.spectra)} spectra")

    @classmethod
    def fit(cls, embeddings: np.ndarray, spectra_db: np.ndarray) -> NormalSound:
        """From embeddings [n, d] and spectra [n, 2 n_mels] of the same windows."""
        return cls(EmbeddingBank.fit(embeddings), SpectrumBank.fit(spectra_db))

    def __len__(self) -> int:
        return len(self.embeddings)

    def compare(self, windows: np.ndarray, embedder: Embedder) -> Comparison:
        """Hold log-mel windows [k, window_frames, n_mels] against the banks."""
        spectra_db = window_spectra(windows)
        from_embeddings, nearest = self.embeddings.nearest(embedder.embed(windows))
        from_spectra, _ = self.spectra.nearest(spectra_db)
        return Comparison(np.stack((from_embeddings, from_spectra), axis=1), spectra_db, nearest)

    def leave_fold_out(self, embeddings: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """Distances [n, views] of each enrolled window to the nearest of any *other* fold; NaN where all is one fold.

        embeddings: float32 [n, d], the rows the bank was fitted on. folds: int [n], the part of the enrolment each
        came from; parts are left out whole, since windows of one part resemble each other more than tomorrow's will.
        """
        return np.stack((self.embeddings.leave_fold_out(embeddings, folds), self.spectra.leave_fold_out(folds)), axis=1)

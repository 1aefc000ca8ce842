"""Which enrolled windows a bundle keeps where their bytes are limited.

The same windows are kept for every scorer that compares with single ones, and for the explanation, so that row i is
one window everywhere. Scorers that describe the enrolment as a whole are fitted on all of it: they do not grow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edge_asd.bank.compaction import DEFAULT_METHOD, kept_rows
from edge_asd.bank.tags import TAG_BYTES
from edge_asd.errors import DataError
from edge_asd.scorers import Features, Scorer, ScorerSpec
from edge_asd.scorers.scorer import SEED
from edge_asd.scorers.space import Space
from edge_asd.spectra import SpectrumBank


class Retention:
    """Chooses windows to keep among enrolled ones; made once, and asked again for every part of the enrolment.

    specs, features, spectra_db: what is enrolled, as `edge_asd.normal.NormalSound.fit` takes it.
    target: bool [n], windows of the target domain; each domain is compacted for itself.
    budget_bytes: what all that is kept of single windows may take together, tags included.
    method: one of `edge_asd.bank.METHODS`.

    Windows are judged by the first scorer that keeps them (one of embeddings, if there is one); by their spectra where
    none does. Raises DataError for a budget that holds no window.
    """

    def __init__(
        self,
        specs: Sequence[ScorerSpec],
        features: Features,
        spectra_db: np.ndarray,
        target: np.ndarray,
        budget_bytes: int,
        method: str = DEFAULT_METHOD,
    ) -> None:
        keeping = [spec for spec in specs if spec.measure_of.keeps_windows()]
        keeping.sort(key=lambda spec: not spec.view_of.uses_network)
        metric, rows = ("spread", spectra_db) if not keeping else (keeping[0].view_of.metric, None)
        rows = features[keeping[0].features] if rows is None else rows
        self._points = Space.fit(metric, rows).coordinates(rows)
        self._domains = target.astype(np.uint8)
        self._method = method
        self.window_bytes = _window_bytes(keeping, features, spectra_db)
        self.n_kept = min(len(rows), budget_bytes // self.window_bytes)
        if self.n_kept < 1:
            raise DataError(
                f"bank budget of {budget_bytes} bytes: one window takes {self.window_bytes}",
                remedy="give more; 64KiB is good",
            )

    @property
    def drops(self) -> bool:
        """Whether the budget holds fewer windows than were enrolled."""
        return self.n_kept < len(self._points)

    def kept(self, among: np.ndarray | None = None) -> np.ndarray:
        """Positions, in `among`, of the windows to keep of these; int, ascending. among: int [m]; None: all."""
        rows = np.arange(len(self._points)) if among is None else among
        return kept_rows(self._points[rows], self._domains[rows], self.n_kept, self._method, SEED)


def _window_bytes(keeping: Sequence[ScorerSpec], features: Features, spectra_db: np.ndarray) -> int:
    """What one more window takes in a bundle; an array that two scorers share is stored once."""
    arrays = [SpectrumBank.fit(spectra_db[:1]).levels_db]
    for spec in keeping:
        measure = Scorer.fit(spec, features[spec.features][:1]).measure
        for own in _rows_of(measure.ARRAYS, measure.arrays()):
            if not any(own.dtype == known.dtype and np.array_equal(own, known) for known in arrays):
                arrays.append(own)
    return TAG_BYTES + sum(array.nbytes for array in arrays)


def _rows_of(described: Mapping[str, tuple[str, str]], arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The arrays that have a row a window."""
    return [arrays[name] for name, (_, axes) in described.items() if "n" in axes]

"""Which enrolled windows a bundle keeps where their bytes are limited.

The same windows are kept for every scorer that compares with single ones, and for the explanation, so that row i is
one window everywhere. Scorers that describe the enrolment as a whole are fitted on all of it: they do not grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_asd.bank.compaction import DEFAULT_METHOD, kept_rows
from edge_asd.bank.tags import TAG_BYTES
from edge_asd.contract import ModelContract
from edge_asd.enrolment.enrolled_windows import EnrolledWindows
from edge_asd.enrolment.known_windows import row_arrays
from edge_asd.errors import DataError
from edge_asd.scorers import Features, Scorer, ScorerSpec
from edge_asd.scorers.scorer import SEED
from edge_asd.scorers.space import Space
from edge_asd.scorers.views import SPECTRUM, VIEWS
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
        self._specs = list(specs)
        self._growing = [spec for spec in specs if spec.measure_of.growing()]
        self._features, self._spectra_db, self._target = features, spectra_db, target
        self._budget_bytes, self._method = budget_bytes, method
        judge = min(self._growing, key=lambda spec: not spec.view_of.uses_network, default=None)
        metric, rows = ("spread", spectra_db) if judge is None else (judge.view_of.metric, features[judge.features])
        self._points = Space.fit(metric, rows).coordinates(rows)
        self.n_kept = len(spectra_db)
        while (taken := self.taken_bytes()) > budget_bytes:
            if self.n_kept == 1:
                raise DataError(
                    f"bank budget of {budget_bytes} bytes: one window takes {taken}", remedy="give more; 64KiB is good"
                )
            self.n_kept = max(1, min(self.n_kept - 1, self.n_kept * budget_bytes // taken))

    @classmethod
    def within(
        cls, specs: Sequence[ScorerSpec], windows: EnrolledWindows, budget_bytes: int | None, method: str
    ) -> Retention | None:
        """For the windows of an enrolment; None where all can be kept. budget_bytes: None: without a limit."""
        if budget_bytes is None:
            return None
        made = cls(specs, windows.features, windows.spectra_db, windows.target, budget_bytes, method)
        return made if made.drops else None

    @property
    def drops(self) -> bool:
        """Whether the budget holds fewer windows than were enrolled."""
        return self.n_kept < len(self._points)

    def kept(self, among: np.ndarray | None = None) -> np.ndarray:
        """Positions, in `among`, of the windows to keep of these; int, ascending. among: int [m]; None: all."""
        rows = np.arange(len(self._points)) if among is None else among
        return kept_rows(self._points[rows], self._target[rows], self.n_kept, self._method, SEED)

    def summary(self, further_percent: float) -> dict[str, Any]:
        """What a bundle tells of it; further_percent: see there."""
        return {
            "windows": len(self.kept()),
            "bytes": self.taken_bytes(),
            "budget_bytes": self._budget_bytes,
            "method": self._method,
            "further_percent": further_percent,
        }

    def taken_bytes(self) -> int:
        """What the kept windows take in a bundle; arrays that scorers share are stored once."""
        kept = self.kept()
        arrays = [SpectrumBank.fit(self._spectra_db[kept]).codes]
        growing = [row_arrays(self._features[spec.features][kept], spec.view_of.metric) for spec in self._specs]
        for spec in self._growing:
            measure = Scorer.fit(spec, self._features[spec.features], self._target, kept=kept).measure
            growing.append({name: measure.arrays()[name] for name in measure.growing()})
        for own in (array for arrays in growing for array in arrays.values()):
            if not any(own.dtype == known.dtype and np.array_equal(own, known) for known in arrays):
                arrays.append(own)
        return TAG_BYTES * len(kept) + sum(array.nbytes for array in arrays)


def check_budget(specs: Sequence[ScorerSpec], contract: ModelContract, budget_bytes: int) -> None:
    """Raise DataError for a budget that holds no window, before one was heard: any of them takes as much."""
    rng = np.random.default_rng(SEED)

    def row(width: int) -> np.ndarray:
        return rng.standard_normal((1, width), np.float32)

    features = {spec.features: row(spec.width(contract)) for spec in specs}
    spectra_db = features.get(SPECTRUM, row(VIEWS[SPECTRUM].width(contract)))  # the same, where a scorer compares them
    Retention(specs, features, spectra_db, np.zeros(1, bool), budget_bytes)


def further_percent(compacted: np.ndarray, everything: np.ndarray) -> float:
    """How much further normal windows are from a compacted bank than from the whole, in percent.

    Both: cross-fitted distances [n, scorers]. The median window; of the scorer that lost most.
    """
    here, there = np.median(compacted, axis=0), np.median(everything, axis=0)
    return round(100.0 * float((here / np.maximum(there, 1e-9) - 1.0).max()), 1)

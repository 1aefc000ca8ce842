"""What a bundle remembers of its enrolled windows, so that more sound can be enrolled with them later.

A measure keeps what it needs for comparing; fitting it anew, and judging every part of the enrolment by the others,
takes the features themselves. They are stored in the form the default measures store them, and a bundle stores equal
arrays once: for `embedding:knn+ranked:knn` this costs a few bytes a window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_asd.bank.vectors import checked, quantised, unit_vectors
from edge_asd.errors import DataError
from edge_asd.levels import Levels
from edge_asd.scorers import Features, ScorerSpec

VECTORS, SCALES = "vectors", "scales"
VALUES = "values"
CODES, LOWEST, STEP = "codes", "lowest", "step"


@dataclass(frozen=True)
class KnownWindows:
    """Features of the m windows a bundle keeps, and the fold of every one of the n that its enrolment scored.

    stored: the arrays of each kind of features, by `ScorerSpec.features`: int8 unit vectors with their scales where
        the angle counts, the numbers themselves where they are distances already, levels in a byte each
        (`edge_asd.levels`) elsewhere.
    kept: int32 [m], ascending: which of the n windows these are.
    folds: int32 [n], the part of the enrolment each window was left out with when it was scored.
    target: bool [n], windows of the target domain.
    """

    stored: Mapping[str, Mapping[str, np.ndarray]]
    kept: np.ndarray
    folds: np.ndarray
    target: np.ndarray

    @classmethod
    def of(
        cls,
        specs: Sequence[ScorerSpec],
        features: Features,
        *,
        kept: np.ndarray,
        folds: np.ndarray,
        target: np.ndarray,
    ) -> KnownWindows:
        """From the features [m, f] of the kept windows; the rest as described above."""
        metrics = {spec.features: spec.view_of.metric for spec in specs}
        stored = {name: packed(features[name], metric) for name, metric in metrics.items()}
        return cls(stored, kept.astype(np.int32), folds.astype(np.int32), np.asarray(target, bool))

    def __post_init__(self) -> None:
        n, m = len(self.folds), len(self.kept)
        inside = self.kept.size == 0 or (self.kept[0] >= 0 and self.kept[-1] < n and (np.diff(self.kept) > 0).all())
        if (
            self.target.shape != (n,)
            or not inside
            or any(len(next(iter(a.values()))) != m for a in self.stored.values())
        ):
            raise DataError("known windows: features, folds and domains do not fit each other", remedy="enrol again")

    def features(self) -> dict[str, np.ndarray]:
        """The features of the kept windows, float32 [m, f] each; of embeddings the direction only."""
        return {name: unpacked(arrays) for name, arrays in self.stored.items()}

    def arrays(self) -> dict[str, np.ndarray]:
        """What a bundle stores, the inverse of `from_arrays`."""
        own = {"kept": self.kept, "folds": self.folds, "target": self.target}
        return own | {f"{name}/{key}": array for name, arrays in self.stored.items() for key, array in arrays.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> KnownWindows:
        """Raises DataError for arrays that do not fit each other."""
        stored: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            view, slash, key = name.rpartition("/")
            if slash:
                stored.setdefault(view, {})[key] = array
        return cls(stored, arrays["kept"], arrays["folds"], arrays["target"])


def packed(rows: np.ndarray, metric: str) -> dict[str, np.ndarray]:
    """Features [m, f] as arrays to store."""
    if metric == "cosine":
        vectors, scales = quantised(unit_vectors(checked(rows)))
        return {VECTORS: vectors, SCALES: scales}
    if metric == "given":
        return {VALUES: np.asarray(rows, np.float32)}
    levels = Levels.of(rows)
    return {CODES: levels.codes, LOWEST: levels.lowest, STEP: levels.step}


def row_arrays(rows: np.ndarray, metric: str) -> dict[str, np.ndarray]:
    """Those arrays of `packed` that have a row for each window."""
    return {name: array for name, array in packed(rows, metric).items() if name not in (LOWEST, STEP)}


def unpacked(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The inverse of `packed`, float32 [m, f]."""
    if VECTORS in arrays:
        return unit_vectors(arrays[VECTORS] * arrays[SCALES][:, None])
    if VALUES in arrays:
        return arrays[VALUES]
    return Levels(arrays[CODES], arrays[LOWEST], arrays[STEP]).rows()

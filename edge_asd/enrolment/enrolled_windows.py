"""The windows of an enrolment side by side: which piece, which fold, which unbroken run each belongs to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_asd.enrolment.hearing import HeardPiece
from edge_asd.scorers import Features, Scorer, ScorerSpec, cross_fitted, domain_folds

FOLDS = 10
ASSUMED_WAY = 0.01
"""How far normal sound is taken to be from a single enrolled window, as a share of the way to no features at all: it
only has to keep scores apart, and the enrolment says that it can promise nothing."""
MOST_COMPARED = 1500
"""Windows that sessions are compared by: 25 minutes of sound."""
Keep = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class EnrolledWindows:
    """All windows of an enrolment, in the order they were heard.

    features: rows by `ScorerSpec.features`, float32 [n, f] each. spectra_db: float32 [n, 2 n_mels].
    pieces: int32 [n], the piece of sound of each. runs: int32 [n], the unbroken stretch of each.
    folds: int [n], what is left out together when the enrolment is scored against itself.
    target: bool [n], windows of the target domain.
    """

    features: Features
    spectra_db: np.ndarray
    pieces: np.ndarray
    runs: np.ndarray
    folds: np.ndarray
    target: np.ndarray

    @classmethod
    def of(
        cls,
        heard: Sequence[HeardPiece],
        *,
        groups: Sequence[str | None],
        target: Sequence[bool],
        names: Sequence[str],
        starts_s: Sequence[np.ndarray],
        window_s: float,
    ) -> EnrolledWindows:
        """From the pieces, at least one: what was heard, its group, its domain, the recording it is of and where in
        it each window begins, and the seconds of a window: windows that touch or overlap are of one run."""
        counts = [len(piece) for piece in heard]
        pieces = np.repeat(np.arange(len(heard), dtype=np.int32), counts)
        rises = np.diff(np.concatenate(starts_s))
        name_of = np.repeat(np.array(names, dtype=object), counts)
        broken = (name_of[1:] != name_of[:-1]) | (rises <= 0.0) | (rises > window_s)
        of_piece = np.array(target, bool)
        return cls(
            features={name: np.concatenate([piece.features[name] for piece in heard]) for name in heard[0].features},
            spectra_db=np.concatenate([piece.spectra_db for piece in heard]),
            pieces=pieces,
            runs=np.concatenate(([0], np.cumsum(broken))).astype(np.int32),
            folds=domain_folds(_folds(groups), of_piece)[pieces],
            target=of_piece[pieces],
        )

    def cross_fitted(
        self, specs: Sequence[ScorerSpec], keep: Keep | None = None, like: Sequence[Scorer] | None = None
    ) -> np.ndarray:
        """Distances of each window as of one never heard, float32 [n, scorers]: by scorers fitted without its fold.

        Where all is one fold, either half of the windows is compared with the other. A single window can be compared
        with none: `ASSUMED_WAY` is taken. keep, like: see `cross_fitted`.
        """
        folds = self.folds
        if len(folds) == 1:
            own = cross_fitted(specs, self.features, folds, self.target, like=like)  # of measures that learn nothing
            return np.where(np.isnan(own), np.float32(ASSUMED_WAY) * self.distances_to_nothing(specs), own)
        if len(set(folds.tolist())) == 1:
            folds = np.arange(len(folds)) * 2 // len(folds)
        return cross_fitted(specs, self.features, folds, self.target, keep=keep, like=like)

    def from_session_to_session(
        self, specs: Sequence[ScorerSpec], distances: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Distances [k, scorers] of windows scored without their fold, and of the same scored without half of it only.

        distances: as `cross_fitted` gives them without `keep`, where they are at hand. Of a long enrolment windows
        evenly drawn are taken: this is for means.
        """
        n = len(self.folds)
        if n > MOST_COMPARED:
            drawn = np.arange(MOST_COMPARED) * n // MOST_COMPARED
            return self._part(drawn).from_session_to_session(specs)
        without = self.cross_fitted(specs) if distances is None else distances
        folds = np.unique(self.folds)
        if len(folds) == 1:
            return without, without
        halves = np.empty(n, int)
        for i, fold in enumerate(folds):
            at = np.flatnonzero(self.folds == fold)
            halves[at] = 2 * i + 2 * np.arange(len(at)) // len(at)
        return without, cross_fitted(specs, self.features, halves, self.target)

    def _part(self, rows: np.ndarray) -> EnrolledWindows:
        return EnrolledWindows(
            features={name: own[rows] for name, own in self.features.items()},
            spectra_db=self.spectra_db[rows],
            pieces=self.pieces[rows],
            runs=self.runs[rows],
            folds=self.folds[rows],
            target=self.target[rows],
        )

    def distances_to_nothing(self, specs: Sequence[ScorerSpec]) -> np.ndarray:
        """Distances [1, scorers] of features that are all 0 from scorers fitted on all windows: a unit for each."""
        features = {name: np.zeros_like(rows[:1]) for name, rows in self.features.items()}
        fitted = [Scorer.fit(spec, self.features[spec.features], self.target) for spec in specs]
        found = [scorer.measure.distance(features[scorer.spec.features]) for scorer in fitted]
        return np.stack(found, axis=1)

    def distances(self, specs: Sequence[ScorerSpec], part: np.ndarray, held: np.ndarray) -> np.ndarray:
        """Distances [k, scorers] of the windows `held` [k] from scorers fitted on the windows `part` [m]."""
        found = []
        for spec in specs:
            rows = self.features[spec.features]
            known = part if spec.measure_of.LEARNS else slice(None)
            found.append(Scorer.fit(spec, rows[known], self.target[known]).measure.distance(rows[held]))
        return np.stack(found, axis=1)


def _folds(groups: Sequence[str | None]) -> np.ndarray:
    """Fold of each piece, [n_pieces]: its group, or where none is named a stretch; ten folds at most, in order.

    Neighbouring pieces of one recording resemble each other more than tomorrow's sound will; leaving out single
    clips would set the threshold far too low. Every scorer is fitted anew for each fold, so many groups share ten.
    """
    known = {group: i for i, group in enumerate(dict.fromkeys(g for g in groups if g is not None))}
    if len(known) > 1 and None not in groups:
        merged = np.arange(len(known)) * min(FOLDS, len(known)) // len(known)
        return merged[[known[group] for group in groups if group is not None]]
    return np.arange(len(groups)) * min(FOLDS, len(groups)) // len(groups)

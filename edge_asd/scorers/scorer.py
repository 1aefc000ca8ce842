"""A scorer: one view of the sound compared by one measure, fitted on one machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_asd.contract import SECTION, ModelContract
from edge_asd.errors import DataError
from edge_asd.inference import Embedder
from edge_asd.scorers.measure import Measure
from edge_asd.scorers.spec import ScorerSpec
from edge_asd.scorers.views import EMBEDDING, SCORES
from edge_asd.windows import Windows

SEED = 20_260_101
"""Of whatever a measure draws; the same enrolment gives the same bundle."""

Features = Mapping[str, np.ndarray]
"""Rows of windows by `ScorerSpec.features`, float32 [n, f] each, the same windows in all."""


@dataclass(frozen=True)
class Scorer:
    """A fitted scorer."""

    spec: ScorerSpec
    measure: Measure

    @classmethod
    def fit(
        cls,
        spec: ScorerSpec,
        features: np.ndarray,
        target: np.ndarray | None = None,
        *,
        kept: np.ndarray | None = None,
        seed: int = SEED,
    ) -> Scorer:
        """From rows [n, f] of the spec's view, n >= 1; target: bool [n], rows of the target domain.

        kept: all that a measure is to know which grows with the enrolment (None: all rows); others describe all rows.
        """
        if kept is not None and spec.measure_of.growing():
            features, target = features[kept], None if target is None else target[kept]
        metric = spec.view_of.metric
        return cls(spec, spec.measure_of.fit(features, target, metric=metric, seed=seed, **spec.measure_parameters))

    @classmethod
    def from_arrays(cls, spec: ScorerSpec, arrays: Mapping[str, np.ndarray]) -> Scorer:
        """The inverse of `measure.arrays()`. Raises DataError."""
        metric = spec.view_of.metric
        return cls(spec, spec.measure_of.from_arrays(arrays, metric=metric, **spec.measure_parameters))


def uses_network(specs: Iterable[ScorerSpec]) -> bool:
    """Whether any of these scorers needs the model."""
    return any(spec.view_of.uses_network for spec in specs)


def uses_waveform(specs: Iterable[ScorerSpec], contract: ModelContract) -> bool:
    """Whether the model is needed and hears the waveform."""
    return contract.takes_waveform and uses_network(specs)


def check_specs(specs: Iterable[ScorerSpec], contract: ModelContract) -> None:
    """Raise DataError for a scorer that compares what this model does not give, or not before a section is chosen."""
    for spec in specs:
        if spec.view == SCORES and SECTION in contract.scorer_inputs and not contract.section:
            raise DataError(
                f"scorer {spec}: {contract.name} scores by section, and none was chosen",
                remedy=f"give --section, one of {', '.join(contract.sections)}",
            )
        if spec.width(contract) == 0:
            able = "embedding:knn" if contract.has_embedder else "scores:column"
            raise DataError(f"scorer {spec}: {contract.name} gives no {spec.view}", remedy=f"choose {able}, say")


def features_of(
    specs: Iterable[ScorerSpec], windows: np.ndarray | Windows, embedder: Embedder | None
) -> dict[str, np.ndarray]:
    """The features these scorers compare, each computed once.

    windows: log-mel [k, window_frames, n_mels], or with the waveform. embedder: may be None where no scorer uses the
    model.
    """
    found: dict[str, np.ndarray] = {}
    for spec in sorted(specs, key=lambda spec: spec.view == SCORES):  # a model's scorer goes on from its embeddings
        if spec.features not in found:
            embeddings = found.get(EMBEDDING) if spec.view == SCORES else None
            found[spec.features] = spec.view_of.features(windows, embedder, embeddings, **spec.view_parameters)
    return found


def cross_fitted(
    specs: Sequence[ScorerSpec],
    features: Features,
    folds: np.ndarray,
    target: np.ndarray | None = None,
    *,
    keep: Callable[[np.ndarray], np.ndarray] | None = None,
    like: Sequence[Scorer] | None = None,
    seed: int = SEED,
) -> np.ndarray:
    """Distances of enrolled windows as of windows never heard: float32 [n, scorers], NaN where all is one fold.

    Every scorer is fitted without a fold and asked about that fold, for each fold in turn; so no window is compared
    with itself, nor with its neighbours in time, whatever the measure keeps of them. A measure that learns nothing
    has nothing to leave out.

    folds: int [n], the part of the enrolment each window came from; parts are left out whole, since windows of one
        part resemble each other more than tomorrow's will. target: bool [n], windows of the target domain.
    keep: windows int [m] -> positions in it of those a scorer may keep, as the bundle's own do (None: all).
    like: fitted scorers of the same specs, of which those that learn nothing are taken.
    """
    distances = np.full((len(folds), len(specs)), np.nan, np.float32)
    for i, spec in enumerate(specs):
        if not spec.measure_of.LEARNS:
            rows = features[spec.features]
            fitted = Scorer.fit(spec, rows, target, seed=seed) if like is None else like[i]
            distances[:, i] = fitted.measure.distance(rows)
    learning = [i for i, spec in enumerate(specs) if spec.measure_of.LEARNS]
    for fold in np.unique(folds) if learning else ():
        inside = folds == fold
        if inside.all():
            continue
        left = None if target is None else target[~inside]
        kept = None if keep is None else keep(np.flatnonzero(~inside))
        for i in learning:
            rows = features[specs[i].features]
            scorer = Scorer.fit(specs[i], rows[~inside], left, kept=kept, seed=seed)
            distances[inside, i] = scorer.measure.distance(rows[inside])
    return distances


def domain_folds(folds: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Folds that leave some of the few target-domain pieces to fit on, int [n_pieces].

    Where all target pieces lie in one fold, leaving it out would judge them by the source domain alone; that fold is
    then split into two stretches with half of the target pieces each. A single target piece cannot be split.

    folds: int [n_pieces]. target: bool [n_pieces].
    """
    target_at = np.flatnonzero(target)
    if len(target_at) < 2 or len(set(folds[target_at].tolist())) != 1 or target.all():
        return folds
    split = folds.copy()
    later = np.arange(len(folds)) >= target_at[len(target_at) // 2]
    split[later & (folds == folds[target_at[0]])] = folds.max() + 1
    return split

"""A machine's normal sound as its scorers know it. Everything that is scored is scored here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edge_asd.bank import WindowTags
from edge_asd.contract import LogMelSpec
from edge_asd.errors import DataError
from edge_asd.explain import Explanation, explain
from edge_asd.inference import Embedder
from edge_asd.scorers import Features, Scorer, ScorerSpec, features_of, uses_network
from edge_asd.scorers.neighbours import SpreadKnn
from edge_asd.spectra import SpectrumBank, window_spectra
from edge_asd.windows import Windows


@dataclass(frozen=True)
class Comparison:
    """Windows held against normal sound.

    distances: float32 [k, scorers], larger = further from normal; each scorer has its own unit.
    spectra_db: float32 [k, 2 n_mels], the windows' own spectra.
    features: what the scorers compared, by `ScorerSpec.features`, [k, f] each.
    nearest: int [k], the enrolled window to explain a change against: that with the nearest embedding, where
        embeddings are compared. The one with the nearest spectrum would hide part of the change: it is the one that
        happens to share the most of it.
    """

    distances: np.ndarray
    spectra_db: np.ndarray
    features: Features
    nearest: np.ndarray


@dataclass(frozen=True)
class NormalSound:
    """The enrolled windows.

    scorers: at least one, each fitted on all of them.
    spectra: row i is the i-th window, as it is for every scorer that keeps single windows.
    rhythms: their mean `loudness_spectra`, float16 [groups, rates], so that an explanation knows the machine's own
        rhythm; None: not known.
    tags: domain and time of these windows; None: all source, time unknown.
    """

    scorers: tuple[Scorer, ...]
    spectra: SpectrumBank
    rhythms: np.ndarray | None = None
    tags: WindowTags = None  # type: ignore[assignment]  # tags once built

    def __post_init__(self) -> None:
        if self.tags is None:
            object.__setattr__(self, "tags", WindowTags.make(len(self.spectra)))
        if not self.scorers:
            raise DataError("normal sound without a scorer")
        for scorer in self.scorers:
            if scorer.measure.n_windows not in (None, len(self.spectra)):
                raise DataError(
                    f"{scorer.spec}: {scorer.measure.n_windows} windows, but {len(self.spectra)} enrolled spectra"
                )
        if len(self.tags) != len(self.spectra):
            raise DataError(f"normal sound: {len(self.tags)} tags, but {len(self.spectra)} enrolled spectra")

    @classmethod
    def fit(
        cls,
        specs: Sequence[ScorerSpec],
        features: Features,
        spectra_db: np.ndarray,
        target: np.ndarray | None = None,
        rhythms: np.ndarray | None = None,
        *,
        kept: np.ndarray | None = None,
        enrolled_s: float | np.ndarray = 0,
        like: NormalSound | None = None,
    ) -> NormalSound:
        """From the features the specs name, and spectra [n, 2 n_mels], of the same windows.

        target: bool [n], windows of the target domain. rhythms: mean of their `loudness_spectra`. kept: int [m],
        windows to keep where single ones are kept (None: all). enrolled_s: when they were enrolled, seconds since
        1970, 0 = unknown; one for all, or [n]. like: of the same specs, whose measures that learn nothing are taken as
        they are.
        """
        scorers = tuple(
            like.scorers[i]
            if like is not None and not spec.measure_of.LEARNS
            else Scorer.fit(spec, features[spec.features], target, kept=kept)
            for i, spec in enumerate(specs)
        )
        domain = np.zeros(len(spectra_db)) if target is None else target
        tags = WindowTags.make(len(spectra_db), domain, enrolled_s)
        if kept is not None:
            spectra_db, tags = spectra_db[kept], tags.rows(kept)
        power = None if rhythms is None else rhythms.astype(np.float16)
        return cls(scorers, SpectrumBank.fit(spectra_db), power, tags)

    def __len__(self) -> int:
        return len(self.spectra)

    @property
    def specs(self) -> tuple[ScorerSpec, ...]:
        """What its scorers are, in the order of every array of distances."""
        return tuple(scorer.spec for scorer in self.scorers)

    @property
    def uses_network(self) -> bool:
        """Whether comparing needs an embedder."""
        return uses_network(self.specs)

    def compare(self, windows: np.ndarray | Windows, embedder: Embedder | None) -> Comparison:
        """Hold log-mel windows [k, window_frames, n_mels], or with their waveform, against normal sound.

        embedder: of the model the scorers were fitted with; None is enough where `uses_network` is false.
        """
        features = features_of(self.specs, windows, embedder)
        spectra_db = features["spectrum"] if "spectrum" in features else window_spectra(Windows.of(windows).frames)
        distances = np.empty((len(windows), len(self.scorers)), np.float32)
        nearest: np.ndarray | None = None
        from_network = False
        for i, scorer in enumerate(self.scorers):
            distances[:, i], index = scorer.measure.nearest(features[scorer.spec.features])
            embedded = scorer.spec.view_of.uses_network
            if index is not None and (nearest is None or (embedded and not from_network)):
                nearest, from_network = index, embedded
        if nearest is None:
            nearest = self._by_spectrum.nearest(spectra_db)[1]
        return Comparison(distances, spectra_db, features, nearest)

    def distances(self, features: Features) -> np.ndarray:
        """As in `compare`, of windows whose features (by `ScorerSpec.features`, [k, f] each) are at hand."""
        sides = [scorer.measure.distance(features[scorer.spec.features]) for scorer in self.scorers]
        return np.stack(sides, axis=1).astype(np.float32)

    def explain(self, windows: np.ndarray, nearest: np.ndarray, spec: LogMelSpec, stretches: np.ndarray) -> Explanation:
        """What changed in log-mel windows [k, frames, n_mels], k >= 1, against the enrolled ones `nearest` [k].

        stretches: [m, stretch_frames, n_mels], m >= 0, their sound and as much more as rhythms need.
        """
        levels_db = self.spectra.levels_db
        return explain(windows, nearest, levels_db, spec, stretches_db=stretches, normal_rhythms=self.rhythms)

    @cached_property
    def _by_spectrum(self) -> SpreadKnn:
        """Finds the window to explain against where no scorer keeps single windows."""
        return SpreadKnn.fit(self.spectra.levels_db)

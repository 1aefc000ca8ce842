"""Distance to the nearest enrolled windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from edge_asd.bank import EmbeddingBank
from edge_asd.levels import Levels
from edge_asd.scorers.measure import Measure
from edge_asd.scorers.space import Search, Space


@dataclass(frozen=True)
class CosineKnn(Measure):
    """Mean cosine distance to the k nearest embeddings of the bank (k = 1: the vit-knn report of DCASE 2022).

    vectors: int8 [n, d], scales: float32 [n], as `edge_asd.bank.EmbeddingBank` has them.
    """

    ARRAYS: ClassVar[Mapping[str, tuple[str, str]]] = {"vectors": ("int8", "nf"), "scales": ("float32", "n")}
    PARAMETERS: ClassVar[Mapping[str, tuple[float, float, float]]] = {"k": (1, 1, 1000)}

    vectors: np.ndarray
    scales: np.ndarray
    k: int = 1

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        target: np.ndarray | None = None,
        *,
        metric: str = "cosine",
        seed: int = 0,
        k: int = 1,
    ) -> CosineKnn:
        """Keep embeddings [n, d] of any length; both domains alike."""
        bank = EmbeddingBank.fit(features)
        return cls(bank.vectors, bank.scales, k)

    @cached_property
    def bank(self) -> EmbeddingBank:
        """The embeddings."""
        return EmbeddingBank(self.vectors, self.scales)

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Mean over the k nearest of 1 - cos, float32 [q]."""
        return self.nearest(features)[0]

    def nearest(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `distance`, and the row of the nearest."""
        if self.k == 1:
            return self.bank.nearest(features)
        distances, index = self.bank.k_nearest(features, self.k)
        return distances.mean(axis=1), index[:, 0]


@dataclass(frozen=True)
class SpreadKnn(Measure):
    """Mean distance to the k nearest windows in units of each feature's spread over the enrolment.

    A log-mel nearest neighbour, every band on a footing with its own usual movement. In stationary noise it beats
    learned embeddings; where operating conditions change it loses to them.

    codes: uint8 [n, f], lowest, step: float32 [f], the features as `edge_asd.levels.Levels` has them. middle, scale:
    float32 [f], as `edge_asd.scorers.space.Space` has them.
    """

    ARRAYS: ClassVar[Mapping[str, tuple[str, str]]] = {
        "codes": ("uint8", "nf"),
        "lowest": ("float32", "f"),
        "step": ("float32", "f"),
        "middle": ("float32", "f"),
        "scale": ("float32", "f"),
    }
    PARAMETERS: ClassVar[Mapping[str, tuple[float, float, float]]] = {"k": (1, 1, 1000)}

    codes: np.ndarray
    lowest: np.ndarray
    step: np.ndarray
    middle: np.ndarray
    scale: np.ndarray
    k: int = 1

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        target: np.ndarray | None = None,
        *,
        metric: str = "spread",
        seed: int = 0,
        k: int = 1,
    ) -> SpreadKnn:
        """Keep features [n, f]; both domains alike."""
        levels = Levels.of(features)
        space = Space.fit("spread", levels.rows())
        return cls(levels.codes, levels.lowest, levels.step, space.middle, space.scale, k)

    @property
    def rows(self) -> np.ndarray:
        """The features kept, float32 [n, f]."""
        return Levels(self.codes, self.lowest, self.step).rows()

    @cached_property
    def _space(self) -> Space:
        return Space("spread", self.middle, self.scale)

    @cached_property
    def _search(self) -> Search:
        return Search(self._space.coordinates(self.rows))

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Mean over the k nearest of the root mean square over the features, in spreads, float32 [q]."""
        return self.nearest(features)[0]

    def nearest(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `distance`, and the row of the nearest."""
        asked = self._space.coordinates(features)
        if self.k == 1:
            square, index = self._search.nearest(asked)
            return self._space.distance(square), index
        squares, indices = self._search.k_nearest(asked, self.k)
        return self._space.distance(squares).mean(axis=1), indices[:, 0]

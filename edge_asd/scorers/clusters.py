"""Few points for many: K-means, centres beside a memory bank, and more points for few (SMOTE)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from edge_asd.bank import unit_vectors
from edge_asd.bank.compaction import lloyd
from edge_asd.scorers.measure import Measure, target_rows
from edge_asd.scorers.space import InSpace, Search, Space

MAX_ROUNDS = 50


def k_means(rows: np.ndarray, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Centres float32 [min(k, n), f] of rows [n, f], and the centre of each row [n].

    Lloyd's rounds from k-means++ seeds (Arthur and Vassilvitskii, 2007).
    """
    rows = np.asarray(rows, np.float32)
    centres = rows[[int(rng.integers(len(rows)))]]
    squares = Search(centres).squares(rows)[:, 0]
    for _ in range(min(k, len(rows)) - 1):
        weights = np.maximum(squares, 0.0).astype(np.float64)
        total = weights.sum()
        chosen = int(rng.choice(len(rows), p=weights / total)) if total > 0.0 else int(rng.integers(len(rows)))
        centres = np.concatenate((centres, rows[[chosen]]))
        squares = np.minimum(squares, Search(rows[[chosen]]).squares(rows)[:, 0])
    centres, owner, _ = lloyd(rows, centres, MAX_ROUNDS)
    return centres, owner


@dataclass(frozen=True)
class Centres(InSpace, Measure):
    """Distance to the nearest of k centres of the source domain or of the target domain's windows.

    The source domain's many windows are summed up by K-means, the target's few are kept whole, so that neither crowds
    out the other: the memory bank of the wav2vec 2.0 + AST report of DCASE 2024. With t above 0 the target domain is
    summed up by t centres of its own: k=1,t=1 is the nearer of the two domains' middles, the score of the MobileFaceNet
    report of DCASE 2022.

    centres: float32 [c, f], coordinates of the view's space. memory: float16 [m, f], as many as there are target
    windows, or centres of them, possibly none. middle, scale: float32 [f], the space's.
    """

    ARRAYS: ClassVar[Mapping[str, tuple[str, str]]] = {
        "centres": ("float32", "cf"),
        "memory": ("float16", "Mf"),
        "middle": ("float32", "f"),
        "scale": ("float32", "f"),
    }
    GROWS: ClassVar[str] = "M"
    PARAMETERS: ClassVar[Mapping[str, tuple[float, float, float]]] = {"k": (16, 1, 1000), "t": (0, 0, 1000)}

    metric: str
    centres: np.ndarray
    memory: np.ndarray
    middle: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        target: np.ndarray | None = None,
        *,
        metric: str = "cosine",
        seed: int = 0,
        k: int = 16,
        t: int = 0,
    ) -> Centres:
        """From features [n, f] and their domains; where all are of one domain, that one gets the centres."""
        of_target = target_rows(target, len(features))
        if of_target.all():
            of_target = ~of_target
        space = Space.fit(metric, features)
        rows = space.coordinates(features)
        centres, _ = k_means(rows[~of_target], k, np.random.default_rng(seed))
        memory = rows[of_target]
        if t and len(memory):
            memory, _ = k_means(memory, t, np.random.default_rng(seed))
            memory = unit_vectors(memory) if metric == "cosine" else memory
        if metric == "cosine":
            centres = unit_vectors(centres)
        return cls(metric, centres, memory.astype(np.float16), space.middle, space.scale)

    @cached_property
    def _search(self) -> Search:
        return Search(np.concatenate((self.centres, self.memory.astype(np.float32))))

    def distance(self, features: np.ndarray) -> np.ndarray:
        """To the nearest centre or kept window, float32 [k]."""
        return self._space.distance(self._search.nearest(self._space.coordinates(features))[0])


@dataclass(frozen=True)
class SmoteKnn(InSpace, Measure):
    """Distance to the nearest window, after the few of the target domain were multiplied.

    Chawla et al., "SMOTE: synthetic minority over-sampling technique" (2002): a random target window and one of its k
    nearest in that domain, a random point between them; until the target domain has `share` times as many rows as the
    source domain. Without target windows it is the nearest neighbour.

    rows: float16 [r, f], coordinates of the view's space, the made ones last. middle, scale: float32 [f], the space's.
    """

    ARRAYS: ClassVar[Mapping[str, tuple[str, str]]] = {
        "rows": ("float16", "rf"),
        "middle": ("float32", "f"),
        "scale": ("float32", "f"),
    }
    GROWS: ClassVar[str] = "r"
    PARAMETERS: ClassVar[Mapping[str, tuple[float, float, float]]] = {"k": (5, 1, 1000), "share": (0.2, 0.0, 1.0)}

    metric: str
    rows: np.ndarray
    middle: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        target: np.ndarray | None = None,
        *,
        metric: str = "cosine",
        seed: int = 0,
        k: int = 5,
        share: float = 0.2,
    ) -> SmoteKnn:
        """From features [n, f] and their domains."""
        of_target = target_rows(target, len(features))
        space = Space.fit(metric, features)
        rows = space.coordinates(features)
        wanted = round(share * int((~of_target).sum())) - int(of_target.sum())
        made = between_neighbours(rows[of_target], wanted, k, np.random.default_rng(seed))
        if metric == "cosine":
            made = unit_vectors(made)
        return cls(metric, np.concatenate((rows, made)).astype(np.float16), space.middle, space.scale)

    @cached_property
    def _search(self) -> Search:
        return Search(self.rows)

    def distance(self, features: np.ndarray) -> np.ndarray:
        """To the nearest row, float32 [k]."""
        return self._space.distance(self._search.nearest(self._space.coordinates(features))[0])


def between_neighbours(rows: np.ndarray, count: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """`count` random points, each between one of rows [n, f] and one of its k nearest others: float32 [count, f].

    None are made from fewer than two rows.
    """
    if count <= 0 or len(rows) < 2:
        return np.empty((0, rows.shape[1]), np.float32)
    _, neighbours = Search(rows).own_neighbours(k)
    origin = rng.integers(len(rows), size=count)
    other = neighbours[origin, rng.integers(neighbours.shape[1], size=count)]
    way = rng.uniform(size=(count, 1)).astype(np.float32)
    return rows[origin] + way * (rows[other] - rows[origin])

"""The embedding bank: what normal sounds like, as int8 unit vectors with tags, and the distance to the nearest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from edge_asd.bank.compaction import DEFAULT_METHOD, METHODS, kept_rows
from edge_asd.bank.search import Search, search_of
from edge_asd.bank.tags import DOMAINS, TAG_BYTES, WindowTags, domain_index
from edge_asd.bank.vectors import checked, directions, quantised, unit_vectors
from edge_asd.errors import DataError

_FIELDS = ("vectors", "scales", "domains", "enrolled_s")


@dataclass(frozen=True)
class EmbeddingBank:
    """Normal embeddings of one machine, each with the domain and the time it was enrolled in.

    vectors: int8 [n, d]; vectors * scales[:, None] are the unit vectors. They may be memory-mapped.
    scales: float32 [n].
    domains: uint8 [n], an index into DOMAINS; None: all source.
    enrolled_s: uint32 [n], seconds since 1970 (UTC), 0 = unknown; None: all unknown.
    budget_bytes: what the four arrays together never exceed, whatever is added; None: no limit.
    method: of METHODS, how vectors are chosen when they would exceed it.

    Raises DataError for arrays that do not fit each other, or a budget that holds no vector.
    """

    vectors: np.ndarray
    scales: np.ndarray
    domains: np.ndarray = None  # type: ignore[assignment]  # an array once built
    enrolled_s: np.ndarray = None  # type: ignore[assignment]
    budget_bytes: int | None = None
    method: str = DEFAULT_METHOD

    def __post_init__(self) -> None:
        n = len(self.vectors)
        if self.vectors.ndim != 2 or 0 in self.vectors.shape or self.vectors.dtype != np.int8:
            raise DataError(f"embedding bank: {self.vectors.dtype} {list(self.vectors.shape)}, expected int8 [n, d]")
        if self.scales.shape != (n,) or not np.isfinite(self.scales).all():
            raise DataError(f"embedding bank: not one finite scale for each of {n} vectors")
        for name, unknown in WindowTags.make(n).arrays().items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, unknown)
        if len(WindowTags(self.domains, self.enrolled_s)) != n:
            raise DataError(f"embedding bank: {len(self.domains)} tags for {n} vectors")
        if self.method not in METHODS:
            raise DataError(f"embedding bank: unknown method {self.method!r}", remedy=f"one of {', '.join(METHODS)}")
        if self.budget_bytes is not None and n > capacity(self.budget_bytes, self.vectors.shape[1]):
            raise DataError(f"embedding bank: {self.nbytes} bytes, its budget is {self.budget_bytes}")

    @classmethod
    def fit(
        cls,
        embeddings: np.ndarray,
        *,
        domain: str | np.ndarray = DOMAINS[0],
        enrolled_s: float | np.ndarray = 0,
        budget_bytes: int | None = None,
        method: str = DEFAULT_METHOD,
        seed: int = 0,
    ) -> EmbeddingBank:
        """Store embeddings [n, d] (any length) as int8 unit vectors with one scale each.

        domain: one of DOMAINS, or uint8 [n]. enrolled_s: seconds since 1970, or [n] of them.
        budget_bytes, method, seed: as few of them as the budget holds, see `compacted`.
        Raises DataError for NaN and infinity, an unknown domain, or a budget that holds no vector.
        """
        vectors, scales = quantised(unit_vectors(checked(embeddings)))
        tags = WindowTags.make(len(vectors), domain, enrolled_s)
        bank = cls(vectors, scales, tags.domains, tags.enrolled_s, method=method)
        return bank if budget_bytes is None else bank.compacted(budget_bytes, method, seed)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def nbytes(self) -> int:
        """Bytes of all vectors, scales and tags."""
        return len(self) * vector_bytes(self.vectors.shape[1])

    def arrays(self) -> dict[str, np.ndarray]:
        """The four arrays by name; with `budget_bytes` and `method`, `EmbeddingBank(**...)` makes the same bank."""
        return {name: getattr(self, name) for name in _FIELDS}

    def add(
        self,
        embeddings: np.ndarray,
        *,
        domain: str | np.ndarray = DOMAINS[0],
        enrolled_s: float | np.ndarray = 0,
        seed: int = 0,
    ) -> EmbeddingBank:
        """A bank that knows embeddings [m, d] as well, compacted anew if they exceed its budget. Raises as `fit`."""
        if embeddings.ndim != 2 or embeddings.shape[1] != self.vectors.shape[1]:
            raise DataError(
                f"embedding bank: embeddings of shape {list(embeddings.shape)}, expected [n, {self.vectors.shape[1]}]"
            )
        if not len(embeddings):
            return self
        new = EmbeddingBank.fit(embeddings, domain=domain, enrolled_s=enrolled_s)
        joined = {name: np.concatenate((array, new.arrays()[name])) for name, array in self.arrays().items()}
        bank = _bank_of(joined, None, self.method)
        return bank if self.budget_bytes is None else bank.compacted(self.budget_bytes, self.method, seed)

    def forget(
        self, *, domain: str | None = None, enrolled_before_s: float | None = None, index: np.ndarray | None = None
    ) -> EmbeddingBank:
        """A bank without the vectors that meet all that is given.

        domain: one of DOMAINS. enrolled_before_s: seconds since 1970; vectors of unknown time count as old.
        index: int [m], rows of this bank. Raises DataError for an unknown domain or row, or if nothing would be left.
        """
        gone = np.ones(len(self), bool)
        if domain is not None:
            gone &= self.domains == domain_index(domain)
        if enrolled_before_s is not None:
            gone &= self.enrolled_s < enrolled_before_s
        if index is not None:
            rows = np.asarray(index, np.intp)
            if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
                raise DataError(f"embedding bank: no row {rows.min() if rows.min() < 0 else rows.max()} of {len(self)}")
            gone &= np.isin(np.arange(len(self)), rows)
        if gone.all():
            raise DataError("embedding bank: nothing would be left to compare with", remedy="add new sound first")
        return self._rows(~gone)

    def compacted(self, budget_bytes: int, method: str = DEFAULT_METHOD, seed: int = 0) -> EmbeddingBank:
        """A bank of as many vectors as budget_bytes holds, all tags counted; this one's own if they already fit.

        Each domain is compacted for itself, and one with few vectors keeps all of them. method: one of METHODS.
        Raises DataError if no vector fits.
        """
        n_kept = capacity(budget_bytes, self.vectors.shape[1])
        if len(self) <= n_kept:
            return replace(self, budget_bytes=budget_bytes, method=method)
        kept = kept_rows(directions(self.vectors), self.domains, n_kept, method, seed)
        return replace(self._rows(kept), budget_bytes=budget_bytes, method=method)

    def nearest(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cosine distance (0 same direction ... 2 opposite) to the nearest bank vector, and which.

        embeddings: float32 [q, d]. Returns float32 [q] and int [q]. Raises DataError for NaN and infinity.
        """
        distance, index = self._search.nearest(embeddings)
        if np.isnan(distance).any():
            checked(embeddings, "compared embeddings")
        return distance, index

    def k_nearest(self, embeddings: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As `nearest`, to the k nearest vectors (or all), the nearest first: [q, k]."""
        distance, index = self._search.k_nearest(embeddings, k)
        if np.isnan(distance).any():
            checked(embeddings, "compared embeddings")
        return distance, index

    @cached_property
    def _search(self) -> Search:
        return search_of(self.vectors)

    def __getstate__(self) -> dict[str, Any]:
        """Without the search, which cannot leave the process and is soon made again."""
        return {name: value for name, value in self.__dict__.items() if name != "_search"}

    def _rows(self, chosen: np.ndarray) -> EmbeddingBank:
        return _bank_of({name: array[chosen] for name, array in self.arrays().items()}, self.budget_bytes, self.method)


def vector_bytes(size: int) -> int:
    """What one vector of `size` coordinates takes: int8 coordinates, a float32 scale, a domain, a time."""
    return size + 4 + TAG_BYTES


def capacity(budget_bytes: int, size: int) -> int:
    """How many vectors of `size` coordinates a budget holds. Raises DataError if it is none."""
    n = budget_bytes // vector_bytes(size)
    if n < 1:
        raise DataError(
            f"bank budget of {budget_bytes} bytes: one vector takes {vector_bytes(size)}",
            remedy=f"give at least {vector_bytes(size)} bytes, 64KiB is good",
        )
    return n


def _bank_of(arrays: dict[str, np.ndarray], budget_bytes: int | None, method: str) -> EmbeddingBank:
    vectors, scales, domains, enrolled_s = (arrays[name] for name in _FIELDS)
    return EmbeddingBank(vectors, scales, domains, enrolled_s, budget_bytes, method)

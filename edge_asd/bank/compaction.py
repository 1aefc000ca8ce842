"""Which few vectors can stand for many: greedy k-centre and K-means on the unit sphere.

k-centre: T. Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985; as a coreset for anomaly
detection: Roth et al., PatchCore, arXiv 2106.08265. K-means with cosine: Dhillon and Modha, "Concept decompositions
for large sparse text data using clustering", 2001.
"""

from __future__ import annotations

import numpy as np

from edge_asd.bank.vectors import unit_vectors

METHODS = ("k-centre", "k-means")
DEFAULT_METHOD = "k-means"
"""What benchmarks/bank.py found to cost less AUC."""
_ROUNDS = 12
"""Of K-means; later ones move the centres by less than int8 resolves."""
_BLOCK = 8192


def k_centre(unit: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Indices int [k] of rows of unit [n, d], each chosen furthest from those before it; the first one by the seed.

    No row is then further from a chosen one than twice the least radius possible with k rows. Time n k d.
    """
    chosen = np.empty(k, np.intp)
    chosen[0] = np.random.default_rng(seed).integers(len(unit))
    similarity = np.full(len(unit), -np.inf, np.float32)
    for i in range(1, k):
        np.maximum(similarity, unit @ unit[chosen[i - 1]], out=similarity)
        similarity[chosen[i - 1]] = np.inf  # twins of it may be chosen, but only when nothing else is left
        chosen[i] = similarity.argmin()
    return chosen


def k_means(unit: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres float32 [k, d] of length 1, and which of them each row of unit [n, d] belongs to, int [n].

    Starts at k rows drawn by the seed; a centre nobody belongs to moves to the row that is furthest from its own.
    """
    centres = unit[np.sort(np.random.default_rng(seed).choice(len(unit), k, replace=False))]
    owner, similarity = _assigned(unit, centres)
    for _ in range(_ROUNDS):
        sums = np.zeros_like(centres)
        order = np.argsort(owner, kind="stable")
        filled, starts = np.unique(owner[order], return_index=True)
        sums[filled] = np.add.reduceat(unit[order], starts, axis=0)
        empty = np.setdiff1d(np.arange(k), filled)
        if empty.size:
            sums[empty] = unit[np.argsort(similarity, kind="stable")[: empty.size]]
        centres = unit_vectors(sums)
        before = owner
        owner, similarity = _assigned(unit, centres)
        if np.array_equal(owner, before):
            break
    return centres, owner


def _assigned(unit: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Most similar centre of each row and how similar it is."""
    owner = np.empty(len(unit), np.intp)
    similarity = np.empty(len(unit), np.float32)
    for start in range(0, len(unit), _BLOCK):
        rows = slice(start, start + _BLOCK)
        products = unit[rows] @ centres.T
        owner[rows] = products.argmax(axis=1)
        similarity[rows] = products.max(axis=1)
    return owner, similarity


def shares(counts: np.ndarray, total: int) -> np.ndarray:
    """How many of `total` places each kind gets of which there are counts [kinds]: int [kinds].

    Kinds with few members keep all of them; the others share the rest alike. A few clips of a new domain would
    otherwise be drowned by hours of the old one.
    """
    given = np.zeros(len(counts), int)
    left = min(total, int(counts.sum()))
    order = np.argsort(counts, kind="stable")
    for position, kind in enumerate(order):
        given[kind] = min(int(counts[kind]), left // (len(counts) - position))
        left -= given[kind]
    return given

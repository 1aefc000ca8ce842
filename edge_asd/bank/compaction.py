"""Which few windows can stand for many: greedy k-centre and K-means, both keeping windows that were really heard.

k-centre: T. Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985; as a coreset for anomaly
detection: Roth et al., PatchCore, arXiv 2106.08265. K-means: S. Lloyd, "Least squares quantization in PCM", 1982.
"""

from __future__ import annotations

import numpy as np

METHODS = ("k-centre", "k-means")
DEFAULT_METHOD = "k-centre"
"""As good as k-means within the error of benchmarks/bank.py, four times as fast, and no window is left far away."""
_ROUNDS = 12
"""Of K-means here; later ones hardly move the centres."""
_BLOCK = 8192


def kept_rows(
    points: np.ndarray, domains: np.ndarray, k: int, method: str = DEFAULT_METHOD, seed: int = 0
) -> np.ndarray:
    """Indices of at most k rows of points float32 [n, d] that stand for all of them by Euclidean distance, ascending.

    domains: int [n]; each is compacted for itself, and one with few rows keeps all of them (see `shares`).
    method: one of METHODS. k: at least 1. Time n k d.
    """
    if len(points) <= k:
        return np.arange(len(points))
    choose = {"k-centre": k_centre, "k-means": k_means}[method]
    kinds, counts = np.unique(domains, return_counts=True)
    kept = []
    for kind, places in zip(kinds, shares(counts, k), strict=True):
        if places:
            rows = np.flatnonzero(domains == kind)
            kept.append(rows if places == len(rows) else rows[choose(points[rows], places, seed)])
    return np.sort(np.concatenate(kept))


def k_centre(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Indices int [k] of rows of points [n, d], each chosen furthest from those before it; the first by the seed.

    No row is then further from a chosen one than twice the least radius possible with k rows.
    """
    squares = np.square(points).sum(axis=1)
    chosen = np.empty(k, np.intp)
    chosen[0] = np.random.default_rng(seed).integers(len(points))
    distance = np.full(len(points), np.inf, np.float32)
    for i in range(1, k):
        last = chosen[i - 1]
        np.minimum(distance, squares + squares[last] - 2.0 * (points @ points[last]), out=distance)
        distance[last] = -np.inf  # twins of it may be chosen, when nothing else is left; the row itself never again
        chosen[i] = distance.argmax()
    return chosen


def k_means(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Indices int [k] of the rows of points [n, d] that lie nearest to the centres of K-means, each another row.

    Starts at k rows drawn by the seed.
    """
    drawn = np.sort(np.random.default_rng(seed).choice(len(points), k, replace=False))
    _, owner, distance = lloyd(points, points[drawn], _ROUNDS)
    by_distance = np.lexsort((distance, owner))
    _, first = np.unique(owner[by_distance], return_index=True)
    chosen = by_distance[first]
    # Twins leave centres without a row of their own: the rows worst covered take their places.
    left = np.setdiff1d(np.argsort(-distance, kind="stable"), chosen, assume_unique=True)
    return np.concatenate((chosen, left[: k - len(chosen)]))


def lloyd(points: np.ndarray, centres: np.ndarray, max_rounds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lloyd's rounds from centres [k, d] among points [n, d], k <= n, until nothing moves or for max_rounds.

    A centre nobody belongs to moves to the point that is furthest from its own.
    Gives the centres, the nearest centre of each point int [n] and the squared distance to it [n].
    """
    k = len(centres)
    owner, distance = _assigned(points, centres)
    for _ in range(max_rounds):
        order = np.argsort(owner, kind="stable")
        filled, starts, members = np.unique(owner[order], return_index=True, return_counts=True)
        centres = np.empty_like(centres)
        centres[filled] = np.add.reduceat(points[order], starts, axis=0) / members[:, None]
        empty = np.setdiff1d(np.arange(k), filled)
        centres[empty] = points[np.argsort(-distance, kind="stable")[: empty.size]]
        before = owner
        owner, distance = _assigned(points, centres)
        if np.array_equal(owner, before):
            break
    return centres, owner, distance


def _assigned(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest centre of each row, and its squared distance."""
    owner = np.empty(len(points), np.intp)
    distance = np.empty(len(points), np.float32)
    squares = np.square(centres).sum(axis=1)
    for start in range(0, len(points), _BLOCK):
        rows = slice(start, start + _BLOCK)
        partial = squares - 2.0 * (points[rows] @ centres.T)
        owner[rows] = partial.argmin(axis=1)
        distance[rows] = partial.min(axis=1) + np.square(points[rows]).sum(axis=1)
    return owner, distance


def shares(counts: np.ndarray, total: int) -> np.ndarray:
    """How many of `total` places each kind gets of which there are counts [kinds]: int [kinds].

    Kinds with few members keep all of them; the others share the rest alike. A few clips of a new domain would
    otherwise be drowned by hours of the old one.
    """
    given = np.zeros(len(counts), int)
    left = min(total, int(counts.sum()))
    for position, kind in enumerate(np.argsort(counts, kind="stable")):
        given[kind] = min(int(counts[kind]), left // (len(counts) - position))
        left -= given[kind]
    return given

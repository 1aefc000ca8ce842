"""How sure a figure is: test clips drawn anew, whole groups at a time.

Clips of one recording or session are right or wrong together, so where groups are told they are drawn, not clips
(cluster bootstrap: Davison & Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8). Groups of
normal clips, of anomalies and of both are drawn apart, so every draw has what a figure needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

DRAWS = 500
COVERAGE = 0.95


def redraws(groups: Sequence[str], anomalous: np.ndarray, seed: int, n_draws: int = DRAWS) -> Iterator[np.ndarray]:
    """Indices of the clips in each draw, int [m].

    groups: of each clip; "" is a group of its own. anomalous: bool [n].
    """
    ids = _group_ids(groups)
    by_group = np.argsort(ids, kind="stable")  # clips of group g: by_group[starts[g] : starts[g] + sizes[g]]
    sizes = np.bincount(ids)
    starts = np.cumsum(sizes) - sizes
    n_anomalous = np.bincount(ids, weights=anomalous)
    kinds = (n_anomalous > 0) + 2 * (n_anomalous == sizes)
    strata = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
    rng = np.random.default_rng(seed)
    for _ in range(n_draws):
        drawn = np.concatenate([stratum[rng.integers(len(stratum), size=len(stratum))] for stratum in strata])
        within = np.arange(sizes[drawn].sum()) - np.repeat(np.cumsum(sizes[drawn]) - sizes[drawn], sizes[drawn])
        yield by_group[np.repeat(starts[drawn], sizes[drawn]) + within]


def _group_ids(groups: Sequence[str]) -> np.ndarray:
    """Numbers from 0 for groups, int [n]; a clip without a group has a number of its own."""
    ids = np.empty(len(groups), np.int32)
    known: dict[str, int] = {}
    following = 0
    for i, group in enumerate(groups):
        ids[i] = known.setdefault(group, following) if group else following
        following += ids[i] == following
    return ids


def interval(draws: Sequence[float]) -> tuple[float, float] | None:
    """The middle `COVERAGE` of a figure's draws; None without draws."""
    if not len(draws):
        return None
    low, high = np.quantile(np.asarray(draws), [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)

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
    names = [group or f"\0{i}" for i, group in enumerate(groups)]
    members: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        members.setdefault(name, []).append(i)
    strata: dict[tuple[bool, bool], list[np.ndarray]] = {}
    for indices in members.values():
        own = anomalous[indices]
        strata.setdefault((bool(own.any()), bool(own.all())), []).append(np.array(indices))
    rng = np.random.default_rng(seed)
    for _ in range(n_draws):
        drawn = []
        for _, stratum in sorted(strata.items()):
            drawn += [stratum[i] for i in rng.integers(len(stratum), size=len(stratum))]
        yield np.concatenate(drawn)


def interval(draws: Sequence[float]) -> tuple[float, float] | None:
    """The middle `COVERAGE` of a figure's draws; None without draws."""
    if not len(draws):
        return None
    low, high = np.quantile(np.asarray(draws), [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)

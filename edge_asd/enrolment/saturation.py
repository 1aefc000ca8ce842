"""Whether more enrolment would change anything: how far held-out sound is from growing parts of the enrolment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

HELD_OUT_EVERY = 5
"""Every fifth piece is held out, so that the whole time is asked about."""
PARTS = 10
MIN_PIECES = 15
"""Fewer pieces show no curve."""
SETTLED = 1.05
"""Nothing changes any more once held-out sound is at most this many times as far off as from all of the enrolment. A
denser bank always brings it a little nearer: by about 2 % for a quarter more of the very same sound."""
LATE_SHARE = 0.8
"""Settled only after this share of the enrolment: still learning."""

Distances = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Fit on the windows of the first index [m], give the distances [k, views] of the windows of the second [k]."""


@dataclass(frozen=True)
class Saturation:
    """How much held-out sound gained from more enrolment.

    seconds: lengths of the enrolment's first parts, rising; the last one is all of it.
    distances: mean distance of held-out sound to each part, in units of that to all of it (the last is 1).
    settled_s: length from which on nothing changed.
    """

    seconds: tuple[float, ...]
    distances: tuple[float, ...]
    settled_s: float

    @property
    def learning(self) -> bool:
        """Whether the last of the sound still changed something, so that more would, too."""
        return self.settled_s > LATE_SHARE * self.seconds[-1]

    @property
    def text(self) -> str:
        """For a person, one sentence."""
        if self.learning:
            worst = max(d for s, d in zip(self.seconds, self.distances, strict=True) if s < self.settled_s)
            return (
                f"still learning: without the last {_span(self.seconds[-1] - self._before_s)} other normal sound would "
                f"be {100 * (worst - 1):.0f} % further off; enrol more"
            )
        return f"the last {_span(self.seconds[-1] - self.settled_s)} changed nothing: enough sound of this kind"

    @property
    def _before_s(self) -> float:
        return max(s for s in self.seconds if s < self.settled_s)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "learning": self.learning, "text": self.text}


def saturation(distances: Distances, pieces: np.ndarray, seconds: float) -> Saturation | None:
    """Fit growing parts of the enrolment and hold every fifth piece against them; None for too few pieces.

    pieces: int [n], the piece of sound each window belongs to, in order of time. seconds: of the whole enrolment.
    The view that gains most decides, and of each view the worst half of the held-out windows: what has been heard once
    too rarely shows there.
    """
    names = np.unique(pieces)
    if names.size < MIN_PIECES:
        return None
    held_names = names[HELD_OUT_EVERY // 2 :: HELD_OUT_EVERY]
    held = np.flatnonzero(np.isin(pieces, held_names))
    lengths = np.unique(np.round(names.size * np.arange(1, PARTS + 1) / PARTS).astype(int))
    means = []
    for length in lengths:
        part = np.flatnonzero((pieces < names[length - 1] + 1) & ~np.isin(pieces, held_names))
        found = np.sort(np.asarray(distances(part, held), np.float64), axis=0)
        means.append(found[found.shape[0] // 2 :].mean(axis=0))
    relative = np.array(means) / np.maximum(means[-1], 1e-12)
    curve = relative.max(axis=1)
    curve[-1] = 1.0
    late = np.flatnonzero(curve > SETTLED)
    settled = 0 if late.size == 0 else int(late[-1]) + 1
    spans = tuple(round(float(seconds * length / names.size), 1) for length in lengths)
    return Saturation(spans, tuple(round(float(d), 4) for d in curve), spans[settled])


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"

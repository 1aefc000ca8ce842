"""Sound in an enrolment that is unlike all the rest of it: a slammed door, a voice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

FAR_DEVIATIONS = 6.0
"""Robust standard deviations of the logarithm of the distance: gamma-like distances of a day stay below 4."""
CLEAR_DEVIATIONS = 3.0
"""And this many in every view: what a person would call another sound is heard from all sides, while one window that
only the network finds odd is not worth a question."""
FAR_RATIO = 2.0
"""And at least this many times the usual distance: sound that hardly varies has no outliers in its rounding."""
MOST_SHARE = 0.1
"""More than this share of the windows is no accident but something the machine does."""


@dataclass(frozen=True)
class Outlier:
    """A stretch of the enrolment far from all the rest.

    name: the recording. start_s, end_s: where in it. windows: index of each window, int [k].
    times: how many times as far off as usual its furthest window is.
    """

    name: str
    start_s: float
    end_s: float
    windows: tuple[int, ...]
    times: float

    @property
    def text(self) -> str:
        """For a person."""
        return (
            f"{self.name} from {clock(self.start_s)} to {clock(self.end_s)}: {self.times:.1f} times as far off as usual"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "name": self.name,
            "start_s": round(self.start_s, 2),
            "end_s": round(self.end_s, 2),
            "windows": len(self.windows),
            "times": round(self.times, 2),
        }


def clock(seconds: float) -> str:
    """ "3:07", "1:02:03"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def find_outliers(
    distances: np.ndarray, names: Sequence[str], starts_s: np.ndarray, window_s: float
) -> tuple[Outlier, ...]:
    """Stretches that are far off; those that touch are one. Empty where they are no exception.

    distances: [n, views], each window's distance to the nearest of other parts of the enrolment, in order of time.
    names: [n], the recording each window is of. starts_s: [n], where in it the window begins.
    """
    logs = np.log(np.maximum(np.asarray(distances, np.float64), 1e-9))
    middle = np.median(logs, axis=0)
    spread = 1.4826 * np.median(np.abs(logs - middle), axis=0)
    rise = logs - middle
    far = ((rise > FAR_DEVIATIONS * spread) & (rise > np.log(FAR_RATIO))).any(axis=1)
    far &= (rise > CLEAR_DEVIATIONS * spread).all(axis=1)
    places = np.flatnonzero(far)
    if places.size == 0 or places.size > MOST_SHARE * len(far):
        return ()
    found: list[list[int]] = []
    for place in places.tolist():
        last = found[-1][-1] if found else None
        touches = last is not None and names[last] == names[place] and starts_s[place] <= starts_s[last] + window_s
        if touches:
            found[-1].append(place)
        else:
            found.append([place])
    return tuple(
        Outlier(
            name=names[own[0]],
            start_s=float(starts_s[own[0]]),
            end_s=float(starts_s[own[-1]] + window_s),
            windows=tuple(own),
            times=float(np.exp(rise[own].max())),
        )
        for own in found
    )

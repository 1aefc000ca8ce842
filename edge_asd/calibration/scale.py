"""The scale scores are shown on: 0 to 100 with the threshold at 50, the same for every scorer and every machine.

Raw scores are as good as unbounded: 3 is rare for one machine, 300 is a plain fault on another. `100 s / (s + t)` keeps
their order, puts the threshold t at 50 and twice, three, nine times the threshold at 67, 75 and 90. It never saturates
(every larger raw score is shown larger) and can be inverted. Higher is more anomalous.
"""

from __future__ import annotations

import math

SHOWN_THRESHOLD = 50.0
"""Where every threshold stands on the scale."""
SHOWN_TOP = 100.0
"""What no finite score reaches."""
LEAST_THRESHOLD = 1e-9
"""Thresholds count as at least this: a raw score of 0 is shown as 0 whatever the threshold."""


def shown(score: float, threshold: float) -> float:
    """A raw score (0 or more; less counts as 0) on the scale of people, given its raw threshold."""
    score, threshold = max(0.0, float(score)), max(LEAST_THRESHOLD, float(threshold))
    if math.isinf(score):
        return SHOWN_TOP
    return SHOWN_TOP * (score / (score + threshold))  # the share first: it cannot round above 1


def raw(value: float, threshold: float) -> float:
    """The raw score that is shown as `value` (0 to 100), given its raw threshold; infinite for 100."""
    if value >= SHOWN_TOP:
        return math.inf
    return max(LEAST_THRESHOLD, float(threshold)) * value / (SHOWN_TOP - value)

"""A false-alarm budget: how many alarms a healthy machine may cost its owner, such as 1/week."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_asd.errors import DataError

PERIODS_S = {"hour": 3600.0, "day": 86400.0, "week": 604800.0, "month": 2629800.0, "year": 31557600.0}
"""A month is a twelfth of a year of 365.25 days."""
MOST_A_PERIOD = 1000.0
EXAMPLES = "1/week, 0.5/day or 2/month"


@dataclass(frozen=True)
class Budget:
    """How many false alarms are accepted in which period.

    alarms: a number above 0, at most 1000. period: one of `PERIODS_S`.
    """

    alarms: float
    period: str

    def __post_init__(self) -> None:
        if self.period not in PERIODS_S or not 0.0 < self.alarms <= MOST_A_PERIOD:
            raise DataError(f"{_plain(self.alarms)}/{self.period} is no false-alarm budget", remedy=f"write {EXAMPLES}")

    @classmethod
    def parse(cls, text: str) -> Budget:
        """From "1/week", "2/month", "0.5/day". Raises DataError for anything else."""
        match = re.fullmatch(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*/\s*([a-z]+)\s*", text)
        if match is None:
            raise DataError(f"{text!r} is no false-alarm budget", remedy=f"write {EXAMPLES}")
        return cls(float(match[1]), match[2])

    @property
    def period_s(self) -> float:
        """Seconds in the period."""
        return PERIODS_S[self.period]

    @property
    def rate_hz(self) -> float:
        """Alarms a second."""
        return self.alarms / self.period_s

    def __str__(self) -> str:
        return f"{_plain(self.alarms)}/{self.period}"

    @property
    def words(self) -> str:
        """ "1 false alarm a week", "2 false alarms an hour"."""
        return f"{_plain(self.alarms)} false alarm{'' if self.alarms == 1 else 's'} {a_period(self.period)}"


def a_period(period: str) -> str:
    """ "a week", "an hour"."""
    return f"{'an' if period == 'hour' else 'a'} {period}"


def _plain(number: float) -> str:
    """With all the digits `Budget.parse` reads, and no exponent, which it does not."""
    return f"{number:.6f}".rstrip("0").rstrip(".")

"""Budgets as people write them."""

from __future__ import annotations

import pytest

from edge_asd.calibration.budget import Budget
from edge_asd.errors import DataError


@pytest.mark.parametrize(
    ("text", "seconds_an_alarm"),
    [("1/week", 604800), ("1/day", 86400), ("2/month", 1314900), ("0.5/day", 172800), (" 3 / hour ", 1200)],
)
def test_budgets(text: str, seconds_an_alarm: float) -> None:
    assert 1.0 / Budget.parse(text).rate_hz == pytest.approx(seconds_an_alarm)


def test_it_is_written_as_it_is_read() -> None:
    for text in ("1/week", "0.5/day", "2/month", "0.000001/year", "123.456789/hour", "1000/hour"):
        assert str(Budget.parse(text)) == text


def test_in_words() -> None:
    assert Budget.parse("1/week").words == "1 false alarm a week"
    assert Budget.parse("0.5/day").words == "0.5 false alarms a day"
    assert Budget.parse("20/hour").words == "20 false alarms an hour"


@pytest.mark.parametrize(
    "text", ["", "1", "week", "0/week", "-1/week", "1/fortnight", "1/2", "nan/day", "1e3/day", "9999/day"]
)
def test_what_is_no_budget_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(DataError, match=r"is no false-alarm budget; write 1/week"):
        Budget.parse(text)

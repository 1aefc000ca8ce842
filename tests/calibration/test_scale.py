"""The scale people read: 50 at the threshold, never full, and back again."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.calibration.scale import SHOWN_THRESHOLD, raw, shown

thresholds = st.floats(1e-6, 1e4)


@given(thresholds)
def test_the_threshold_is_shown_at_50_whatever_it_is(threshold: float) -> None:
    assert shown(threshold, threshold) == pytest.approx(SHOWN_THRESHOLD)
    assert shown(0.0, threshold) == 0.0
    assert shown(9.0 * threshold, threshold) == pytest.approx(90.0)


@given(st.floats(0.0, 1e5), thresholds)
def test_it_can_be_inverted(score: float, threshold: float) -> None:
    assert raw(shown(score, threshold), threshold) == pytest.approx(score, rel=1e-3, abs=1e-9 * threshold)


@given(st.lists(st.floats(0.0, 1e4), min_size=2, max_size=30), thresholds)
def test_order_is_kept_and_100_is_never_reached(scores: list[float], threshold: float) -> None:
    on_scale = [shown(score, threshold) for score in sorted(scores)]
    assert on_scale == sorted(on_scale)
    assert on_scale[0] >= 0.0 and on_scale[-1] < 100.0


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1e-300])
def test_a_threshold_of_nothing_divides_by_nothing(threshold: float) -> None:
    assert shown(0.0, threshold) == 0.0
    assert 50.0 < shown(1e-6, threshold) < 100.0


def test_less_than_nothing_and_infinity_stay_on_the_scale() -> None:
    assert shown(-1e-9, 2.0) == 0.0
    assert shown(math.inf, 2.0) == 100.0
    assert raw(100.0, 2.0) == math.inf


@given(st.floats(1.0, 1e300), thresholds)
def test_however_far_it_stays_on_the_scale(score: float, threshold: float) -> None:
    assert 0.0 < shown(score, threshold) <= 100.0

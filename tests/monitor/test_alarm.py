"""Alarms from scores: confirmation, hysteresis, cool-down and gaps, in samples of sound."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.detector import WindowScore
from edge_asd.errors import ConfigError
from edge_asd.monitor.alarm import EVIDENCE_WINDOWS, AlarmEvent, AlarmSettings, AlarmTracker

RATE_HZ = 1000
WINDOW = 2000
STEP = 1000
THRESHOLD = 1.0
SETTINGS = AlarmSettings(confirm_s=3.0, release_ratio=0.8, release_s=2.0, cooldown_s=10.0)


def window(index: int, score: float, *, shift: int = 0, window_score: float | None = None) -> WindowScore:
    """Window number `index` of a stream with a step of 1 s; its end is at 2 + index seconds."""
    start = index * STEP + shift
    end = start + WINDOW
    return WindowScore(
        start_position=start,
        end_position=end,
        time=end / RATE_HZ,
        score=score,
        window_score=score if window_score is None else window_score,
        threshold=THRESHOLD,
        anomalous=score > THRESHOLD,
        level_dbfs=-30.0,
        frames_db=np.zeros((2, 4), np.float32),
        nearest=0,
    )


def events_of(scores: Iterable[float], settings: AlarmSettings = SETTINGS) -> list[tuple[int, AlarmEvent]]:
    tracker = AlarmTracker(settings, rate_hz=RATE_HZ)
    seen = []
    for i, score in enumerate(scores):
        event = tracker.update(window(i, score))
        if event is not None:
            seen.append((i, event))
    return seen


def test_an_alarm_starts_after_the_confirmation_and_tells_when_it_began() -> None:
    ((at, event),) = events_of([0.5, 0.5, 1.5, 1.9, 1.2, 1.3])
    assert at == 5
    assert (event.state, event.reason) == ("start", "confirmed")
    assert (event.time, event.start, event.end) == (7.0, 4.0, None)
    assert (event.peak, event.peak_time) == (1.9, 5.0)


def test_a_score_at_the_threshold_is_not_above_it() -> None:
    assert events_of([1.0] * 10) == []


def test_one_score_below_restarts_the_confirmation() -> None:
    ((at, _),) = events_of([1.5, 1.5, 1.5, 0.99, 1.5, 1.5, 1.5, 1.5])
    assert at == 7


def test_without_confirmation_the_first_score_above_is_the_alarm() -> None:
    ((at, event),) = events_of([0.5, 1.5], AlarmSettings(confirm_s=0.0))
    assert at == 1
    assert event.time == event.start == 3.0


def test_confirmation_is_a_time_whatever_the_step() -> None:
    tracker = AlarmTracker(SETTINGS, rate_hz=RATE_HZ)
    half_steps = [window(0, 1.5, shift=i * STEP // 2) for i in range(10)]
    fired = [score.time for score in half_steps if tracker.update(score)]
    assert fired == [half_steps[0].time + SETTINGS.confirm_s]


def test_it_ends_only_below_the_release_level_for_long_enough() -> None:
    #           0    1    2    3 on  4     5    6    7     8    9    10 off
    scores = [1.5, 1.5, 1.5, 1.5, 0.9, 0.79, 0.7, 0.81, 0.7, 0.7, 0.7]
    (start, end) = events_of(scores)
    assert start[0] == 3
    assert end[0] == 10
    assert (end[1].state, end[1].reason, end[1].id) == ("end", "released", start[1].id)
    assert (end[1].time, end[1].end, end[1].start) == (12.0, 10.0, 2.0)


def test_no_alarm_starts_while_it_cools_down_and_a_lasting_one_starts_after() -> None:
    scores = [1.5] * 4 + [0.1] * 3 + [1.5] * 20
    started = [(at, event) for at, event in events_of(scores) if event.state == "start"]
    ended = [at for at, event in events_of(scores) if event.state == "end"]
    assert ended == [6]
    assert [at for at, _ in started] == [3, 16]
    assert started[1][1].start == 9.0
    assert started[0][1].id != started[1][1].id


def test_a_burst_within_the_cool_down_is_no_alarm() -> None:
    scores = [1.5] * 4 + [0.1] * 3 + [1.5] * 5 + [0.1] * 20
    assert [event.state for _, event in events_of(scores)] == ["start", "end"]


def test_a_gap_breaks_confirmation_but_not_an_alarm() -> None:
    tracker = AlarmTracker(SETTINGS, rate_hz=RATE_HZ)
    before = [tracker.update(window(i, 1.5)) for i in range(3)]
    after = [tracker.update(window(i, 1.5, shift=5 * WINDOW)) for i in range(3, 7)]
    assert before + after[:3] == [None] * 6
    assert after[3] is not None
    assert after[3].start == window(3, 1.5, shift=5 * WINDOW).time
    still = tracker.update(window(7, 0.1, shift=50 * WINDOW))
    assert still is None
    assert tracker.active_id is not None


def test_a_gap_breaks_a_release() -> None:
    tracker = AlarmTracker(SETTINGS, rate_hz=RATE_HZ)
    for i in range(6):
        tracker.update(window(i, 1.5 if i < 4 else 0.1))
    assert tracker.update(window(6, 0.1, shift=5 * WINDOW)) is None
    assert tracker.update(window(7, 0.1, shift=5 * WINDOW)) is None
    assert tracker.update(window(8, 0.1, shift=5 * WINDOW)) is not None


def test_the_end_of_the_run_ends_the_alarm() -> None:
    tracker = AlarmTracker(SETTINGS, rate_hz=RATE_HZ)
    assert tracker.finish() is None
    for i in range(5):
        tracker.update(window(i, 1.5))
    event = tracker.finish()
    assert event is not None
    assert (event.state, event.reason, event.end) == ("end", "stopped", 6.0)
    assert tracker.finish() is None


def test_a_clock_that_is_set_back_changes_nothing() -> None:
    tracker = AlarmTracker(SETTINGS, rate_hz=RATE_HZ)
    fired = [
        i
        for i in range(6)
        if tracker.update(dataclasses.replace(window(i, 1.5), time=window(i, 1.5).time - 3600 * (i > 1)))
    ]
    assert fired == [3]


def test_evidence_is_the_most_anomalous_windows_in_order_and_bounded() -> None:
    tracker = AlarmTracker(SETTINGS, rate_hz=RATE_HZ)
    for i in range(100):
        tracker.update(window(i, 1.5, window_score=1.0 + (i * 37 % 100) / 100))
    event = tracker.finish()
    assert event is not None
    assert len(event.evidence) == EVIDENCE_WINDOWS
    assert [w.start_position for w in event.evidence] == sorted(w.start_position for w in event.evidence)
    assert min(w.window_score for w in event.evidence) == pytest.approx(1.0 + (100 - EVIDENCE_WINDOWS) / 100)


@given(st.lists(st.floats(0.0, 2.0), max_size=60))
def test_starts_and_ends_alternate_and_keep_their_distance(scores: list[float]) -> None:
    events = [event for _, event in events_of(scores)]
    assert [event.state for event in events] == list(itertools.islice(itertools.cycle(("start", "end")), len(events)))
    for first, second in itertools.pairwise(events):
        if first.state == "end":
            assert second.time - first.time >= SETTINGS.cooldown_s
        else:
            assert second.id == first.id
            assert second.time - first.time >= SETTINGS.release_s
    assert all(event.time - event.start >= SETTINGS.confirm_s for event in events)
    assert all(event.peak > THRESHOLD for event in events)


@pytest.mark.parametrize(
    "wrong", [{"confirm_s": -1.0}, {"release_s": float("nan")}, {"release_ratio": 0.0}, {"release_ratio": 1.5}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        AlarmSettings(**wrong)

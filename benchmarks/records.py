"""Records as a live run makes them, by the number: for the benchmarks and tests of what takes records."""

from __future__ import annotations

import numpy as np

from edge_asd.detector import WindowScore
from edge_asd.explain import BandChange, Explanation, Finding
from edge_asd.monitor.alarm import AlarmEvent, alarm_id
from edge_asd.monitor.records import AlarmRecord, ScoreRecord

NOON = 1_767_268_800.0
"""2026-01-01T12:00:00Z"""
STEP_S = 1.024
RATE_HZ = 16000
_EXPLANATION = Explanation(
    "new tone near 2.0 kHz, +8 dB; impacts, 12 a second",
    (BandChange(1900.0, 2100.0, 8.0),),
    (
        Finding("tone", "new tone near 2.0 kHz, +8 dB", 14.0, 1900.0, 2100.0, frequency_hz=2050.0, change_db=8.0),
        Finding("impacts", "impacts, 12 a second", 9.0, 500.0, 6000.0, rate_hz=12.0),
    ),
)


def score_at(time: float, value: float = 20.0, machine: str = "fan", *, clock_known: bool = True) -> ScoreRecord:
    """A score of the window that ended at `time`, Unix UTC s."""
    return ScoreRecord(machine, time, value, value, 50.0, value > 50.0, -31.4, None, clock_known)


def alarm_at(
    start: float,
    state: str = "start",
    machine: str = "fan",
    *,
    end_position: int = RATE_HZ,
    late_s: float = 3.0,
    lasts_s: float = 20.0,
    mark: str = "",
    clock_known: bool = True,
) -> AlarmRecord:
    """The start, or the end, of the alarm that started at `start`, Unix UTC s.

    end_position: where in the stream that was. late_s: after how long it was raised. lasts_s: until its end.
    mark: appended to its id, as before the clock is set.
    """
    ended = state == "end"
    time = start + (lasts_s + 5.0 if ended else late_s)
    window = WindowScore(
        end_position - RATE_HZ, end_position, start, 70.0, 80.0, 50.0, True, -30.0, np.zeros((4, 4), np.float32), 0
    )
    event = AlarmEvent(
        state=state,
        id=alarm_id(start) + mark,
        time=time,
        start=start,
        end=start + lasts_s if ended else None,
        peak=70.0,
        peak_time=start,
        threshold=50.0,
        reason="released" if ended else "confirmed",
        evidence=(window,),
    )
    return AlarmRecord(machine, event, _EXPLANATION, clock_known)

"""From scores to alarms with a start and an end: hysteresis, confirmation and cool-down, as a pure state machine.

All spans are counted in samples of the stream, so a stepped clock or a run faster than real time changes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_asd.errors import ConfigError
from edge_asd.formats import iso_utc

if TYPE_CHECKING:
    from edge_asd.detector import WindowScore

EVIDENCE_WINDOWS = 16
"""Windows an alarm keeps to be explained by: its most anomalous ones, so an alarm of a week needs no more memory."""


@dataclass(frozen=True)
class AlarmSettings:
    """When scores become an alarm and when it is over.

    Four spans add up before an alarm is raised, and each is set on its own, in seconds:

    * the window (the model's contract) is the sound one score looks at; a fault shows fully once it fills a window;
    * the step says how often a score is given, and nothing else: halving it doubles the work, not the patience;
    * smoothing is the span of windows whose mean is the score: longer means fewer chance peaks and a later alarm;
    * `confirm_s` is how long the smoothed score must then stay above the threshold.

    A single bang is in one or two windows (more where they overlap) and, by the smoothing, in a few more scores; as
    long as `confirm_s` is longer than they are, it starts no alarm.

    Confirmation is a time, not a number of windows, so changing the step does not change it: at a step of 1 s,
    `confirm_s` 3 needs 4 scores in a row; at 0.5 s it needs 7. The score that confirms is the first one at or
    after the full span.
    """

    confirm_s: float = 3.0
    """Seconds the score stays above the threshold before an alarm starts; 0: the first score above starts it."""
    release_ratio: float = 0.9
    """Share of the threshold (above 0, at most 1) the score must fall below to end an alarm. The threshold stands at 50
    of 100 (`calibration.scale`): 0.9 ends an alarm below 45, where the raw score is 0.82 of the raw threshold."""
    release_s: float = 5.0
    """Seconds the score stays below `release_ratio` x threshold before the alarm ends."""
    cooldown_s: float = 60.0
    """Seconds after an alarm has ended in which no other starts; one still confirmed then starts when they are over."""

    def __post_init__(self) -> None:
        for name in ("confirm_s", "release_s", "cooldown_s"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"alarm.{name} is {getattr(self, name)}", remedy="give seconds, 0 or more")
        if not 0 < self.release_ratio <= 1:
            raise ConfigError(f"alarm.release_ratio is {self.release_ratio}", remedy="give a number above 0, at most 1")


@dataclass(frozen=True)
class AlarmEvent:
    """An alarm that has just started or just ended.

    state: "start" or "end".
    id: the same for an alarm's start and end; made of the start's time.
    time: the window end at which this became known, Unix UTC s.
    start: end of the first window above the threshold, Unix UTC s.
    end: end of the first window below the release level, Unix UTC s; None while the alarm lasts.
    peak, peak_time: highest smoothed score so far and its window's end, Unix UTC s.
    threshold: what the score was compared with at `time`.
    reason: "confirmed" for a start; "released" for an end, or "stopped" when the run ended before the alarm did.
    evidence: the most anomalous windows so far, in order of time, at most EVIDENCE_WINDOWS.
    """

    state: str
    id: str
    time: float
    start: float
    end: float | None
    peak: float
    peak_time: float
    threshold: float
    reason: str
    evidence: tuple[WindowScore, ...]


class AlarmTracker:
    """Scores in, alarm starts and ends out.

    settings: spans and the release level.
    rate_hz: rate of the positions in the scores.
    id_mark: gives what is appended to an alarm's id (see `RunClock.mark`).

    A gap in the stream (a window that begins after the last one ended) breaks what must be unbroken: confirmation and
    release start afresh, while an alarm that is on stays on, since nothing has shown that the machine is well.
    """

    def __init__(self, settings: AlarmSettings, *, rate_hz: int, id_mark: Callable[[], str] = lambda: "") -> None:
        self._settings = settings
        self._id_mark = id_mark
        self._rate_hz = rate_hz
        self.reset()

    def reset(self) -> None:
        """Forget everything, an alarm that is on included."""
        self._last: WindowScore | None = None
        self._above: list[WindowScore] = []
        self._peak: WindowScore | None = None
        self._first: WindowScore | None = None
        self._below: WindowScore | None = None
        self._ended_at: int | None = None
        self._id: str | None = None

    @property
    def active_id(self) -> str | None:
        """Id of the alarm that is on, or None."""
        return self._id

    def update(self, score: WindowScore) -> AlarmEvent | None:
        """Take the next score; give the alarm it starts or ends, if any."""
        if self._last is not None and score.start_position > self._last.end_position:
            if self._id is None:
                self._forget_rise()
            self._below = None
        self._last = score
        return self._while_on(score) if self._id is not None else self._while_off(score)

    def redate(self, step_s: float) -> None:
        """Add `step_s` to every time kept so far: the clock they were read from was wrong. An alarm keeps its id."""

        def moved(score: WindowScore | None) -> WindowScore | None:
            return None if score is None else dataclasses.replace(score, time=score.time + step_s)

        self._last, self._peak, self._first, self._below = map(
            moved, (self._last, self._peak, self._first, self._below)
        )
        self._above = [dataclasses.replace(score, time=score.time + step_s) for score in self._above]

    def finish(self) -> AlarmEvent | None:
        """End of the run: give the end of the alarm that is on, if any (reason "stopped")."""
        if self._id is None or self._last is None:
            return None
        event = self._event("end", self._last, end=self._last.time, reason="stopped")
        self.reset()
        return event

    def _while_off(self, score: WindowScore) -> AlarmEvent | None:
        if not score.anomalous:
            self._forget_rise()
            return None
        self._first = self._first or score
        self._remember(score)
        if not self._span_over(self._first.end_position, score, self._settings.confirm_s):
            return None
        if self._ended_at is not None and not self._span_over(self._ended_at, score, self._settings.cooldown_s):
            return None
        self._id = alarm_id(self._first.time) + self._id_mark()
        return self._event("start", score, end=None, reason="confirmed")

    def _while_on(self, score: WindowScore) -> AlarmEvent | None:
        if score.anomalous:
            self._remember(score)
        if score.score >= self._settings.release_ratio * score.threshold:
            self._below = None
            return None
        self._below = self._below or score
        if not self._span_over(self._below.end_position, score, self._settings.release_s):
            return None
        event = self._event("end", score, end=self._below.time, reason="released")
        self.reset()
        self._last, self._ended_at = score, score.end_position
        return event

    def _forget_rise(self) -> None:
        self._above.clear()
        self._first = self._peak = None

    def _span_over(self, since_position: int, score: WindowScore, span_s: float) -> bool:
        return score.end_position - since_position >= span_s * self._rate_hz

    def _remember(self, score: WindowScore) -> None:
        if self._peak is None or score.score > self._peak.score:
            self._peak = score
        self._above.append(score)
        if len(self._above) > EVIDENCE_WINDOWS:
            weakest = min(range(len(self._above)), key=lambda i: self._above[i].window_score)
            del self._above[weakest]

    def _event(self, state: str, score: WindowScore, *, end: float | None, reason: str) -> AlarmEvent:
        assert self._id is not None and self._first is not None and self._peak is not None
        return AlarmEvent(
            state=state,
            id=self._id,
            time=score.time,
            start=self._first.time,
            end=end,
            peak=self._peak.score,
            peak_time=self._peak.time,
            threshold=score.threshold,
            reason=reason,
            evidence=tuple(self._above),
        )


def alarm_id(start: float) -> str:
    """Name of the alarm that started at `start` (Unix UTC s): sortable, and safe as a file name."""
    return iso_utc(start).replace("-", "").replace(":", "").replace(".", "-")

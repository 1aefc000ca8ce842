"""A shifted baseline: for many minutes everything has moved a little, and steadily. Another load, season, gain or room.

It looks like an anomaly to any score, yet nothing broke. What tells it apart is how it came and what it moved:

* it lasts: in every minute of `span_s` the median window is rarer than nine in ten windows of the enrolment were;
* it came slowly: since the last ordinary minute no minute changed the bands by more than two fifths of what they have
  moved in all, so it took three minutes at least (or nobody heard it come: it was there when the run began);
* everything moved: at least half of the bands left the enrolled windows nearest to them by more than a decibel and
  more than half of their own enrolled spread, on the median of the span; a part that fails moves its own tones or one
  region;
* it is steady: from window to window the bands vary no more than at enrolment.

A fault can meet all four (slow wear of everything): the event says what moved and by how much, and leaves alarms as
they are. It ends when the median window is as ordinary as three in four of the enrolment.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_asd.explain.findings import hz_words
from edge_asd.formats import iso_utc
from edge_asd.frontend import mel_edges_hz
from edge_asd.monitor.records import HealthRecord

if TYPE_CHECKING:
    from edge_asd.bundle.bundle import Bundle
    from edge_asd.detector import WindowScore
    from edge_asd.explain import Explanation

KIND = "shift"
RARE_SHARE, USUAL_SHARE = 0.90, 0.75
MOVED_DB, MOVED_SPREADS, MOVED_SHARE = 1.0, 0.5, 0.5
STEADY_RATIO = 1.5
STEP_SHARE = 0.4
REGIONS_HZ = (500.0, 2000.0)
"""Borders of what is told as low, middle and high."""


@dataclass(frozen=True)
class ShiftSettings:
    """Spans, in seconds of sound: how long a shift must last, what is a minute, and how much sound may be missing
    before all is forgotten."""

    span_s: float = 600.0
    minute_s: float = 60.0
    forget_s: float = 600.0


@dataclass(frozen=True)
class ShiftBaseline:
    """What the enrolment says of single windows.

    mean_db: float32 [n, n_mels], mean spectrum of each kept window. spread_db: [n_mels], its standard deviation.
    unsteadiness_db: median absolute deviation of a band from its median. usual, rare: scores (0 to 100) that three in
    four and nine in ten windows stay below. edges_hz: [n_mels + 2].
    """

    mean_db: np.ndarray
    spread_db: np.ndarray
    unsteadiness_db: float
    usual: float
    rare: float
    edges_hz: np.ndarray

    @classmethod
    def of(cls, bundle: Bundle) -> ShiftBaseline:
        """From a bundle; its windows' scores are those of the enrolment against itself."""
        scores = bundle.live_calibrations[0].score(bundle.enrolment_scores.distances)
        mean_db = bundle.normal.spectra.mean_db
        middle = np.median(mean_db, axis=0)
        return cls(
            mean_db=mean_db,
            spread_db=mean_db.std(axis=0),
            unsteadiness_db=max(0.1, float(np.median(np.abs(mean_db - middle)))),
            usual=float(np.quantile(scores, USUAL_SHARE)),
            rare=float(np.quantile(scores, RARE_SHARE)),
            edges_hz=mel_edges_hz(bundle.contract.features),
        )


@dataclass(frozen=True)
class _Minute:
    end_s: float
    score: float
    change_db: np.ndarray
    unsteadiness_db: float


class ShiftWatch:
    """Judges windows minute by minute; pure: scored windows in, records out.

    machine: its name. baseline: of the enrolment. rate_hz: of the positions in the windows. bundle: name of the file,
    for the remedy.
    """

    def __init__(
        self,
        machine: str,
        baseline: ShiftBaseline,
        rate_hz: int,
        *,
        bundle: str = "FILE.asd",
        settings: ShiftSettings | None = None,
    ) -> None:
        self._machine, self._baseline, self._rate_hz, self._bundle = machine, baseline, rate_hz, bundle
        self._settings = settings or ShiftSettings()
        self._minutes: deque[_Minute] = deque(maxlen=max(1, round(self._settings.span_s / self._settings.minute_s)))
        self._scores: list[float] = []
        self._changes: list[np.ndarray] = []
        self._begun_s: float | None = None
        self._last_s: float | None = None
        self._before_db: np.ndarray | None = None
        self._largest_step_db = 0.0
        self._on_since: float | None = None
        self._words = ""

    @property
    def on(self) -> bool:
        """Whether the baseline is shifted now."""
        return self._on_since is not None

    def compare_with(self, mean_db: np.ndarray) -> None:
        """From the next window on, `WindowScore.nearest` counts in these mean spectra [n, n_mels]."""
        self._baseline = dataclasses.replace(self._baseline, mean_db=mean_db)

    def told(self, explanation: Explanation) -> Explanation:
        """The explanation of an alarm that starts or ends now: told as a shift while one is on."""
        if self._on_since is None:
            return explanation
        text = f"the baseline has shifted ({self._words}), probably no fault of one part; {explanation.text}"
        return dataclasses.replace(explanation, text=text)

    def judge(self, score: WindowScore, alarm: str | None) -> Iterator[HealthRecord]:
        """Take the next window and the id of the alarm that is on; give the shift that started or ended with it."""
        end_s = score.end_position / self._rate_hz
        if self._last_s is not None and not 0.0 <= end_s - self._last_s <= self._settings.forget_s:
            self._minutes.clear()
            self._scores, self._changes, self._begun_s = [], [], None
            self._before_db, self._largest_step_db = None, 0.0
        self._last_s = end_s
        self._begun_s = end_s if self._begun_s is None else self._begun_s
        self._scores.append(score.window_score)
        self._changes.append(score.frames_db.mean(axis=0) - self._baseline.mean_db[score.nearest])
        if end_s - self._begun_s < self._settings.minute_s:
            return
        self._close_minute(end_s)
        yield from self._verdict(score.time, alarm)

    def _close_minute(self, end_s: float) -> None:
        changes = np.array(self._changes)
        change = np.median(changes, axis=0)
        minute = _Minute(end_s, float(np.median(self._scores)), change, float(np.median(np.abs(changes - change))))
        self._minutes.append(minute)
        self._scores, self._changes, self._begun_s = [], [], None
        if self._before_db is not None:
            self._largest_step_db = max(self._largest_step_db, float(np.abs(change - self._before_db).mean()))
        if minute.score <= self._baseline.usual:
            self._largest_step_db = 0.0
        self._before_db = change

    def _verdict(self, time: float, alarm: str | None) -> Iterator[HealthRecord]:
        if len(self._minutes) < (self._minutes.maxlen or 1):
            return
        scores = np.array([minute.score for minute in self._minutes])
        change = np.median([minute.change_db for minute in self._minutes], axis=0)
        if self._on_since is not None:
            if np.median(scores) <= self._baseline.usual:
                self._on_since = None
                words = f"over: the baseline is as enrolled again (it was: {self._words})"
                yield HealthRecord(self._machine, time, KIND, "end", words)
            elif scores.min() > self._baseline.rare:
                self._words = change_words(change, self._baseline.edges_hz)
            return
        lasting = scores.min() > self._baseline.rare
        if lasting and self._slow(change) and self._steady() and self._everything(change):
            self._on_since = time
            self._words = change_words(change, self._baseline.edges_hz)
            yield HealthRecord(self._machine, time, KIND, "start", self._message(time, alarm))

    def _slow(self, change: np.ndarray) -> bool:
        return self._largest_step_db <= STEP_SHARE * float(np.abs(change).mean())

    def _steady(self) -> bool:
        unsteadiness = float(np.median([minute.unsteadiness_db for minute in self._minutes]))
        return unsteadiness <= STEADY_RATIO * self._baseline.unsteadiness_db

    def _everything(self, change: np.ndarray) -> bool:
        needed = np.maximum(MOVED_DB, MOVED_SPREADS * self._baseline.spread_db)
        return bool(np.mean(np.abs(change) > needed) >= MOVED_SHARE)

    def _message(self, time: float, alarm: str | None) -> str:
        since = iso_utc(time - self._settings.span_s)
        about = f"; the alarm {alarm} is this shift and probably no fault of one part" if alarm else ""
        return (
            f"everything has moved slowly and stays so since {since} or before: {self._words}{about}. If the machine "
            f"is well, add a minute of its sound: edge-asd enroll --append {self._bundle} --domain target"
        )


def change_words(change_db: np.ndarray, edges_hz: np.ndarray) -> str:
    """What moved, in decibels: the median of all bands, and what low, middle and high bands did beside that."""
    level = float(np.median(change_db))
    middles = 0.5 * (edges_hz[2:] + edges_hz[:-2])
    low, high = REGIONS_HZ
    regions = (
        (f"below {hz_words(low)}", middles < low),
        (f"{hz_words(low)} to {hz_words(high)}", (middles >= low) & (middles < high)),
        (f"above {hz_words(high)}", middles >= high),
    )
    beside = [
        f"{name} {float(np.median(change_db[inside])) - level:+.1f} dB" for name, inside in regions if inside.any()
    ]
    return f"level {level:+.1f} dB; beside that {', '.join(beside)}"

"""The health of what is heard: a microphone dead, clipped, humming, deaf or swapped, or a driver that loses sound.

A fault of the microphone looks like an anomaly of the machine, or worse like silence where an alarm should be; each is
an event of its own. What is normal is taken from the enrolment. Plain loudness is told here as well: it needs no model.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge_asd.audio.block import AudioBlock, level_dbfs
from edge_asd.enrolment.hearing import CLIPPED_SHARE_LIMIT, FULL_SCALE, SILENCE_LIMIT_DBFS
from edge_asd.enrolment.sound_levels import SoundBaseline, hum_db
from edge_asd.monitor.records import HealthRecord

QUIET_DB, LOUD_DB = 15.0, 10.0
"""Below the enrolment's floor, and above its loudest second."""
HUM_RISE_DB, HUM_LEAST_DB = 10.0, 0.0
"""Above the enrolment's hum, and in itself: hum that is not at least half of the low sound is nobody's trouble."""
OVERRUNS, OVERRUNS_SPAN_S = 10, 60
SWAPPED, NARROW = "swapped", "narrow"


@dataclass(frozen=True)
class _Rule:
    """A fault that lasts: it starts after `on_s` seconds in a row that show it, and ends after `off_s` that do not."""

    kind: str
    on_s: int
    off_s: int
    words: str


RULES = (
    _Rule("dead", 5, 2, "the microphone gives no sound at all: check its cable"),
    _Rule("clipped", 5, 10, "the sound is at full scale again and again: lower the microphone's gain"),
    _Rule("hum", 10, 10, "mains hum that was not there at enrolment: check cable, supply and grounding"),
    _Rule("quiet", 60, 10, "far quieter than ever at enrolment: the machine is off, or the microphone covered"),
    _Rule("loud", 5, 10, "far louder than ever at enrolment"),
    _Rule(
        "overruns", 1, OVERRUNS_SPAN_S, "sound is lost again and again: the device is too slow or its driver failing"
    ),
)


class Health:
    """Judges the sound second by second; pure: blocks in, records out.

    machine: its name. rate_hz: of the blocks. baseline: of the enrolment; None: dead and clipped can still be told.
    """

    def __init__(self, machine: str, rate_hz: int, baseline: SoundBaseline | None) -> None:
        self._machine = machine
        self._rate_hz = rate_hz
        self._baseline = baseline
        self._held: list[np.ndarray] = []
        self._n_held = 0
        self._gaps_s: deque[float] = deque()
        self._spans = {rule.kind: 0 for rule in RULES}
        self._on: dict[str, str] = {}

    def judge(self, block: AudioBlock) -> Iterator[HealthRecord]:
        """Take the next block; give what started or ended with it."""
        if block.gap_samples:
            self._held, self._n_held = [], 0
            self._gaps_s.append(block.position / self._rate_hz)
        self._held.append(block.samples)
        self._n_held += block.samples.size
        while self._n_held >= self._rate_hz:
            sound = np.concatenate(self._held)
            second, rest = sound[: self._rate_hz], sound[self._rate_hz :]
            self._held, self._n_held = [rest], rest.size
            end = block.position + block.samples.size - rest.size
            yield from self._second(second, end / self._rate_hz, self._time(block, end))

    def microphone(
        self, found: str, enrolled: str | None, time: float, *, found_hz: int = 0, enrolled_hz: int = 0
    ) -> Iterator[HealthRecord]:
        """A microphone was opened; tell when it is not the one that was enrolled with, and when it is again.

        found, enrolled: stable names; None: not known. time: Unix UTC s. found_hz, enrolled_hz: rates they are opened
        at; 0: not known. A rate below the model's leaves its upper bands empty: no fault of the machine's, so it is
        told, unless it was so at enrolment.
        """
        swapped = enrolled is not None and found != enrolled
        words = f"this is {found}, and {enrolled} was enrolled with: enrol again, or plug that one in"
        yield from self._changed(SWAPPED, swapped, words, time)
        needed_hz = min(self._rate_hz, enrolled_hz or self._rate_hz)
        words = (
            f"{found} gives {found_hz} Hz and {needed_hz} Hz were enrolled with: nothing above {found_hz // 2} Hz is "
            "heard; use a microphone with that rate, or enrol again with this one"
        )
        yield from self._changed(NARROW, 0 < found_hz < needed_hz, words, time)

    def _time(self, block: AudioBlock, position: int) -> float:
        return block.captured_at + (position - block.position) / self._rate_hz

    def _second(self, second: np.ndarray, stream_s: float, time: float) -> Iterator[HealthRecord]:
        while self._gaps_s and self._gaps_s[0] < stream_s - OVERRUNS_SPAN_S:
            self._gaps_s.popleft()
        shown = self._shown(second)
        for rule in RULES:
            bad, words = shown.get(rule.kind, (False, ""))
            on = rule.kind in self._on
            self._spans[rule.kind] = self._spans[rule.kind] + 1 if bad != on else 0
            if self._spans[rule.kind] >= (rule.off_s if on else rule.on_s):
                self._spans[rule.kind] = 0
                yield from self._changed(rule.kind, bad, f"{rule.words} ({words})" if bad else "", time)

    def _shown(self, second: np.ndarray) -> dict[str, tuple[bool, str]]:
        """Fault -> whether this second shows it, with its figure."""
        level = level_dbfs(second)
        lowest, highest = float(second.min()), float(second.max())
        # Counted only where there is something to count: this runs every second for months.
        full = max(-lowest, highest) >= FULL_SCALE
        clipped = float(np.mean(np.abs(second) >= FULL_SCALE)) if full else 0.0
        lost = len(self._gaps_s)
        dead = level <= SILENCE_LIMIT_DBFS or lowest == highest
        shown = {
            "dead": (dead, f"{level:.0f} dBFS"),
            "clipped": (clipped > CLIPPED_SHARE_LIMIT, f"{100 * clipped:.1f} % of the samples"),
            "overruns": (lost >= OVERRUNS, f"{lost} times in {OVERRUNS_SPAN_S} s"),
        }
        normal = self._baseline
        if normal is None or dead:
            return shown
        hum = hum_db(second, self._rate_hz)
        return {
            **shown,
            "hum": (
                hum > max(normal.hum_db + HUM_RISE_DB, HUM_LEAST_DB),
                f"{hum:+.0f} dB, enrolled {normal.hum_db:+.0f}",
            ),
            "quiet": (level < normal.floor_dbfs - QUIET_DB, f"{level:.0f} dBFS, enrolled from {normal.floor_dbfs:.0f}"),
            "loud": (level > normal.loudest_dbfs + LOUD_DB, f"{level:.0f} dBFS, enrolled to {normal.loudest_dbfs:.0f}"),
        }

    def _changed(self, kind: str, bad: bool, words: str, time: float) -> Iterator[HealthRecord]:
        if bad and kind not in self._on:
            self._on[kind] = words
            yield HealthRecord(self._machine, time, kind, "start", words)
        elif not bad and kind in self._on:
            yield HealthRecord(self._machine, time, kind, "end", f"over: {self._on.pop(kind)}")

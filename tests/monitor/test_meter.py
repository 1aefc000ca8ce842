"""The meter: as much as fits, plain where a screen can do no more, alarms in words."""

from __future__ import annotations

import io
from datetime import timedelta, timezone

import numpy as np
import pytest

from edge_asd.detector import WindowScore
from edge_asd.explain import Explanation
from edge_asd.monitor.alarm import AlarmEvent
from edge_asd.monitor.meter import Meter, ScreenStyle, bar, duration_words, score_line, summary_line
from edge_asd.monitor.records import AlarmRecord, ScoreRecord, SourceRecord, SummaryRecord

NOON = 1_767_268_800.0
ZONE = timezone(timedelta(hours=2))
LIVE = ScreenStyle(live=True, colour=True, blocks=True)
PLAIN = ScreenStyle(live=False, colour=False, blocks=False)


def record(score: float = 10.0, alarm: str | None = None) -> ScoreRecord:
    return ScoreRecord("fan", NOON, score, score, 50.0, score > 50.0, -40.0, alarm)


def alarm(state: str, reason: str) -> AlarmRecord:
    window = WindowScore(0, 1, NOON, 81.25, 81.25, 50.0, True, -30.0, np.zeros(1, np.float32), 0)
    end = None if state == "start" else NOON + 90
    event = AlarmEvent(state, "x", NOON + 95, NOON, end, 81.25, NOON + 5, 50.0, reason, (window,))
    return AlarmRecord("fan", event, Explanation("2.0 kHz to 2.2 kHz rose by 9 dB", ()))


def shown(style: ScreenStyle, *records: object, columns: int = 120) -> str:
    stream = io.StringIO()
    meter = Meter(stream, style=style, columns=lambda: columns, zone=ZONE)
    for item in records:
        meter.write(item)  # type: ignore[arg-type]
    meter.close()
    meter.close()
    return stream.getvalue()


def test_bars_fill_stand_at_their_ends_and_carry_a_mark() -> None:
    assert bar(0.5, 4, blocks=False) == "[##--]"
    assert bar(-1.0, 4, blocks=False) == "[----]"
    assert bar(9.0, 4, blocks=False) == "[####]"
    assert bar(0.0, 4, mark=0.5, blocks=False) == "[--|-]"
    assert bar(0.5, 4, blocks=True) == "▕██░░▏"


@pytest.mark.parametrize("columns", [1, 2, 10, 40, 59, 60, 79, 80, 99, 100, 300])
@pytest.mark.parametrize("score", [0.0, 10.0, 99.99999])
def test_a_line_never_reaches_the_edge(columns: int, score: float) -> None:
    line = score_line(record(score), lambda t: "12:00:00", columns, blocks=True)
    assert len(line) <= max(1, columns - 1)


def test_a_wide_line_has_level_score_threshold_and_state() -> None:
    line = score_line(record(71.24), lambda t: "12:00:00", 120, blocks=False)
    assert line == "12:00:00  [##########----------]  -40.0 dBFS  [##########|###------] score 71.2 / 50  above"


def test_a_score_of_nought_draws_an_empty_bar() -> None:
    assert "[-----|----]" in score_line(record(0.0), str, 80, blocks=False)


def test_states() -> None:
    text = shown(PLAIN, record(10.0), record(60.0), record(60.0, "x"))
    assert [line.split()[-1] for line in text.splitlines()] == ["normal", "above", "ALARM"]


def test_a_terminal_rewrites_its_line_and_alarms_stay() -> None:
    text = shown(LIVE, record(), record(), alarm("start", "confirmed"), record())
    assert text.count("\n") == 2
    assert text.count("\r\x1b[2K") == 4
    alarm_line = text.split("\n")[0].split("\r\x1b[2K")[-1]
    assert alarm_line.startswith("\x1b[31;1m14:01:35  ALARM  score 81.2, above 50 since 14:00:00. What changed: 2.0")
    assert alarm_line.endswith("\x1b[0m")
    assert text.endswith("\n")


def test_without_a_terminal_there_are_no_escapes_and_only_ascii() -> None:
    text = shown(PLAIN, record(), alarm("start", "confirmed"), SourceRecord("fan", NOON, "Küche", "lost", "gone"))
    assert "\x1b" not in text
    assert "\r" not in text
    assert text.isascii()
    assert text.count("\n") == 3


def test_the_end_of_an_alarm_says_how_long_and_why() -> None:
    assert "alarm over, 1 min 30 s long, peak 81.2 at 14:00:05" in shown(PLAIN, alarm("end", "released"))
    assert "run ends while the alarm is on" in shown(PLAIN, alarm("end", "stopped"))


def test_the_summary_is_one_sentence() -> None:
    summary = SummaryRecord("fan", time=NOON, reason="stopped", sound_s=3725.0, gaps=1, lost_s=0.5, windows=1, alarms=2)
    assert summary_line(summary, str) == (
        "Stopped: 1 h 2 min of sound, 1 window, 0 above the threshold, 2 alarms, 1 gap, 0.50 s lost."
    )


@pytest.mark.parametrize(
    ("seconds", "words"), [(2.04, "2.0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words


class Terminal(io.StringIO):
    encoding = "UTF-8"

    def isatty(self) -> bool:
        return True


def test_the_style_follows_the_terminal() -> None:
    assert ScreenStyle.of(Terminal(), {"TERM": "xterm"}) == LIVE
    assert ScreenStyle.of(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}).colour is False
    assert ScreenStyle.of(Terminal(), {"TERM": "dumb"}).live is False
    assert ScreenStyle.of(Terminal(), {}).live is False
    assert ScreenStyle.of(io.StringIO(), {"TERM": "xterm"}) == PLAIN

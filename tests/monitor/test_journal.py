"""The journal of a service: events, each said once, and no scores."""

from __future__ import annotations

import io

from edge_asd.monitor.journal import Journal
from edge_asd.monitor.records import ClockRecord, ScoreRecord, SourceRecord, SummaryRecord


def test_events_are_lines_and_scores_are_not() -> None:
    out = io.StringIO()
    journal = Journal(out)
    journal.write(SourceRecord("fan", 0.0, "mic0", "opened", "USB at 48000 Hz"))
    journal.write(ScoreRecord("fan", 1.0, 1.0, 1.0, 2.0, False, -30.0, None))
    journal.write(ClockRecord("fan", 2.0, 60.0, 0.0))
    journal.write(SummaryRecord("fan", time=3.0, windows=1))
    journal.close()
    lines = out.getvalue().splitlines()
    assert lines[0] == "fan: mic0 opened: USB at 48000 Hz"
    assert "add 60.0 s" in lines[1]
    assert "1 window" in lines[2]
    assert len(lines) == 3


def test_what_is_repeated_word_by_word_is_said_once_for_each_machine() -> None:
    out = io.StringIO()
    journal = Journal(out)
    for second in range(5):
        journal.write(SourceRecord("fan", second, "mic0", "waiting", "gone"))
    journal.write(SourceRecord("pump", 5.0, "mic0", "waiting", "gone"))
    journal.write(SourceRecord("fan", 6.0, "mic0", "back", "here"))
    journal.write(SourceRecord("fan", 7.0, "mic0", "waiting", "gone"))
    assert len(out.getvalue().splitlines()) == 4

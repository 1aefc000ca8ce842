"""Records: UTC with Z, plain JSON, no figure that is not a number."""

from __future__ import annotations

import json

import numpy as np

from edge_asd.detector import WindowScore
from edge_asd.explain import BandChange, Explanation, Finding
from edge_asd.formats import iso_utc
from edge_asd.monitor.alarm import AlarmEvent
from edge_asd.monitor.records import AlarmRecord, ScoreRecord, SourceRecord, SummaryRecord
from edge_asd.monitor.sinks import json_line

NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z


def score(value: float = 0.123456789, time: float = NOON) -> WindowScore:
    return WindowScore(
        0, 16000, time, value, np.float32(0.2), 0.2, bool(value > 0.2), -120.0, np.zeros(4, np.float32), 3
    )


def test_times_are_utc_to_the_millisecond() -> None:
    assert iso_utc(NOON) == "2026-01-01T12:00:00.000Z"
    assert iso_utc(NOON + 0.0004) == "2026-01-01T12:00:00.000Z"
    assert iso_utc(NOON - 0.0001) == "2026-01-01T12:00:00.000Z"
    assert iso_utc(NOON + 59.9999) == "2026-01-01T12:01:00.000Z"
    assert iso_utc(0.25) == "1970-01-01T00:00:00.250Z"


def test_a_score_record_is_json_with_the_promised_keys() -> None:
    data = json.loads(json_line(ScoreRecord.of("fan", score(), None)))
    assert data == {
        "type": "score",
        "machine": "fan",
        "time": "2026-01-01T12:00:00.000Z",
        "score": 0.123457,
        "window_score": 0.2,
        "threshold": 0.2,
        "anomalous": False,
        "level_dbfs": -120.0,
        "alarm": None,
    }


def test_an_alarm_record_tells_start_end_peak_and_what_changed() -> None:
    event = AlarmEvent("end", "id-1", NOON + 30, NOON, NOON + 25, 0.5, NOON + 9, 0.2, "released", (score(0.5),))
    tone = Finding("tone", "new tone near 2.0 kHz, +8 dB", 14.02, 1999.6, 2100.2, frequency_hz=2050.4, change_db=8.04)
    explanation = Explanation("2 kHz rose", (BandChange(1999.6, 2100.2, 8.04),), (tone,))
    data = AlarmRecord("fan", event, explanation).to_dict()
    assert data["type"] == "alarm"
    assert data["state"] == "end"
    assert data["start"] == "2026-01-01T12:00:00.000Z"
    assert data["end"] == "2026-01-01T12:00:25.000Z"
    assert data["peak_time"] == "2026-01-01T12:00:09.000Z"
    assert data["explanation"] == "2 kHz rose"
    assert data["bands"] == [{"from_hz": 2000, "to_hz": 2100, "change_db": 8.0}]
    (found,) = data["findings"]
    assert found == {
        "kind": "tone", "text": "new tone near 2.0 kHz, +8 dB", "weight": 14.0, "from_hz": 2000, "to_hz": 2100,
        "frequency_hz": 2050, "change_db": 8.0,
    }  # fmt: skip
    running = AlarmEvent("start", "id-1", NOON, NOON, None, 0.5, NOON, 0.2, "confirmed", (score(0.5),))
    assert AlarmRecord("fan", running, explanation).to_dict()["end"] is None


def test_a_summary_counts() -> None:
    summary = SummaryRecord("fan", time=NOON)
    assert summary.to_dict()["peak"] is None
    for value in (0.1, 0.4, 0.3):
        summary.count(score(value, NOON + value))
    data = summary.to_dict()
    assert (data["windows"], data["anomalous"], data["peak"]) == (3, 2, 0.4)
    assert data["peak_time"] == iso_utc(NOON + 0.4)


def test_a_source_record_keeps_other_alphabets_readable() -> None:
    line = json_line(SourceRecord("fan", NOON, "Mikrofon ä", "lost", "weg", 0.5))
    assert "Mikrofon ä" in line
    assert json.loads(line)["lost_s"] == 0.5

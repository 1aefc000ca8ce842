"""The demo is the main job, whole: simulated sound, the model that ships, an alarm after the fault and not before."""

from __future__ import annotations

import json

import pytest

from edge_asd.cli import main
from edge_asd.monitor import demo
from edge_asd.monitor.alarm import AlarmSettings, AlarmTracker
from edge_asd.monitor.clock import RunClock
from edge_asd.monitor.live import LiveRun
from edge_asd.monitor.records import AlarmRecord, Record, SummaryRecord

BEGAN = 1_767_268_800.0


class Kept:
    """A sink that keeps records."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def write(self, record: Record) -> None:
        self.records.append(record)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """All records of one unpaced demo whose sound begins at BEGAN."""
    kept, faults = Kept(), list[float]()
    prepared = demo.prepare(paced=False, on_fault=faults.append, clock=lambda: BEGAN)
    alarm = AlarmTracker(AlarmSettings(), rate_hz=prepared.source.rate_hz)
    LiveRun(
        "demo",
        prepared.source,
        prepared.detector,
        alarm,
        [kept],
        clock=RunClock(wall=lambda: BEGAN, is_set=lambda: True),
    ).run()
    assert faults == [BEGAN + demo.ONSET_S]
    return kept.records


def test_the_alarm_lies_after_the_faults_onset(records: list[Record]) -> None:
    alarms = [record for record in records if isinstance(record, AlarmRecord)]
    assert [alarm.event.state for alarm in alarms] == ["start", "end"]
    onset = BEGAN + demo.ONSET_S
    assert onset < alarms[0].event.start <= alarms[0].event.time <= BEGAN + demo.RUN_S


def test_it_says_which_bands_changed_by_how_much(records: list[Record]) -> None:
    start = next(record for record in records if isinstance(record, AlarmRecord))
    assert start.explanation.bands
    assert all(0 <= band.from_hz < band.to_hz <= 8000 for band in start.explanation.bands)
    assert max(band.change_db for band in start.explanation.bands) > 3.0
    assert "dB" in start.explanation.text


def test_it_hears_all_of_its_sound_and_ends(records: list[Record]) -> None:
    summary = records[-1]
    assert isinstance(summary, SummaryRecord)
    assert (summary.reason, summary.sound_s, summary.alarms) == ("ended", demo.RUN_S, 1)


def test_on_the_command_line_the_first_line_says_what_is_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--demo", "--fast", "--json"]) == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[0]["event"] == "simulated"
    assert "a fan is simulated" in lines[0]["message"]
    start, end = (line for line in lines if line["type"] == "alarm")
    assert (start["state"], end["state"], end["id"]) == ("start", "end", start["id"])
    (fault,) = (line for line in lines if line.get("event") == "fault")
    assert fault["time"] < start["start"] <= start["time"]
    assert lines[-1]["type"] == "summary"
    assert err == ""


def test_without_json_it_draws_for_a_person_even_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--demo", "--fast"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "simulated" in out[0]
    assert any("dBFS" in line and "score" in line for line in out)
    assert any("ALARM" in line and "What changed" in line and "dB" in line for line in out)


@pytest.mark.parametrize("flags", [["--input", "x.wav"], ["--duration", "5s"]])
def test_flags_that_make_no_sense_with_it_are_refused(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--demo", *flags]) == 2
    assert flags[0] in capsys.readouterr().err

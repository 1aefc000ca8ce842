"""The report opens offline and shows what went wrong; a clip's live trace is what the live detector would have said."""

from __future__ import annotations

import csv
import html.parser
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_asd.audio.block import AudioBlock
from edge_asd.cli import main
from edge_asd.evaluation.cases import COLUMNS
from edge_asd.evaluation.figures import Outcome
from edge_asd.evaluation.plots import case_png
from edge_asd.evaluation.report import worst_mistakes
from edge_asd.evaluation.trace import LiveTrace, live_trace
from edge_asd.frontend import log_mel

PNG = b"\x89PNG\r\n\x1a\n"
NAME = 'fan <b>&"$x_$'


class _Sources(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [str(value) for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def cases(fan_sound, tmp_path: Path) -> Path:
    """Two normal clips are called anomalies, so there are misses; four faults are called normal: false alarms."""
    rows = []
    for i in range(16):
        for label in ("normal", "anomaly"):
            path = tmp_path / f"{label}{i}.wav"
            soundfile.write(path, fan_sound["source", label][i], 16000)
            role = "enrol" if label == "normal" and i < 9 else "test"
            called = "anomaly" if (label == "anomaly" and i > 3) or path.stem in ("normal14", "normal15") else "normal"
            rows.append((NAME, role, path.name, called, "", ""))
    with (tmp_path / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return tmp_path / "cases.csv"


def test_a_report_opens_offline_and_shows_the_worst_mistakes(cases: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    (out / "scores.csv").write_text("of an earlier one")
    assert main(["evaluate", str(cases), "--no-cache", "--jobs", "1", "--report", str(out)]) == 0
    assert f"report: {out / 'index.html'}" in capsys.readouterr().err
    page = _Sources()
    page.feed((out / "index.html").read_text(encoding="utf-8"))
    assert "b" not in page.tags and "script" not in page.tags and "link" not in page.tags
    assert NAME in page.text
    # One picture of the case; a trace and a spectrogram of three false alarms and two misses.
    assert len(page.sources) == 1 + 2 * 5
    for source in page.sources:
        assert "/" not in source and (out / source).read_bytes().startswith(PNG)
    assert page.text.count("false alarm: anomaly") == 3 and page.text.count("missed: normal") == 2
    with (out / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 23 and {row["case"] for row in rows} == {NAME}


def test_without_matplotlib_the_remedy_comes_before_the_work(cases: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["evaluate", str(cases), "--report", str(tmp_path / "out")]) == 69
    said = capsys.readouterr()
    assert "pip install 'edge-asd[report]'" in said.err and len(said.err.splitlines()) == 1 and said.out == ""
    assert not (tmp_path / "out").exists()


def test_a_case_without_anomalies_or_spread_is_drawn() -> None:
    assert case_png(np.array([1.0, 1.0]), np.zeros(2, bool), 1.0, "$ all alike").startswith(PNG)
    assert case_png(np.array([0.0, 300.0]), np.array([False, True]), 2.0, "both").startswith(PNG)


def test_worst_mistakes_are_the_farthest_from_right() -> None:
    scores = np.array([9.0, 1.0, 8.0, 7.0, 0.5, 0.2, 6.0, np.nan, 2.0])
    anomalous = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1], bool)
    n = len(scores)
    outcome = Outcome(scores, anomalous, np.full(n, ""), [""] * n, np.ones(n), np.zeros(n, int), np.zeros(n))
    assert worst_mistakes(outcome, 2.0, n=2) == [0, 2, 5, 4]
    assert worst_mistakes(outcome, 2.0, n=9) == [0, 2, 3, 5, 4, 8]
    assert worst_mistakes(outcome, 100.0, n=1) == [5]


def test_delay_of_a_trace() -> None:
    trace = LiveTrace(np.arange(1.0, 7.0), np.array([3.0, 1.0, 3.0, 3.0, 1.0, 3.0]), np.full(6, 2.0), 0)
    assert trace.delay_s(None) == 1.0
    assert trace.delay_s(1.0) == 2.0
    assert trace.delay_s(6.0) == np.inf
    assert LiveTrace(np.ones(1), np.ones(1), np.ones(1), 0).delay_s(None) == np.inf


def test_alarms_are_confirmed_ones(tiny_bundle) -> None:
    """Windows of 0.51 s, one every 0.26 s: a confirmation of 3 s takes 13 scores in a row above the threshold."""
    normal = np.median(tiny_bundle.enrolment_scores.distances, axis=0, keepdims=True)

    def alarms(*faulty: int, windows: int = 60) -> int:
        distances = np.repeat(normal, windows, axis=0)
        distances[list(faulty)] *= 50.0
        n_frames = 16 + 8 * (windows - 1)
        return live_trace(distances, n_frames, tiny_bundle).alarms

    smoothing = len(tiny_bundle.live_calibrations)
    assert alarms() == 0
    assert alarms(*range(20, 40)) == 1
    assert alarms(*range(60)) == 1
    assert alarms(*range(10), *range(smoothing + 60, smoothing + 75), windows=150) == 2
    assert alarms(*range(3), windows=3) == 1  # short, but above from end to end


def test_a_trace_is_what_the_live_detector_says(tiny_bundle, steady_sound) -> None:
    samples = steady_sound(8.0, seed=5, tone_hz=2000.0)
    frames = log_mel(samples, tiny_bundle.contract.features)
    trace = live_trace(tiny_bundle.clip_distances(frames), len(frames), tiny_bundle)
    live = tiny_bundle.detector().push(AudioBlock(samples, 0, 0.0, 0))
    # Live frames are not centred: frame i of the stream is frame i + 1 of the clip, so windows lie one hop apart.
    assert abs(len(trace.scores) - len(live)) <= 1
    for time_s, score, threshold, window in zip(trace.times_s, trace.scores, trace.thresholds, live, strict=False):
        assert time_s == pytest.approx(window.end_position / 16000, abs=0.04)
        assert threshold == window.threshold
        assert score == pytest.approx(window.score, rel=0.2)

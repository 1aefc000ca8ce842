"""JSON lines: flushed to a stream, gathered for a card, and never the end of a run when the card is full."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge_asd.errors import StorageError
from edge_asd.monitor import sinks
from edge_asd.monitor.records import ScoreRecord, SourceRecord
from edge_asd.monitor.sinks import SCORES_PER_WRITE, JsonLines, JsonLinesFile

SCORE = ScoreRecord("fan", 1.0, 0.1, 0.1, 0.2, False, -30.0, None)
EVENT = SourceRecord("fan", 2.0, "mic0", "lost", "gone")


def test_a_stream_gets_every_record_at_once() -> None:
    class Stream(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    stream = Stream()
    sink = JsonLines(stream)
    sink.write(SCORE)
    assert json.loads(stream.flushed)["type"] == "score"
    sink.close()
    assert not stream.closed


def test_a_file_gathers_scores_and_writes_all_else_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"type": "old"}\n')
    sink = JsonLinesFile(path, warn=pytest.fail)
    sink.write(SCORE)
    assert path.read_text().count("\n") == 1
    sink.write(EVENT)
    assert [json.loads(line)["type"] for line in path.read_text().splitlines()] == ["old", "score", "source"]
    for _ in range(SCORES_PER_WRITE):
        sink.write(SCORE)
    assert path.read_text().count("\n") == 3 + SCORES_PER_WRITE
    sink.write(SCORE)
    sink.close()
    sink.close()
    assert path.read_text().count("\n") == 4 + SCORES_PER_WRITE


def test_a_full_card_loses_records_but_not_the_run_and_never_half_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, warnings = tmp_path / "log.jsonl", list[str]()
    sink = JsonLinesFile(path, warn=warnings.append)
    sink.write(EVENT)
    whole = path.read_bytes()
    real = sinks._append_whole
    monkeypatch.setattr(sinks, "_append_whole", lambda path, data: real(Path("/dev/full"), data))
    sink.write(EVENT)
    sink.write(EVENT)
    assert len(warnings) == 1
    assert "No space left" in warnings[0]
    monkeypatch.undo()
    sink.write(EVENT)
    assert path.read_bytes() == whole * 2
    assert "2 records are missing" in warnings[1]


WRITE_AGAINST_A_LIMIT = """
import resource, signal, sys
from pathlib import Path
from edge_asd.monitor.records import SourceRecord
from edge_asd.monitor.sinks import JsonLinesFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
JsonLinesFile(Path(sys.argv[1]), warn=print).write(SourceRecord("fan", 2.0, "mic0", "lost", "gone"))
"""


def test_what_a_full_card_took_of_a_write_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    sink = JsonLinesFile(path, warn=lambda message: None)
    sink.write(EVENT)
    whole = path.read_bytes()
    command = [sys.executable, "-c", WRITE_AGAINST_A_LIMIT, str(path), str(len(whole) + 10)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot write" in done.stdout
    assert path.read_bytes() == whole


def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        JsonLinesFile(tmp_path / "none" / "log.jsonl", warn=pytest.fail)

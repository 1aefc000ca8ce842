"""`edge-asd events` as a user calls it, on a store that is being written."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.records import RATE_HZ, alarm_at, score_at
from edge_asd.audio.block import AudioBlock
from edge_asd.bundle.bundle import Bundle, save_bundle
from edge_asd.cli import main
from edge_asd.contract import LogMelSpec
from edge_asd.formats import iso_utc
from edge_asd.monitor.alarm import alarm_id
from edge_asd.monitor.clock import RunClock
from edge_asd.monitor.records import SourceRecord
from edge_asd.state import own_directory
from edge_asd.store.quota import Limits
from edge_asd.store.reading import directory_to_read
from edge_asd.store.schema import FILE
from edge_asd.store.sink import ClipSettings, EventStore

BEGAN = 1_767_225_600.0
"""2026-01-01T00:00:00Z"""


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith(("EDGE_ASD_", "STATE_DIRECTORY"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """The directory of a store in use: three alarms an hour apart, the second with a clip, and a gap."""
    store = EventStore(
        tmp_path / "store",
        limits=Limits(10**8, 1),
        clips=ClipSettings(before_s=1.0, after_s=1.0),
        clock=RunClock(),
        warn=print,
    )
    sound = (np.arange(4 * RATE_HZ) % 1000 / 32768.0).astype(np.float32)
    for i in range(3):
        start = BEGAN + 3600.0 * i
        store.write(score_at(start, 20.0 + i))
        if i == 1:
            (tap,) = store.taps("fan", LogMelSpec())
            tap.hear(AudioBlock(sound[: 2 * RATE_HZ], 0, start))
        store.write(alarm_at(start, machine="pump" if i == 2 else "fan", end_position=RATE_HZ))
        if i == 1:
            tap.hear(AudioBlock(sound[2 * RATE_HZ :], 2 * RATE_HZ, start))
            tap.hear(AudioBlock(sound, 4 * RATE_HZ, start))
        if i < 2:
            store.write(alarm_at(start, "end", end_position=RATE_HZ))
    store.write(SourceRecord("fan", BEGAN + 60, "mic0", "gap", "0.5 s of sound were lost", 0.5))
    assert store.settle()
    assert store.settle()
    yield tmp_path / "store"
    store.close()


def call(*words: object) -> int:
    return main(["events", *map(str, words)])


def test_a_person_reads_local_times(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--store", room) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "2026-01-01 05:30:00  fan  ALARM 20260101T000000-000Z, peak 70 of 50, until 2026-01-01 05:30:20, released\n"
        "    new tone near 2.0 kHz, +8 dB; impacts, 12 a second\n"
    )
    assert "2026-01-01 05:31:00  fan  gap: 0.5 s of sound were lost\n" in out
    assert "    clips/2026-01/20260101T010000-000Z_fan.flac, clips/2026-01/20260101T010000-000Z_fan.png\n" in out
    assert "07:30:00  pump  ALARM 20260101T020000-000Z, peak 70 of 50, still on\n" in out


def test_a_program_reads_utc_lines(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--store", room, "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["type"], line["machine"], line["start"][11:19]) for line in lines] == [
        ("alarm", "fan", "00:00:00"),
        ("source", "fan", "00:01:00"),
        ("alarm", "fan", "01:00:00"),
        ("alarm", "pump", "02:00:00"),
    ]
    assert lines[2]["end"] == iso_utc(BEGAN + 3620)


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["--alarms"], [0, 1, 2]),
        (["--machine", "pump"], [2]),
        (["--alarms", "--since", "2026-01-01T00:30:00Z"], [1, 2]),
        (["--alarms", "--since", "2026-01-01T00:00:10Z", "--until", "2026-01-01T01:00:00Z"], [0]),
        (["--alarms", "--since", "2026-01-01T06:00"], [1, 2]),
        (["--alarms", "--limit", "1"], [2]),
        (["--alarms", "--since", "1d", "--machine", "fan"], []),
        (["--since", "1d"], [2]),
    ],
)
def test_the_list_can_be_narrowed(
    room: Path, words: list[str], ids: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--store", room, "--json", *words) == 0
    out, err = capsys.readouterr()
    found = [json.loads(line).get("id") for line in out.splitlines()]
    assert found == [alarm_id(BEGAN + 3600.0 * i) for i in ids]
    assert ("nothing happened in that time" in err) == (not ids)


def test_a_machine_that_the_store_never_heard_of_is_told_from_one_that_was_quiet(
    room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--store", room, "--machine", "nope") == 2
    out, err = capsys.readouterr()
    assert out == "" and f"the store in {room} knows no machine 'nope'; choose of fan, pump" in err
    assert call("--store", room, "--machine", "nope", "--export", tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()
    capsys.readouterr()
    assert call("--store", room, "--machine", "fan", "--since", "1d") == 0
    assert "nothing happened in that time" in capsys.readouterr().err
    config = tmp_path / "config.yaml"
    config.write_text("machines: {saw: {bundle: saw.asd, device: mic0}}\n")
    assert call("--store", room, "--machine", "saw", "--config", config) == 0
    assert "nothing happened in that time" in capsys.readouterr().err


def test_an_export_holds_events_scores_and_clips(
    room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out/there"
    assert call("--store", room, "--export", target) == 0
    assert "4 events and 2 files" in capsys.readouterr().err
    events = json.loads((target / "events.json").read_text())
    (clip,) = [event["clip"] for event in events if event.get("clip")]
    assert soundfile.info(target / clip).frames > RATE_HZ
    assert (target / clip).with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
    rows = list(csv.DictReader((target / "scores.csv").open()))
    assert [(row["time"], row["mean"]) for row in rows] == [(iso_utc(BEGAN), "20.0"), (iso_utc(BEGAN + 3600), "21.0")]


def test_marks_are_set_while_the_service_writes(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = alarm_id(BEGAN)
    assert call("--store", room, "--pin", name) == 0
    assert call("--store", room, "--acknowledge", f"fan/{name}") == 0
    assert f"fan/{name} is pinned" in capsys.readouterr().err
    assert call("--store", room, "--limit", "4") == 0
    assert "released, pinned, acknowledged\n" in capsys.readouterr().out
    assert call("--store", room, "--unpin", name) == 0
    assert call("--store", room, "--pin", f"pump/{name}") == 66
    assert "no alarm pump/" in capsys.readouterr().err
    assert call("--store", room, "--pin", name, "--unpin", name) == 2


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [(None, 66, "no events are kept in"), (b"rubbish" * 1000, 65, "is damaged"), (b"", 65, "of another program")],
    ids=["none", "rubbish", "empty"],
)
def test_what_is_no_store_is_said(
    tmp_path: Path, content: bytes | None, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    assert call("--store", tmp_path) == code
    assert said in capsys.readouterr().err
    assert call("--store", tmp_path, "--pin", "x") == code


@pytest.mark.parametrize("words", [["--since", "yesterday"], ["--limit", "0"], ["--until", "2026-13-01"]])
def test_times_that_cannot_be_understood_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*words) == 2
    assert words[1] in capsys.readouterr().err


def test_the_service_s_store_is_read_unless_only_the_person_has_one(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    own = tmp_path / ".local/state/edge-asd"
    service = tmp_path / "service"
    assert own_directory(home) == own
    assert own_directory({**home, "XDG_STATE_HOME": "/x"}) == Path("/x/edge-asd")
    assert directory_to_read(home, service) == own
    service.symlink_to("private/of-root-only")
    assert directory_to_read(home, service) == service, "told then that it cannot be read, not that there is none"
    service.unlink()
    service.mkdir()
    assert directory_to_read(home, service) == service
    assert directory_to_read({**home, "STATE_DIRECTORY": "/a:/b"}, service) == Path("/a")


def test_what_a_run_heard_is_kept_with_the_sound_of_its_alarm(
    tmp_path: Path,
    tiny_bundle: Bundle,
    steady_sound,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_bundle(tiny_bundle, tmp_path / "fan.asd")
    ill = np.concatenate([steady_sound(20.0, seed=1), steady_sound(20.0, seed=2, tone_hz=3000.0, tone_amplitude=0.3)])
    soundfile.write(tmp_path / "ill.wav", ill, RATE_HZ)
    samples, _ = soundfile.read(tmp_path / "ill.wav", dtype="int16")
    words = ["run", "--bundle", str(tmp_path / "fan.asd"), "--input", str(tmp_path / "ill.wav"), "--fast", "--json"]
    assert main([*words, "--store", str(tmp_path / "kept")]) == 0
    alarms = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"alarm", "machine"' in line]
    assert call("--store", tmp_path / "kept", "--json") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (alarm,) = [event for event in found if event["type"] == "alarm"]
    assert [(a["id"], a["explanation"]) for a in alarms][-1] == (alarm["id"], alarm["explanation"])
    assert (alarm["reason"], alarm["machine"]) == ("stopped", "fan")
    clip, rate_hz = soundfile.read(tmp_path / "kept" / alarm["clip"], dtype="int16")
    assert rate_hz == RATE_HZ
    size = samples.size + clip.size
    at = int(np.fft.irfft(np.fft.rfft(samples, size) * np.conj(np.fft.rfft(clip, size)), size).argmax())
    assert np.corrcoef(samples[at : at + clip.size], clip)[0, 1] > 0.999, "but for the DC block it is the very sound"
    assert 19.0 < at / RATE_HZ + alarm["clip_about"]["alarm_s"] < 24.0, "where the fault sets in"
    assert alarm["clip_about"]["alarm_s"] == 10.0
    assert clip.size > 20 * RATE_HZ

    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("EDGE_ASD_STORE_CLIPS", "false")
    assert main(words) == 0
    assert not (tmp_path / "state/clips").exists()
    capsys.readouterr()
    assert call("--alarms", "--json") == 0
    (alarm,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (alarm["clip"], alarm["picture"]) == (None, None)
    assert alarm["explanation"]
    monkeypatch.setenv("EDGE_ASD_STORE_ENABLED", "false")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "other"))
    assert main(words) == 0
    assert not (tmp_path / "other").exists()

"""enroll, score and run as a user calls them, with real files, a real network and real bundles."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_asd.bundle.bundle import Bundle, load_bundle, save_bundle
from edge_asd.cli import main
from edge_asd.model_package import Model, describe_member
from edge_asd.monitor.records import ScoreRecord
from edge_asd.monitor.sinks import JsonLines, JsonLinesFile, closed_at_end

RATE_HZ = 16000


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("EDGE_ASD_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, tiny_model: Model, tiny_bundle: Bundle, steady_sound) -> Path:
    """A directory with a model package, a bundle and recordings."""
    folder = tmp_path_factory.mktemp("room")
    package = folder / "tiny"
    package.mkdir()
    (package / "fp32.onnx").write_bytes(tiny_model.network)
    manifest = {
        "schema": 1,
        "contract": tiny_model.contract.to_dict(),
        "files": {"fp32": {"file": "fp32.onnx", **describe_member(tiny_model.network)}},
        "provenance": {},
    }
    (package / "model.json").write_text(json.dumps(manifest))
    save_bundle(tiny_bundle, folder / "fan.asd")
    normal = folder / "normal"
    normal.mkdir()
    soundfile.write(normal / "a.wav", steady_sound(40.0, seed=1), RATE_HZ)
    soundfile.write(normal / "b.flac", steady_sound(40.0, seed=2), RATE_HZ)
    soundfile.write(folder / "well.wav", steady_sound(8.0, seed=1), RATE_HZ)
    ill = np.concatenate([steady_sound(4.0, seed=1), steady_sound(8.0, seed=2, tone_hz=3000.0, tone_amplitude=0.3)])
    soundfile.write(folder / "ill.wav", ill, RATE_HZ, subtype="FLOAT")
    soundfile.write(folder / "short.wav", steady_sound(0.3), RATE_HZ)
    soundfile.write(folder / "silent.wav", np.zeros(20 * RATE_HZ), RATE_HZ)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "bare").mkdir()
    return folder


def enrol(room: Path, out: Path, *words: str) -> int:
    return main(["enroll", "--model", str(room / "tiny"), "--precision", "fp32", "--out", str(out), *words])


def json_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_enroll_writes_a_bundle_and_its_figures(room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new.asd"
    assert enrol(room, out, str(room / "normal"), "--json", "--percentile", "99") == 0
    printed, progress = capsys.readouterr()
    result = json.loads(printed)
    assert result["seconds"] == 80.0
    assert result["clip_calibration"]["percentile"] == 99.0
    assert "2 of 2 clips" in progress
    assert load_bundle(out).clip_calibration.to_dict() == result["clip_calibration"]
    assert [path.name for path in tmp_path.iterdir()] == ["new.asd"]


def test_enroll_replaces_a_bundle_only_by_force(room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "old.asd"
    out.write_text("old")
    clip = str(room / "normal/a.wav")
    assert enrol(room, out, clip) == 2
    assert "--force" in capsys.readouterr().err
    assert out.read_text() == "old"
    assert enrol(room, out, clip, "--force") == 0
    assert "40 s of normal sound" in capsys.readouterr().out
    load_bundle(out)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["well.wav"], 65, "at least 10 s are needed"),
        (["silent.wav"], 65, "silent"),
        (["empty.wav"], 65, "empty"),
        (["bare"], 66, "no audio file"),
        (["gone.wav"], 66, "no such file"),
        (["well.wav", "--duration", "20s"], 2, "choose one"),
        ([], 2, "no source of sound given"),
    ],
)
def test_enroll_refuses_and_leaves_nothing_behind(
    room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    paths = [str(room / word) if word.endswith(("wav", "bare")) else word for word in words]
    assert enrol(room, tmp_path / "x.asd", *paths) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_enroll_looks_where_it_will_write_before_it_listens(
    room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert enrol(room, tmp_path / "none/x.asd", "--device", "mic0") == 66
    assert "does not exist" in capsys.readouterr().err
    assert enrol(room, tmp_path, "--device", "mic0") == 2
    assert "is a directory" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full here")
def test_enroll_survives_a_stderr_that_cannot_be_written(room: Path, tmp_path: Path) -> None:
    words = ["enroll", "--model", room / "tiny", "--precision", "fp32", "--out", tmp_path / "fan.asd", room / "normal"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "edge_asd", *words], stdout=subprocess.PIPE, stderr=full)
    assert done.returncode == 0
    assert b"80 s of normal sound" in done.stdout
    load_bundle(tmp_path / "fan.asd")


def test_enroll_never_replaces_a_device_or_pipe(room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "fan.asd")
    assert enrol(room, tmp_path / "fan.asd", str(room / "normal"), "--force") == 2
    assert "is a device or pipe; give --out a file name" in capsys.readouterr().err
    assert (tmp_path / "fan.asd").is_fifo()


def test_score_gives_a_line_a_clip(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = [str(room / "well.wav"), str(room / "ill.wav")]
    assert main(["score", "--bundle", str(room / "fan.asd"), *clips]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == clips
    assert [row[3] for row in rows] == ["normal", "anomalous"]
    assert float(rows[0][1]) < float(rows[0][2]) < float(rows[1][1])
    assert 4.0 < float(rows[1][4]) < 12.0


def test_score_in_json_is_the_same(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "--bundle", str(room / "fan.asd"), str(room / "ill.wav"), "--json"]) == 0
    (result,) = json_lines(capsys.readouterr().out)
    assert result["anomalous"] is True
    assert result["score"] > result["threshold"]
    assert result["max_score"] >= result["score"]
    assert result["windows"] > 10


def test_score_goes_on_after_a_bad_clip_and_says_so_in_its_exit_code(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [str(room / name) for name in ("empty.wav", "well.wav")]
    assert main(["score", "--bundle", str(room / "fan.asd"), *clips]) == 65
    out, err = capsys.readouterr()
    assert out.startswith(clips[1])
    assert "empty.wav: the file is empty" in err


def test_score_goes_on_after_a_path_that_names_no_clip(
    room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hollow").mkdir()
    paths = [room / "well.wav", tmp_path / "none.wav", room / "empty.wav", tmp_path / "hollow", room / "ill.wav"]
    assert main(["score", "--bundle", str(room / "fan.asd"), *map(str, paths)]) == 66
    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == [str(room / "well.wav"), str(room / "ill.wav")]
    assert "none.wav: no such file or directory" in err
    assert "hollow: no audio file in this directory" in err
    assert err.count("\n") == 3


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["score", "{room}/well.wav"], 2, "no bundle given"),
        (["score", "--bundle", "{room}/none.asd", "{room}/well.wav"], 66, "no such bundle"),
        (["score", "--bundle", "{room}/well.wav", "{room}/well.wav"], 65, "not a bundle"),
        (["run", "--bundle", "{room}/fan.asd"], 2, "no source of sound given"),
        (["run", "--bundle", "{room}/fan.asd", "--device", "a", "--input", "-"], 2, "choose one source"),
        (["run", "--bundle", "{room}/fan.asd", "--input", "{room}/none.wav"], 66, "no such file"),
        (["run", "--bundle", "{room}/fan.asd", "--input", "{room}/empty.wav"], 65, "empty"),
        (["run", "--bundle", "{room}/fan.asd", "--input", "{room}/short.wav", "--fast"], 65, "edge-asd score"),
        (["run", "--bundle", "{room}/fan.asd", "--input", "{room}/well.wav", "--channel", "7"], 65, "channel 7"),
        (["run", "--config", "{room}/none.yaml"], 66, "no such config file"),
        (["run", "--format", "xml"], 2, "--format is 'xml'"),
        (["run", "--log", "{room}/none/x", "--bundle", "{room}/fan.asd", "--input", "{room}/well.wav"], 74, "none/x"),
        (["config", "check", "{room}/none.yaml"], 66, "no such config file"),
        (["evaluate", "{room}/none.csv"], 66, "none.csv"),
    ],
)
def test_a_users_mistake_is_one_line_with_its_exit_code(
    room: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert main([word.format(room=room) for word in words]) == code
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert err.count("\n") == 1


def test_run_on_a_file_alarms_where_the_sound_changes(
    room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    words = ["--fast", "--confirm", "1", "--smoothing", "1", "--log", str(log)]
    assert main(["run", "--bundle", str(room / "fan.asd"), "--input", str(room / "ill.wav"), *words]) == 0
    out = capsys.readouterr().out
    records = json_lines(out)
    scores = [record for record in records if record["type"] == "score"]
    assert {"time", "score", "threshold", "anomalous", "level_dbfs"} <= set(scores[0])
    starts = [record for record in records if record["type"] == "alarm" and record["state"] == "start"]
    assert len(starts) == 1
    assert scores[0]["time"] < starts[0]["start"] <= starts[0]["time"]
    assert any(band["from_hz"] < 3000 < band["to_hz"] for band in starts[0]["bands"])
    assert records[-1]["sound_s"] == 12.0
    assert log.read_text() == out


def test_events_that_no_store_took_are_told_at_the_end_of_a_run_that_went_on_listening(
    room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file where the store should be")
    words = ["--bundle", str(room / "fan.asd"), "--input", str(room / "ill.wav"), "--fast", "--confirm", "1"]
    assert main(["run", *words, "--smoothing", "1", "--store", str(taken)]) == 74
    out, err = capsys.readouterr()
    assert [record["state"] for record in json_lines(out) if record["type"] == "alarm"] == ["start", "end"]
    assert json_lines(out)[-1]["reason"] == "ended"
    told = [record for record in json_lines(out) if record["type"] != "score" and record.get("state") != "end"]
    words_at_end = f"{len(told)} events of this run could not be stored, lost with its end: File exists"
    assert err.splitlines()[-1] == f"edge-asd: store {taken}: {words_at_end}"
    assert main(["run", *words, "--smoothing", "1", "--store", str(tmp_path / "store")]) == 0


def test_standard_input_gives_the_scores_of_the_file(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, clip = str(room / "fan.asd"), room / "well.wav"
    assert main(["run", "--bundle", bundle, "--input", str(clip), "--fast"]) == 0
    wanted = [record["score"] for record in json_lines(capsys.readouterr().out) if record["type"] == "score"]
    samples, _ = soundfile.read(clip, dtype="int16")
    command = [sys.executable, "-m", "edge_asd", "run", "--bundle", bundle, "--input", "-", "--fast"]
    for data in (clip.read_bytes(), samples.tobytes()):
        done = subprocess.run(command, input=data, capture_output=True)
        assert done.returncode == 0, done.stderr
        scores = [record["score"] for record in json_lines(done.stdout.decode()) if record["type"] == "score"]
        assert scores == wanted
        assert len(scores) > 5


def test_a_duration_ends_the_run(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--input", str(room / "well.wav"), "--fast", "--duration", "2500ms"]
    assert main(["run", "--bundle", str(room / "fan.asd"), *words]) == 0
    summary = json_lines(capsys.readouterr().out)[-1]
    assert (summary["reason"], summary["sound_s"]) == ("duration", 2.5)


def test_a_duration_shorter_than_a_window_is_not_taken_for_success(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--input", str(room / "well.wav"), "--fast", "--duration", "100ms"]
    assert main(["run", "--bundle", str(room / "fan.asd"), *words]) == 65
    assert "a window needs 0.54 s; give a longer --duration" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full here")
def test_gathered_records_reach_the_log_when_standard_output_breaks(tmp_path: Path) -> None:
    score = ScoreRecord("fan", 0.0, 1.0, 1.0, 2.0, False, -30.0, None)
    log = tmp_path / "log.jsonl"
    with pytest.raises(OSError, match="No space left"), Path("/dev/full").open("w") as full:
        sinks = [JsonLines(full), JsonLinesFile(log, warn=print)]
        with closed_at_end(sinks):
            for sink in reversed(sinks):  # the log has taken the record, and gathers it
                sink.write(score)
    assert [record["type"] for record in json_lines(log.read_text())] == ["score"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_a_summary(room: Path, number: int) -> None:
    command = [sys.executable, "-m", "edge_asd", "run", "--bundle", str(room / "fan.asd"), "--json"]
    with subprocess.Popen(
        [*command, "--input", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdin is not None and running.stdout is not None and running.stderr is not None
        samples, _ = soundfile.read(room / "well.wav", dtype="int16")
        running.stdin.write(samples[: 2 * RATE_HZ].tobytes())
        running.stdin.flush()
        first = json.loads(running.stdout.readline())
        running.send_signal(number)
        rest = json_lines(running.stdout.read().decode())
        assert running.wait(timeout=30) == 0
        assert running.stderr.read() == b""
    assert first["type"] == "score"
    assert rest[-1]["type"] == "summary"
    assert rest[-1]["reason"] == "stopped"


def test_everything_can_come_from_the_config(room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "fan.yaml"
    bundle = room / "fan.asd"
    output = "output: {format: meter, file: log.jsonl}"
    config.write_text(f"model: {{bundle: {bundle}}}\n{output}\nalarm: {{confirm_s: 600}}\n")
    assert main(["run", "--config", str(config), "--input", str(room / "ill.wav"), "--fast", "--json"]) == 0
    records = json_lines(capsys.readouterr().out)
    assert records[-1]["anomalous"] > 0
    assert records[-1]["alarms"] == 0
    assert (tmp_path / "log.jsonl").read_text().count("\n") == len(records)


def test_print_config_shows_what_is_in_effect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "fan.yaml"
    config.write_text("audio:\n  device: mic0\n  channel: 1\n")
    monkeypatch.setenv("EDGE_ASD_ALARM_RELEASE_S", "7")
    assert main(["run", "--config", str(config), "--channel", "0", "--print-config"]) == 0
    out = capsys.readouterr().out
    assert f"  device: mic0                            # {config}:2\n" in out
    assert "  channel: 0                              # flag --channel\n" in out
    assert "  release_s: 7.0                          # environment EDGE_ASD_ALARM_RELEASE_S\n" in out
    monkeypatch.undo()
    again = tmp_path / "again.yaml"
    again.write_text(out)
    assert main(["config", "check", str(again)]) == 0


def test_config_check_says_right_or_where_it_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "fan.yaml"
    config.write_text("audio:\n  device: mic0\n")
    assert main(["config", "check", str(config)]) == 0
    assert "right, 1 of " in capsys.readouterr().out
    config.write_text("audio:\n  devize: mic0\n")
    assert main(["config", "check", str(config)]) == 78
    assert capsys.readouterr().err.startswith(
        f"edge-asd: {config}:2: unknown key 'devize' in audio; did you mean 'device'"
    )


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("webhook: {url: 'ftp://x'}", 2, "webhook.url is no address of the web"),
        ("webhook: {url: 'https://x', cert_file: none.pem}", 2, "webhook.cert_file: "),
        ("prometheus: {port: 9464, address: 0.0.0.0}", 2, "prometheus.address 0.0.0.0 can be reached by others"),
        ("hook: {command: [/nonexist/horn]}", 2, "hook.command: /nonexist/horn is no program that can be run"),
        ("mqtt: {host: localhost, tls: true, ca_file: nope.pem}", 2, "mqtt.ca_file: "),
        ("mqtt: {host: localhost, password_file: secret}", 2, "mqtt.password_file without mqtt.user"),
        ("mqtt:\n  host: localhost\n  topic: 'a/#'", 4, "mqtt.topic is 'a/#'; leave out + and #"),
        ("machines: {fan: {device: mic0}}", 2, "machines.fan has no bundle"),
        ("machines: {fan: {bundle: fan.asd}}", 2, "machines.fan has no device"),
        ("machines: {a: {bundle: a.asd, device: m}, b: {bundle: b.asd, device: m}}", None, "machines a and b both"),
        ("model: {public_key: fan.yaml}", 2, "model.public_key: "),
    ],
)
def test_config_check_refuses_what_a_run_would_with_the_same_words(
    tmp_path: Path, text: str, line: int | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "fan.yaml"
    config.write_text(f"# the fan\n{text}\n")
    assert main(["config", "check", str(config)]) == 78
    out, err = capsys.readouterr()
    place = config if line is None else f"{config}:{line}"
    assert out == ""
    assert err.startswith(f"edge-asd: {place}: {words}")
    assert err.count("\n") == 1


def test_config_check_leaves_to_the_run_what_only_a_run_can_tell(tmp_path: Path) -> None:
    config = tmp_path / "fan.yaml"
    config.write_text(
        "webhook: {url: 'https://x', secret_file: 'credential:web'}\nhook: {command: [sh, -c, 'true']}\n"
        "prometheus: {port: 9464, address: 0.0.0.0, token_file: none}\nmachines: {fan: {bundle: f.asd, device: m}}\n"
    )
    assert main(["config", "check", str(config)]) == 0

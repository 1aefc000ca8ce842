"""devices, run and enroll with a microphone: the real sounddevice on ALSA devices that are not there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.microphone import FakeMicrophones, build_plugin

from edge_asd.bundle.bundle import Bundle, save_bundle
from edge_asd.cli import main
from edge_asd.cli.devices import as_line

pytestmark = pytest.mark.xdist_group("microphone")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_plugin(tmp_path_factory.mktemp("fakemic"))


@pytest.fixture
def microphones(plugin: Path, tmp_path: Path) -> FakeMicrophones:
    return FakeMicrophones(tmp_path, plugin)


def edge_asd(microphones: FakeMicrophones, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_asd", *words]
    return subprocess.run(command, env=microphones.environment(), capture_output=True, text=True, timeout=60)


def test_devices_lists_names_channels_rates_and_aliases(microphones: FakeMicrophones, tmp_path: Path) -> None:
    config = tmp_path / "fan.yaml"
    config.write_text("audio:\n  aliases: {mic0: mic48}\n")
    done = edge_asd(microphones, "devices", "--json", "--config", str(config))
    assert done.returncode == 0, done.stderr
    entry = {entry["name"]: entry for entry in json.loads(done.stdout)}["mic48"]
    assert (entry["channels"], entry["rates_hz"], entry["usable"]) == (2, [48000], True)
    assert entry["aliases"] == ["mic0"]
    assert "mic48  alias mic0  2 channels, 48000 Hz" in as_line(entry)


def test_run_watches_a_microphone_by_its_alias(
    microphones: FakeMicrophones, tmp_path: Path, tiny_bundle: Bundle
) -> None:
    save_bundle(tiny_bundle, tmp_path / "fan.asd")
    config = tmp_path / "fan.yaml"
    config.write_text("audio: {device: mic0, channel: 1, aliases: {mic0: mic48}}\nmodel: {bundle: fan.asd}\n")
    done = edge_asd(microphones, "run", "--config", str(config), "--duration", "2s")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert (records[0]["type"], records[0]["event"]) == ("source", "opened")
    assert "48000 Hz, channel 1" in records[0]["message"]
    assert records[-1]["sound_s"] == 2.0
    assert records[-1]["windows"] >= 5


def test_a_name_that_never_matched_ends_with_the_candidates(
    microphones: FakeMicrophones, tmp_path: Path, tiny_bundle: Bundle
) -> None:
    save_bundle(tiny_bundle, tmp_path / "fan.asd")
    done = edge_asd(
        microphones, "run", "--bundle", str(tmp_path / "fan.asd"), "--device", "kitchen", "--duration", "2s"
    )
    assert done.returncode == 69
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    for name in ("kitchen", "mic16", "mic48", "spare"):
        assert name in done.stderr


def test_enroll_listens_as_long_as_asked_and_judges_what_it_heard(microphones: FakeMicrophones, tmp_path: Path) -> None:
    done = edge_asd(microphones, "enroll", "--device", "mic48", "--duration", "3s", "--out", str(tmp_path / "x.asd"))
    assert done.returncode == 65
    assert "opened: mic48 at 48000 Hz" in done.stderr
    assert "clipped" in done.stderr  # the fake's pattern fills the whole scale
    assert not (tmp_path / "x.asd").exists()


def test_no_input_at_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from edge_asd.audio import devices

    monkeypatch.setattr(devices, "list_inputs", lambda: [])
    assert main(["devices", "--json"]) == 69
    out, err = capsys.readouterr()
    assert json.loads(out) == []
    assert "connect a microphone" in err


def test_an_unusable_input_is_listed_with_the_reason() -> None:
    entry = {
        "name": "usb:1:2:3",
        "description": "USB Audio (hw:1,0)",
        "aliases": [],
        "default": False,
        "channels": 0,
        "rates_hz": [],
        "usable": False,
        "problem": "busy: held by arecord (pid 7)",
    }
    assert as_line(entry) == "  usb:1:2:3  (USB Audio (hw:1,0))  cannot be used: busy: held by arecord (pid 7)"

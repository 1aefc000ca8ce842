"""`doctor --board`: a machine held against a board's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_asd.bench.board import THROTTLED_FILE
from edge_asd.cli import main
from edge_asd.cli.boards import Finding, board_names, examine_board, load_board

PI = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/meminfo": "MemTotal:        3884352 kB\n",
    "proc/swaps": "Filename Type Size Used Priority\n/dev/zram0 partition 1 0 100\n",
    "proc/asound/cards": " 0 [sndrpigooglevoi]: RPi-simple - snd_rpi_googlevoicehat_soundcar\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    THROTTLED_FILE: "0\n",
    "boot/firmware/config.txt": "[all]\ndtoverlay=googlevoicehat-soundcard\n",
    "etc/systemd/system.conf.d/edge-asd.conf": "[Manager]\nRuntimeWatchdogSec=14\n",
    "etc/systemd/system/edge-asd.service": "[Service]\n",
    "dev/watchdog": "",
}


def examined(root: Path, **changed: str | None) -> dict[str, Finding]:
    for name, text in {**PI, **{key.replace("__", "/").replace("_1_", "."): v for key, v in changed.items()}}.items():
        if text is not None:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return {finding.name: finding for finding in examine_board(load_board("pi4"), root, "aarch64")}


def test_a_pi_set_up_as_its_folder_says_has_no_warning(tmp_path: Path) -> None:
    found = examined(tmp_path)
    python = found.pop("system")
    assert python.detail.startswith("aarch64")
    assert {name: finding.detail for name, finding in found.items() if finding.state != "ok"} == {}
    assert found["I2S microphone"].detail == "card sndrpigooglevoi"


@pytest.mark.parametrize(
    ("name", "file", "text", "words"),
    [
        ("board", "proc/device-tree/model", "Raspberry Pi 3 Model B", "this is not a Raspberry Pi 4"),
        ("memory", "proc/meminfo", "MemTotal: 400000 kB\n", "391 MiB, expected about 900"),
        ("processor clock", "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave", "governor powersave"),
        ("power and heat", THROTTLED_FILE, "50005", "under-voltage now"),
        ("swap", "proc/swaps", "Filename\n/var/swap file 1 0 -2\n", "/var/swap: swapping wears the card out"),
        ("journal", "var/log/journal/x", "", "written to the card"),
        ("I2S microphone", "proc/asound/cards", "", "card sndrpigooglevoi is not there"),
        ("hardware watchdog", "etc/systemd/system.conf.d/edge-asd.conf", "[Manager]\n", "systemd does not feed it"),
        ("hardware watchdog", "dev/watchdog", None, "add dtparam=watchdog=on"),
        ("service", "etc/systemd/system/edge-asd.service", None, "not installed"),
    ],
)
def test_what_is_not_as_advised_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, file: str, text: str | None, words: str
) -> None:
    monkeypatch.setitem(PI, file, text)
    finding = examined(tmp_path)[name]
    assert finding.state == "warn"
    assert words in finding.detail


def test_the_command_tells_it_and_an_unknown_board_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", "--board", "jetson-orin"]) == 0
    names = [finding["name"] for finding in json.loads(capsys.readouterr().out)]
    assert "power mode" in names and "I2S microphone" not in names
    assert main(["doctor", "--board", "pi44"]) == 2
    assert "did you mean 'pi4'" in capsys.readouterr().err
    assert main(["doctor", "--board", "nosuch"]) == 2
    said = capsys.readouterr().err
    assert "did you mean" not in said and f"choose of {', '.join(board_names())}" in said

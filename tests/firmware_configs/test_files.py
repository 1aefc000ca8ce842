"""The boards' files are what they claim: each is read by the program that will read it on the board."""

from __future__ import annotations

import ctypes
import ctypes.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_asd.cli.boards import board_names, load_board
from edge_asd.config import load_config
from edge_asd.service.install import Microphone, udev_rule, unit_text

ROOT = Path(__file__).parents[2] / "firmware_configs"
BOARDS = ("jetson-orin", "pi-zero2", "pi3", "pi4", "pi5")


def test_every_board_of_the_issue_has_a_folder_with_all_it_needs() -> None:
    assert tuple(board_names()) == BOARDS
    for name in BOARDS:
        for file in ("README.md", "board.yaml", "asound.conf", "edge-asd.yaml", "edge-asd.service.d/board.conf"):
            assert (ROOT / name / file).is_file(), f"{name}/{file}"
        if name.startswith("pi"):
            assert (ROOT / name / "config.txt").is_file()


@pytest.mark.parametrize("name", BOARDS)
def test_its_facts_are_read_and_have_sources(name: str) -> None:
    board = load_board(name)
    assert board.machine and board.python and board.memory_mib > 0
    assert board.sources and all(source.startswith("https://") for source in board.sources)
    if board.i2s_line:
        assert board.i2s_line in (ROOT / name / "config.txt").read_text().splitlines()
        assert f"hw:{board.i2s_card},0" in (ROOT / name / "asound.conf").read_text()


@pytest.mark.parametrize("name", BOARDS)
def test_its_example_config_is_accepted_by_the_program(name: str) -> None:
    config = load_config(ROOT / name / "edge-asd.yaml", environment={}).config
    assert config.machines or (config.model.bundle and config.audio.device == "mic0")


@pytest.mark.parametrize("name", BOARDS)
def test_alsa_reads_its_sound_configuration_and_finds_the_microphone(name: str) -> None:
    library = ctypes.util.find_library("asound")
    if library is None:
        pytest.skip("needs ALSA: apt install libasound2")
    alsa = ctypes.CDLL(library)
    config, source, node, text = (ctypes.c_void_p() for _ in range(4))
    assert alsa.snd_config_top(ctypes.byref(config)) == 0
    path = str(ROOT / name / "asound.conf").encode()
    assert alsa.snd_input_stdio_open(ctypes.byref(source), path, b"r") == 0
    assert alsa.snd_config_load(config, source) == 0
    assert alsa.snd_config_search(config, b"pcm.mic0.slave.pcm", ctypes.byref(node)) == 0
    assert alsa.snd_config_get_string(node, ctypes.byref(text)) == 0
    assert ctypes.string_at(text.value).startswith(b"hw:")
    alsa.snd_input_close(source)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("name", BOARDS)
def test_systemd_accepts_the_unit_with_its_drop_in(name: str, tmp_path: Path) -> None:
    unit = tmp_path / "edge-asd.service"
    unit.write_text(unit_text("/bin/true"))
    drop_in = tmp_path / "edge-asd.service.d/board.conf"
    drop_in.parent.mkdir()
    drop_in.write_text((ROOT / name / "edge-asd.service.d/board.conf").read_text())
    environment = {"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"}
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_udev_rule_is_the_one_that_install_writes() -> None:
    written = [line for line in (ROOT / "common/85-mic0.rules").read_text().splitlines() if not line.startswith("#")]
    made = [line for line in udev_rule(Microphone("mic0", "usb:0d8c:0014:A1")).splitlines() if not line.startswith("#")]
    assert written == made


@pytest.mark.parametrize("name", ["journald.conf", "watchdog.conf"])
def test_settings_of_systemd_are_known_to_it(name: str) -> None:
    known = {"Journal": {"Storage", "RuntimeMaxUse"}, "Manager": {"RuntimeWatchdogSec", "RebootWatchdogSec"}}
    section = ""
    for line in (ROOT / "common" / name).read_text().splitlines():
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = match[1]
        elif line and not line.startswith("#"):
            assert line.split("=")[0] in known[section]


@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="needs systemd-tmpfiles")
def test_the_governors_line_is_understood_and_writes_the_governor(tmp_path: Path) -> None:
    policy = tmp_path / "sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
    policy.parent.mkdir(parents=True)
    policy.write_text("")
    place = tmp_path / "etc/tmpfiles.d/edge-asd.conf"
    place.parent.mkdir(parents=True)
    place.write_text((ROOT / "common/governor.conf").read_text())
    command = ["systemd-tmpfiles", f"--root={tmp_path}", "--create", "edge-asd.conf"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert policy.read_text().strip() == "ondemand"


@pytest.mark.parametrize("name", BOARDS)
def test_its_readme_shows_commands_there_are(name: str) -> None:
    from edge_asd.cli.frame import COMMANDS

    text = (ROOT / name / "README.md").read_text()
    shown = set(re.findall(r"edge-asd ([a-z]+)", text)) - {"export"}
    assert {"enroll", "service", "status", "doctor"} <= shown
    assert shown <= {*COMMANDS, "events", "needs", "as", "is"}, shown

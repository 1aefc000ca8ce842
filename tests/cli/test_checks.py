"""What `doctor` says of machines that lack something, and that it says it of this one without falling over."""

from __future__ import annotations

import json
import types
from pathlib import Path

import pytest

from edge_asd.cli import checks, main
from edge_asd.errors import UnavailableError


def test_an_old_python_is_refused_and_a_32_bit_one_told() -> None:
    assert checks.python((3, 11, 2), 64).state == "ok"
    assert checks.python((3, 9, 1), 64).state == "fail"
    narrow = checks.python((3, 11, 2), 32)
    assert narrow.state == "warn"
    assert "tflite-runtime" in narrow.detail


def test_a_missing_package_is_mended_by_pip_of_this_very_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(checks.sys, "executable", "/opt/my env/bin/python")
    monkeypatch.setattr(checks.sys, "prefix", "/opt/my env")
    finding = checks.package("soxr", "soxr", load)
    assert (finding.state, finding.detail) == ("fail", "not installed")
    assert finding.mend == "'/opt/my env/bin/python' -m pip install soxr"
    monkeypatch.setattr(checks.sys, "base_prefix", "/opt/my env")
    assert checks.package("soxr", "soxr", load).mend.startswith("python3 -m venv")


def test_a_broken_package_is_told_in_one_line() -> None:
    def load(name: str) -> object:
        raise ImportError("libfoo.so:\n cannot open")

    finding = checks.package("numpy", "numpy", load)
    assert finding.detail == "ImportError: libfoo.so: cannot open"
    assert "--force-reinstall numpy" in finding.mend


def test_a_package_that_is_there_tells_its_version() -> None:
    assert checks.package("x", "x", lambda name: types.SimpleNamespace(__version__="1.2")).detail == "1.2"


def test_one_runtime_is_enough_and_a_broken_one_is_told() -> None:
    def load(name: str) -> object:
        if name == "ai_edge_litert":
            return types.SimpleNamespace(__version__="2.3.0")
        raise ImportError("bad ELF") if name == "onnxruntime" else ModuleNotFoundError(name)

    finding = checks.runtimes(load)
    assert finding.state == "ok"
    assert finding.detail == "litert 2.3.0; broken: onnxruntime: ImportError: bad ELF"


def test_no_runtime_at_all_is_mended_by_pip() -> None:
    def load(name: str) -> object:
        raise ModuleNotFoundError(name)

    finding = checks.runtimes(load)
    assert (finding.state, finding.detail) == ("fail", "none installed")
    assert finding.mend.endswith("-m pip install onnxruntime")


def test_missing_portaudio_names_the_debian_package() -> None:
    def load() -> object:
        raise UnavailableError("the PortAudio library is missing", remedy="run: sudo apt install libportaudio2")

    finding = checks.portaudio(load)
    assert (finding.state, finding.mend) == ("warn", "sudo apt install libportaudio2")


def card(root: Path) -> Path:
    asound = root / "proc/asound"
    (asound / "card1").mkdir(parents=True)
    (asound / "pcm").write_text("01-00: USB Audio : USB Audio : capture 1\n")
    (asound / "card1/id").write_text("Device\n")
    return root


def test_a_card_this_user_may_not_open_is_mended_by_the_audio_group(tmp_path: Path) -> None:
    root, asked = card(tmp_path), list[Path]()

    def may_use(path: Path) -> bool:
        asked.append(path)
        return False

    finding = checks.cards(root, may_use)
    assert finding.state == "warn"
    assert finding.mend == "sudo usermod -aG audio $USER"
    assert asked == [root / "dev/snd/pcmC1D0c"]
    assert checks.cards(root, lambda path: True) == checks.Finding("microphone", "ok", "card:Device")


def test_no_card_at_all(tmp_path: Path) -> None:
    assert checks.cards(tmp_path).state == "warn"


def test_the_model_that_ships_is_whole_and_runs(tmp_path: Path) -> None:
    assert checks.model().state == "ok"
    import shutil

    from edge_asd import model_package

    damaged = tmp_path / "damaged"
    shutil.copytree(model_package.DEFAULT_PACKAGE, damaged)
    network = damaged / "int8.onnx"
    data = bytearray(network.read_bytes())
    data[100] ^= 1
    network.write_bytes(data)
    finding = checks.model(damaged)
    assert finding.state == "fail"
    assert "int8.onnx" in finding.detail


def test_a_disk_that_is_full_or_cannot_be_written(tmp_path: Path) -> None:
    assert checks.disk(tmp_path).state == "ok"
    assert checks.disk(tmp_path, free_bytes=1_000_000).state == "fail"
    gone = checks.disk(tmp_path / "none")
    assert gone.state == "fail"
    assert "cannot be written" in gone.detail


def test_the_command_prints_every_finding_and_its_mend(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = [checks.Finding("a", "ok", "1.0"), checks.Finding("b", "fail", "not there", "apt install b")]
    monkeypatch.setattr(checks, "examine", lambda: findings)
    assert main(["doctor"]) == 69
    assert capsys.readouterr().out.splitlines() == [
        "ok       a: 1.0",
        "MISSING  b: not there",
        "         mend it: apt install b",
    ]
    assert main(["doctor", "--json"]) == 69
    assert json.loads(capsys.readouterr().out)[1]["mend"] == "apt install b"
    monkeypatch.setattr(checks, "examine", lambda: findings[:1])
    assert main(["doctor"]) == 0


def test_this_machine_is_examined(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    names = [finding["name"] for finding in json.loads(capsys.readouterr().out)]
    assert names[:2] == ["Python", "numpy"]
    assert {"model", "PortAudio", "microphone", "disk"} <= set(names)

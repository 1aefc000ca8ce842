"""The frame of the command line: help, nearest words, exit codes, no traceback, no heavy import."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_asd import errors
from edge_asd.cli import frame, main, score, service
from edge_asd.cli.frame import COMMANDS
from edge_asd.config.settings import SECTIONS, fields_of

ACTIONS = [["config", "check"], *(["service", action] for action in ("install", "uninstall", "status", "logs"))]
HELPS = [[], *([name] for name in COMMANDS), *ACTIONS]


@pytest.mark.parametrize("words", HELPS, ids=lambda words: " ".join(words) or "edge-asd")
def test_every_help_has_examples(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: edge-asd")
    assert re.search(r"examples:\n  (sudo )?edge-asd ", out)
    assert max(len(line) for line in out.splitlines()) <= 120
    assert err == ""


@pytest.mark.parametrize("words", HELPS, ids=lambda words: " ".join(words) or "edge-asd")
def test_every_help_lists_the_exit_codes(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*words, "--help"])
    out = capsys.readouterr().out
    for code in (0, 2, 65, 66, 69, 70, 74, 78, 130):
        assert f"{code} " in out.split("exit codes:")[1]


def test_no_help_imports_anything_heavy() -> None:
    code = (
        "import sys; from edge_asd.cli import main\n"
        f"for words in {HELPS!r}: assert main([*words, '--help']) == 0\n"
        "heavy = {'numpy', 'onnxruntime', 'yaml', 'sounddevice', 'soundfile', 'soxr', 'torch', 'PIL'}"
        " & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_command_shows_the_help_as_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "commands:" in err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("edge-asd 0.")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["scor"], "did you mean 'score'?"),
        (["enrol", "x.wav"], "did you mean 'enroll'?"),
        (["frobnicate"], "unknown command 'frobnicate'; choose of devices, enroll, run, score,"),
        (["run", "--frobnicate"], "unknown flag --frobnicate; see edge-asd run --help"),
        (["run", "--bundel", "x"], "did you mean --bundle?"),
        (["run", "--bundle=x", "--devcie=mic0"], "did you mean --device?"),
        (["devices", "--jsn"], "did you mean --json?"),
        (["doctor", "now"], "unexpected argument 'now'"),
        (["--verison"], "did you mean --version?"),
        (["score"], "the following arguments are required: CLIP|DIR"),
        (["run", "--duration", "soon"], "'soon' is no duration"),
        (["enroll", "x.wav"], "--out"),
        (["enroll", "x.wav", "--out", "y.asd", "--percentile", "20"], "'20' is no percentile"),
        (["evaluate", "x.csv", "--percentile", "200"], "'200' is no percentile"),
        (["config"], "ACTION"),
        (["run", "--demo", "--duration", "5s"], "--duration has no place there"),
        (["run", "--demo", "--bundle", "fan.asd"], "--bundle has no place there"),
        (["run", "--demo", "--device", "mic0"], "--device has no place there"),
        (["run", "--channel", "left"], "invalid int value: 'left'"),
        (["events", "--limit", "-1x"], "argument --limit: '-1x'"),
    ],
)
def test_a_mistyped_line_is_answered_with_what_was_meant(
    words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert meant in err
    assert err.startswith("edge-asd: ")
    assert err.count("\n") == 1


def test_a_time_back_from_now_is_the_value_of_its_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(service, "run", lambda args: asked.append(args.since) or 0)
    assert main(["service", "logs", "--since", "-1h"]) == 0
    assert asked == ["-1h"]


def test_a_negative_budget_gets_the_budgets_own_answer(capsys: pytest.CaptureFixture[str]) -> None:
    main(["enroll", "a.wav", "--out", "a.asd", "--false-alarms", "-1/week"])
    assert "--false-alarms is '-1/week'; give a false-alarm budget such as 1/week" in capsys.readouterr().err


def failing(error: BaseException) -> object:
    def run(args: object) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (errors.DataError("it is bad", remedy="mend it"), 65, "edge-asd: it is bad; mend it\n"),
        (errors.ConfigError("wrong"), 78, "edge-asd: wrong\n"),
        (FileNotFoundError(2, "No such file", "x.wav"), 66, "edge-asd: x.wav: No such file\n"),
        (OSError(28, "No space left on device", "log"), 74, "edge-asd: log: No space left on device\n"),
        (PermissionError(13, "Permission denied", "log"), 74, "edge-asd: log: Permission denied\n"),
        (KeyboardInterrupt(), 130, "edge-asd: interrupted\n"),
        (
            MemoryError("Unable to allocate 1 MiB"),
            70,
            "edge-asd: not enough memory: Unable to allocate 1 MiB; end what",
        ),
        (RuntimeError("two\nlines"), 70, "RuntimeError: two lines; run again with EDGE_ASD_DEBUG=1"),
    ],
)
def test_errors_become_one_line_and_an_exit_code(
    error: BaseException,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("EDGE_ASD_DEBUG", raising=False)
    monkeypatch.setattr(score, "run", failing(error))
    assert main(["score", "x.wav"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("module", ["edge_asd.cli.frame", "argparse", "edge_asd.cli.bench"])
def test_an_interrupt_among_the_imports_is_quiet(module: str) -> None:
    code = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.modules.pop('argparse', None)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "sys.argv[1:] = ['--version']\n"
        "import edge_asd.__main__ as program; sys.exit(program.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_the_traceback_is_there_for_those_who_ask(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGE_ASD_DEBUG", "1")
    monkeypatch.setattr(score, "run", failing(RuntimeError("inside")))
    assert main(["score", "x.wav"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    config = tmp_path / "fan.yaml"
    config.write_text("")
    code = f"import sys; from edge_asd.cli import main; sys.exit(main(['config', 'check', {str(config)!r}]))"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode == frame.PIPE_CLOSED
    assert done.stderr == ""


@pytest.mark.parametrize("closed", [1, 2])
def test_a_stream_that_is_closed_is_no_fault(closed: int, tmp_path: Path) -> None:
    config = tmp_path / "fan.yaml"
    config.write_text("")
    command = f'"$0" -m edge_asd config check "$1" {closed}>&-'
    done = subprocess.run(["sh", "-c", command, sys.executable, config], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    settings = sum(len(fields_of(section)) for section in SECTIONS)
    assert done.stdout == (
        "" if closed == 1 else f"{config}: right, 0 of {settings} settings given, the others at their defaults\n"
    )


def test_a_name_that_is_not_text_is_shown_escaped(tmp_path: Path) -> None:
    config = os.fsencode(tmp_path) + b"/f\xffn.yaml"
    Path(os.fsdecode(config)).write_text("")
    done = subprocess.run([sys.executable, "-m", "edge_asd", "config", "check", config], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"f\\udcffn.yaml: right" in done.stdout


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package that brings the commands `tune`, and a `score` that must not win."""
    (tmp_path / "plugged_tune.py").write_text(
        "def add_parser(subparsers):\n"
        "    subparsers.add_parser('tune', help='real help').add_argument('--epochs', type=int)\n"
        "def run(args):\n"
        "    print('tuned', args.epochs)\n"
        "    return 3\n"
    )
    (tmp_path / "plugged_broken.py").write_text("raise RuntimeError('must not be imported for the help')\n")
    info = tmp_path / "plugged-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[edge_asd.commands]\ntune = plugged_tune\nother = plugged_broken\nscore = plugged_broken\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_other_packages_bring_commands(plugged: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "--epochs", "4"]) == 3
    assert capsys.readouterr().out == "tuned 4\n"
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "tune" in out
    assert "from the package plugged" in out
    assert main(["tnue"]) == 2
    assert "did you mean 'tune'?" in capsys.readouterr().err


def test_a_built_in_command_is_never_replaced(plugged: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "--help"]) == 0
    assert "Score whole recordings" in capsys.readouterr().out

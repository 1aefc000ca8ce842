"""What `doctor --board` looks at: whether a board is set up as its folder in `firmware_configs` says.

None of it keeps edge-asd from running, so everything that is not as advised is a warning, with the command or the file
that mends it.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from edge_asd.bench.board import describe
from edge_asd.cli.checks import Finding
from edge_asd.cli.parsing import choice
from edge_asd.errors import UsageError

PACKAGE = "firmware_configs"
LITTLE_MEMORY_SHARE = 0.8


@dataclass(frozen=True)
class Board:
    """What a board's `board.yaml` says.

    name: of its folder. board: in words. model_contains: of the device tree's model. machine: what `uname -m` may say.
    python: versions its system has. memory_mib: at least. governors: good ones. hardware_watchdog: whether systemd can
    feed one. battery_clock: whether it can keep time without power. boot_config, i2s_line, i2s_card: for an I2S
    microphone. power_mode: whether nvpmodel sets one. sources: of these facts.
    """

    name: str
    board: str
    model_contains: str
    machine: list[str]
    python: list[str]
    memory_mib: int
    governors: list[str]
    hardware_watchdog: bool
    battery_clock: bool
    boot_config: str = ""
    i2s_line: str = ""
    i2s_card: str = ""
    power_mode: bool = False
    sources: list[str] = field(default_factory=list)


def board_names() -> list[str]:
    """The boards there is a folder for."""
    folder = resources.files(PACKAGE)
    return sorted(entry.name for entry in folder.iterdir() if (entry / "board.yaml").is_file())


def load_board(name: str) -> Board:
    """A board by the name of its folder. Raises UsageError for one nobody knows."""
    import yaml

    if name not in (known := board_names()):
        raise UsageError(f"no board is called {name!r}", remedy=choice(name, known))
    text = (resources.files(PACKAGE) / name / "board.yaml").read_text(encoding="utf-8")
    return Board(name=name, **yaml.safe_load(text))


def examine_board(board: Board, root: Path = Path("/"), machine: str | None = None) -> list[Finding]:
    """Hold this machine against `board`. root: of the file system. machine: as `uname -m` says; None: ask."""
    told = describe(root)
    findings = [
        _model(board, told["model"]),
        _architecture(board, machine or platform.machine()),
        _memory(board, _read(root / "proc/meminfo")),
        _governor(board, told["governor"]),
        _power(told["throttled"]),
        _swap(_read(root / "proc/swaps")),
        _journal(root),
    ]
    if board.i2s_line:
        findings.append(_i2s(board, root))
    if board.hardware_watchdog:
        findings.append(_watchdog(root))
    if board.power_mode:
        findings.append(Finding("power mode", "ok", told["power_mode"] or "not told (nvpmodel -q)"))
    findings.append(_clock(board, root))
    findings.append(_service(root))
    return findings


def _model(board: Board, model: str | None) -> Finding:
    if model and board.model_contains in model:
        return Finding("board", "ok", model)
    return Finding("board", "warn", f"{model or 'no device tree'}: this is not a {board.board}")


def _architecture(board: Board, machine: str) -> Finding:
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    shown = f"{machine}, Python {python}"
    if machine not in board.machine:
        return Finding("system", "warn", f"{shown}: expected {' or '.join(board.machine)}; write the 64-bit image")
    if python not in board.python:
        return Finding(
            "system", "warn", f"{shown}: archives for it bring wheels for Python {' and '.join(board.python)}"
        )
    return Finding("system", "ok", shown)


def _memory(board: Board, meminfo: str) -> Finding:
    kib = next((int(line.split()[1]) for line in meminfo.splitlines() if line.startswith("MemTotal:")), 0)
    found = f"{kib / 1024:.0f} MiB"
    if kib / 1024 < LITTLE_MEMORY_SHARE * board.memory_mib:
        return Finding("memory", "warn", f"{found}, expected about {board.memory_mib}: is it given to the GPU?")
    return Finding("memory", "ok", found)


def _governor(board: Board, governor: str | None) -> Finding:
    if governor is None or governor in board.governors:
        return Finding("processor clock", "ok", governor or "not told")
    mend = (
        "sudo cp firmware_configs/common/governor.conf /etc/tmpfiles.d/edge-asd.conf && sudo systemd-tmpfiles --create"
    )
    return Finding("processor clock", "warn", f"governor {governor}, advised {' or '.join(board.governors)}", mend)


def _power(throttled: list[str] | None) -> Finding:
    if throttled:
        return Finding("power and heat", "warn", f"{', '.join(throttled)}: use a stronger supply, or cool the board")
    return Finding("power and heat", "ok", "not told" if throttled is None else "full speed since boot")


def _swap(swaps: str) -> Finding:
    on_card = [line.split()[0] for line in swaps.splitlines()[1:] if line.split() and "zram" not in line.split()[0]]
    if on_card:
        mend = "sudo systemctl disable --now dphys-swapfile"
        return Finding("swap", "warn", f"{', '.join(on_card)}: swapping wears the card out", mend)
    return Finding("swap", "ok", "none on the card")


def _journal(root: Path) -> Finding:
    folder = root / "etc/systemd"
    files = [folder / "journald.conf", *sorted((folder / "journald.conf.d").glob("*.conf"))]
    settings = [line.strip() for path in files for line in _read(path).splitlines()]
    if any(line == "Storage=volatile" for line in settings) or not (root / "var/log/journal").is_dir():
        return Finding("journal", "ok", "in memory")
    target = "/etc/systemd/journald.conf.d/edge-asd.conf"
    mend = f"sudo install -D firmware_configs/common/journald.conf {target} && sudo systemctl restart systemd-journald"
    return Finding("journal", "warn", "written to the card all the time", mend)


def _i2s(board: Board, root: Path) -> Finding:
    lines = [line.strip() for line in _read(root / board.boot_config.lstrip("/")).splitlines()]
    name = "I2S microphone"
    if board.i2s_line not in lines:
        return Finding(name, "ok", f"not set up ({board.boot_config} has no {board.i2s_line}); a USB one needs nothing")
    if board.i2s_card in _read(root / "proc/asound/cards"):
        return Finding(name, "ok", f"card {board.i2s_card}")
    return Finding(name, "warn", f"set up, but the card {board.i2s_card} is not there: check the line and reboot")


def _watchdog(root: Path) -> Finding:
    folder = root / "etc/systemd"
    files = [folder / "system.conf", *sorted((folder / "system.conf.d").glob("*.conf"))]
    fed = any(line.strip().startswith("RuntimeWatchdogSec=") for path in files for line in _read(path).splitlines())
    if not (root / "dev/watchdog").exists():
        return Finding("hardware watchdog", "warn", "not there: add dtparam=watchdog=on to /boot/firmware/config.txt")
    if not fed:
        mend = "sudo install -D firmware_configs/common/watchdog.conf /etc/systemd/system.conf.d/edge-asd.conf"
        return Finding("hardware watchdog", "warn", "there, but systemd does not feed it", mend)
    return Finding("hardware watchdog", "ok", "fed by systemd")


def _clock(board: Board, root: Path) -> Finding:
    if any((root / "sys/class/rtc").glob("rtc*")):
        cell = " (with a cell in its connector)" if board.battery_clock else ""
        return Finding("clock", "ok", f"has one of its own{cell}")
    return Finding("clock", "ok", "none of its own: records made before the network gives the time are re-dated later")


def _service(root: Path) -> Finding:
    if (root / "etc/systemd/system/edge-asd.service").is_file():
        return Finding("service", "ok", "installed")
    mend = "sudo edge-asd service install --bundle FILE.asd --device NAME"
    return Finding("service", "warn", "not installed: nothing listens after a reboot", mend)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""

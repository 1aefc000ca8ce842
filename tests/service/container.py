"""A real systemd, booted in a container made of this very system: an overlay, no image needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
BOOT_LIMIT_S = 200
HIDDEN = ("tmp", "run", "dev", "proc", "sys")
"""Directories that are others inside the container."""
UNITS = {
    "edge-test.target": "[Unit]\nRequires=basic.target dbus.service edge-test.service\nAfter=basic.target\n",
    "edge-test.service": """\
[Unit]
After=basic.target dbus.service
[Service]
Type=oneshot
TimeoutStartSec={limit}
StandardOutput=file:/edge/driver.txt
StandardError=inherit
ExecStart={python} {inside} {program} /edge {repository}
ExecStopPost=/bin/systemctl poweroff --force
""",
}


class NoContainer(Exception):
    """None boots here; `str()` says why."""


class StuckContainer(Exception):
    """It booted, and never powered off or left no results; `str()` is the end of what it said."""


def booted(folder: Path, shared: Path, inside: Path, limit_s: int = BOOT_LIMIT_S) -> dict[str, Any]:
    """Boot, run the script `inside` as root in there, power off; give what it wrote into results.json.

    folder: for what the boot needs. shared: seen as /edge inside, where the script writes results.json; its arguments
    are the program edge-asd, /edge and the repository. Raises NoContainer, StuckContainer.
    """
    if os.geteuid() != 0:
        raise NoContainer("booting a container needs root")
    if shutil.which("systemd-nspawn") is None:
        raise NoContainer("needs systemd-nspawn: apt install systemd-container")
    hidden = [path for path in (Path(sys.executable), REPOSITORY) if path.parts[1] in HIDDEN]
    if hidden:
        raise NoContainer(f"{hidden[0]} cannot be seen inside: systemd puts its own /{hidden[0].parts[1]} over it")
    for path in (shared, *shared.iterdir()):
        path.chmod(0o755)
    overlay = folder / "overlay"
    overlay.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "edge-asd-test", str(overlay)], check=True)
    try:
        root = _overlaid(overlay)
        # Python itself may be root's own here, and the service runs as nobody in particular.
        for folder_above in reversed(Path(sys.base_prefix).resolve().parents):
            (root / folder_above.relative_to("/")).chmod(0o755)
        for name, text in UNITS.items():
            filled = text.format(
                python=sys.executable,
                inside=inside,
                program=Path(sys.executable).with_name("edge-asd"),
                repository=REPOSITORY,
                limit=limit_s - 50,
            )
            (root / "etc/systemd/system" / name).write_text(filled)
        _boot(root, shared, folder / "console.txt", limit_s)
        if not (shared / "results.json").exists():
            said = (shared / "driver.txt").read_text(errors="replace") if (shared / "driver.txt").exists() else ""
            raise StuckContainer(f"{said[-1000:]}\n{(folder / 'console.txt').read_text(errors='replace')[-2000:]}")
        return dict(json.loads((shared / "results.json").read_text()))
    finally:
        subprocess.run(["umount", str(overlay / "root")], check=False, capture_output=True)
        subprocess.run(["umount", str(overlay)], check=False, capture_output=True)


def _overlaid(overlay: Path) -> Path:
    upper, work, root = overlay / "upper", overlay / "work", overlay / "root"
    for path in (upper, work, root):
        path.mkdir()
    options = f"lowerdir=/,upperdir={upper},workdir={work}"
    done = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", options, str(root)], capture_output=True, text=True
    )
    if done.returncode:
        raise NoContainer(f"an overlay of / cannot be mounted here: {done.stderr.strip()}")
    return root


def _boot(root: Path, shared: Path, console: Path, limit_s: int) -> None:
    # nspawn wants its own directory below /run in memory, which not every machine's /run is.
    command = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh"]
    command += ["systemd-nspawn", f"--directory={root}", "--register=no", "--keep-unit", "--private-network"]
    command += ["--link-journal=no", f"--bind={shared}:/edge", f"--bind-ro={REPOSITORY}"]
    command += ["--boot", "--", "--unit=edge-test.target"]
    with console.open("wb") as out:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=limit_s
            )
        except subprocess.TimeoutExpired:
            raise StuckContainer(console.read_text(errors="replace")[-2000:]) from None
    if done.returncode:
        raise NoContainer(f"no container boots here: {' '.join(console.read_text(errors='replace').split())[-200:]}")

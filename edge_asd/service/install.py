"""The files that make edge-asd a service: unit, network drop-in, udev rule, config and bundle.

Nothing here touches systemd; `edge_asd.cli.service` does. All paths are below a root, so an image that is not running
(or a test) is installed into the same way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_asd.atomic import write_atomically
from edge_asd.errors import DataError, StorageError

NAME = "edge-asd"
UNIT = Path(f"etc/systemd/system/{NAME}.service")
NETWORK = Path(f"etc/systemd/system/{NAME}.service.d/network.conf")
UDEV = Path(f"etc/udev/rules.d/85-{NAME}.rules")
CONFIG_DIRECTORY = Path(f"etc/{NAME}")
CONFIG = CONFIG_DIRECTORY / "config.yaml"
STATE_DIRECTORIES = (Path(f"var/lib/{NAME}"), Path(f"var/lib/private/{NAME}"))
"""Where a service with a dynamic user keeps its state: a link, and what it points to."""
_HERE = Path(__file__).parent
_HOMES = ("/home", "/root", "/run/user")
"""What ProtectHome=yes hides. Source: systemd.exec(5)."""
_CARD_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,14}")
"""What ALSA takes as the id of a card."""
_WANTED_BY = re.compile(r"^WantedBy=(\S+)$", re.MULTILINE)
"""What the unit's [Install] says starts it. Source: systemd.unit(5)."""


@dataclass(frozen=True)
class Microphone:
    """The microphone of the service.

    alias: its own name, such as mic0. stable_name: as `edge-asd devices` prints it; the alias itself where unknown.
    """

    alias: str
    stable_name: str


def unit_text(program: str) -> str:
    """The unit that starts `program` (absolute path, no spaces)."""
    if not program.startswith("/") or any(c.isspace() or c in "%$\"'\\" for c in program):
        raise DataError(
            f"the program's path {program!r} cannot stand in a unit", remedy="install edge-asd under a plain path"
        )
    return (_HERE / "edge-asd.service").read_text(encoding="utf-8").replace("@PROGRAM@", program)


def hidden_home(*paths: Path) -> Path | None:
    """The first of `paths` (absolute) that lies in a home directory, which the unit hides from the service."""
    return next((path for path in paths for home in _HOMES if path.is_relative_to(home)), None)


def network_text() -> str:
    """The drop-in that gives the service the network."""
    return (_HERE / "network.conf").read_text(encoding="utf-8")


def udev_rule(microphone: Microphone) -> str:
    """A rule that names the microphone's sound card after its alias; empty for a card that is not on USB.

    Such a card has an id of its own already. Source: ALSA's `id` attribute of a card, udev(7).
    """
    if not _CARD_ID.fullmatch(microphone.alias):
        return ""
    name = microphone.stable_name.split(",")[0]
    if name.startswith("usb:") and name.count(":") >= 3:
        _, vendor, product, serial = name.split(":", 3)
        # A stable name shows spaces as underscores; in a rule `?` fits either.
        where = f'ATTRS{{idVendor}}=="{vendor}", ATTRS{{idProduct}}=="{product}", ATTRS{{serial}}=="{_glob(serial)}"'
    elif name.startswith("usb-port:"):
        where = f'KERNELS=="{name.removeprefix("usb-port:")}"'
    else:
        return ""
    return (
        "# Made by edge-asd service install: the microphone's card keeps its name on any port and after any boot.\n"
        f'ACTION=="add", SUBSYSTEM=="sound", KERNEL=="card*", {where}, ATTR{{id}}="{microphone.alias}"\n'
    )


def config_text(bundle: str, microphone: Microphone, channel: int | None, public_key: str | None = None) -> str:
    """The service's config: the settings that install was given, to be edited by hand afterwards."""
    import yaml

    audio: dict[str, object] = {"device": microphone.alias}
    if microphone.stable_name != microphone.alias:
        audio["aliases"] = {microphone.alias: microphone.stable_name}
    if channel is not None:
        audio["channel"] = channel
    model = {"bundle": bundle, **({} if public_key is None else {"public_key": public_key})}
    settings = {"model": model, "audio": audio}
    return (
        "# Settings of the edge-asd service. After a change: edge-asd config check THIS-FILE && systemctl restart "
        "edge-asd\n" + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    )


def write_files(root: Path, files: Mapping[Path, bytes]) -> list[Path]:
    """Write each file (a path relative to `root` -> content) that is not there with that content; give those written.

    Raises StorageError.
    """
    written = []
    for relative, data in files.items():
        path = root / relative
        try:
            if path.is_file() and path.read_bytes() == data:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}", remedy="run it as root (sudo)") from error
        write_atomically(path, data, mode=0o644)  # the service's own user reads them, also after a root with umask 077
        written.append(path)
    return written


def enable_in(root: Path) -> list[Path]:
    """Make the links that start the unit below `root` at boot, as `systemctl enable` would; give those made.

    Raises StorageError.
    """
    made = []
    for target in _WANTED_BY.findall((root / UNIT).read_text(encoding="utf-8")):
        link = root / UNIT.parent / f"{target}.wants" / UNIT.name
        try:
            if link.is_symlink() and str(link.readlink()) in (f"../{UNIT.name}", f"/{UNIT}"):
                continue
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(f"../{UNIT.name}")
        except OSError as error:
            raise StorageError(f"{link}: {error.strerror}", remedy="run it as root (sudo)") from error
        made.append(link)
    return made


def is_in(root: Path, program: str) -> bool:
    """Whether `program` (absolute path) lies below `root`. A link counts: it may point to what only the image has."""
    return os.path.lexists(root / program.lstrip("/"))


def remove_files(root: Path, *, purge: bool) -> list[Path]:
    """Take the service's files, and the links that start it at boot, away; give those that were there.

    purge: also its config, bundles, events and clips.
    """
    import shutil

    removed = []
    links = sorted((root / UNIT.parent).glob(f"*.wants/{UNIT.name}"))
    wanted = [*(link.relative_to(root) for link in links), UNIT, NETWORK, UDEV]
    if purge:
        wanted += [CONFIG_DIRECTORY, *STATE_DIRECTORIES]
    for relative in wanted:
        path = root / relative
        try:
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                continue
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}", remedy="run it as root (sudo)") from error
        removed.append(path)
    return removed


def _glob(text: str) -> str:
    return re.sub(r'[\[\]*"\\_]', "?", text)

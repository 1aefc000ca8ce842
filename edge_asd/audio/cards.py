"""Sound cards as Linux knows them: names that survive a reboot, and who holds a card that is busy."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

_PCM_LINE = re.compile(r"(\d+)-(\d+): (.*)")


@dataclass(frozen=True)
class CaptureCard:
    """One capture device of one card.

    card, device: ALSA's numbers, which change from boot to boot.
    title: for people.
    stable_name: "usb:<vendor>:<product>:<serial>"; without a serial number, or with two cards that share one,
        "usb-port:<port>"; for cards that are not USB "card:<id>". A device number other than 0 is appended as ",1".
    card_id: ALSA's own short name of the card, which a udev rule may have given; with a device number likewise.
    """

    card: int
    device: int
    title: str
    stable_name: str
    card_id: str


def capture_cards(root: Path = Path("/")) -> list[CaptureCard]:
    """All capture devices of this machine, by number; empty where there is no ALSA.

    root: of the file system, another one in tests.
    """
    found: list[tuple[int, int, str]] = []
    for line in _read(root / "proc/asound/pcm").splitlines():
        match = _PCM_LINE.match(line)
        if match and re.search(r": capture \d", line):
            found.append((int(match[1]), int(match[2]), match[3].split(" : ")[0].strip()))
    cards = {card for card, _, _ in found}
    names = {card: _card_names(root, card) for card in cards}
    shared = Counter(names[card][0] for card in cards)
    listed = []
    for card, device, title in sorted(found):
        first, by_port = names[card]
        name = first if shared[first] == 1 else by_port
        card_id = _card_id(root, card)
        number = f",{device}" if device else ""
        full_title = f"{title} [{card_id}]" if card_id else title
        listed.append(CaptureCard(card, device, full_title, name + number, card_id and card_id + number))
    return listed


def holder(card: int, device: int, root: Path = Path("/")) -> str:
    """Which process has a capture device open, "arecord (pid 123)"; empty when none can be seen.

    The kernel tells everybody the number (owner_pid in sound/core/pcm.c); the name of another user's process can be
    hidden from a service.
    """
    for substream in sorted((root / f"proc/asound/card{card}/pcm{device}c").glob("sub*/status")):
        owner = re.search(r"^owner_pid\s*:\s*(\d+)", _read(substream), re.MULTILINE)
        if owner:
            return _process(owner[1], root)
    wanted = f"/dev/snd/pcmC{card}D{device}c"
    for process in (root / "proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for link in (process / "fd").iterdir():
                if str(link.readlink()) == wanted:
                    return _process(process.name, root)
    return ""


def _process(number: str, root: Path) -> str:
    # The kernel names the thread that opened the device.
    group = re.search(r"^Tgid:\s*(\d+)", _read(root / f"proc/{number}/status"), re.MULTILINE)
    number = group[1] if group else number
    return f"{_read(root / f'proc/{number}/comm').strip() or 'a process of another user'} (pid {number})"


def _card_names(root: Path, card: int) -> tuple[str, str]:
    """The name to prefer, and the one to use when another card has the same."""
    by_id = f"card:{_card_id(root, card) or card}"
    device = (root / f"sys/class/sound/card{card}/device").resolve()
    for place in (device, *device.parents):
        if (place / "idVendor").is_file():
            by_port = f"usb-port:{place.name}"
            serial = _read(place / "serial").strip()
            if not serial:
                return by_port, by_port
            vendor, product = _read(place / "idVendor").strip(), _read(place / "idProduct").strip()
            return f"usb:{vendor}:{product}:{serial.replace(' ', '_')}", by_port
    return by_id, by_id


def _card_id(root: Path, card: int) -> str:
    return _read(root / f"proc/asound/card{card}/id").strip()


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""

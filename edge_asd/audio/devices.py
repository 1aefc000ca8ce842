"""Which microphones there are, what they can do, why one cannot be used, and which one a name means."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from edge_asd.audio import portaudio
from edge_asd.audio.cards import CaptureCard, capture_cards, holder
from edge_asd.errors import UnavailableError

PROBE_RATES_HZ = (16000, 44100, 48000)
MAX_CHANNELS = 8
"""More than this is a sound server's upper limit, not a microphone's count."""
_HARDWARE = re.compile(r"\(hw:(\d+),(\d+)\)")


@dataclass(frozen=True)
class InputDevice:
    """One input.

    index: PortAudio's number until its list is read again; -1 when PortAudio does not list it. Never a name.
    name: PortAudio's name.
    stable_name: survives a reboot and another port order; what a config should hold.
    card_id: ALSA's name of its card, such as a udev rule gives; empty for a name that ALSA or a sound server makes up.
    channels: how many it has.
    default_rate_hz: what PortAudio would choose.
    rates_hz: rates among 16, 44.1 and 48 kHz (and the default) it opens at; empty before probing.
    problem: why it cannot be used, or nothing.
    is_default: the system's default input.
    hardware: card and device number, or None for a name that ALSA or a sound server makes up, where any rate may be
        a converter of unknown quality.
    """

    index: int
    name: str
    stable_name: str
    channels: int
    default_rate_hz: int
    rates_hz: tuple[int, ...] = ()
    problem: str = ""
    is_default: bool = False
    hardware: tuple[int, int] | None = None
    card_id: str = ""

    @property
    def label(self) -> str:
        """For lists of candidates."""
        return self.name if self.name == self.stable_name else f"{self.stable_name} ({self.name})"


def list_inputs(*, probe: bool = True, root: Path = Path("/")) -> list[InputDevice]:
    """Every input, also those that PortAudio hides because they are busy.

    probe: open each for a moment to learn its rates and whether it can be used.
    root: of the file system, for card names.
    Raises UnavailableError when PortAudio is not installed.
    """
    sounddevice = portaudio.load()
    cards = {(card.card, card.device): card for card in capture_cards(root)}
    try:
        default = sounddevice.query_devices(kind="input")["index"]
    except (sounddevice.PortAudioError, ValueError):
        default = -1
    found = []
    for index, entry in enumerate(sounddevice.query_devices()):
        if entry["max_input_channels"] < 1:
            continue
        match = _HARDWARE.search(entry["name"])
        hardware = (int(match[1]), int(match[2])) if match else None
        card = cards.pop(hardware, None) if hardware else None
        device = InputDevice(
            index=index,
            name=entry["name"],
            stable_name=card.stable_name if card else entry["name"],
            channels=entry["max_input_channels"],
            default_rate_hz=round(entry["default_samplerate"]),
            is_default=index == default,
            hardware=hardware,
            card_id=card.card_id if card else "",
        )
        found.append(probed(sounddevice, device, root) if probe else device)
    found.extend(_hidden(card, root) for card in cards.values())
    return found


def probed(sounddevice: ModuleType, device: InputDevice, root: Path = Path("/")) -> InputDevice:
    """`device` with its rates, or with its problem, learnt by opening it for a moment."""
    rates, problem = [], ""
    for rate_hz in sorted({*PROBE_RATES_HZ, device.default_rate_hz}):
        try:
            sounddevice.check_input_settings(
                device=device.index, channels=open_channels(device, None), samplerate=rate_hz, dtype="float32"
            )
            rates.append(rate_hz)
        except (sounddevice.PortAudioError, ValueError) as error:
            problem = explain(error, device, root)
            if portaudio.is_unavailable(error):
                break
    return dataclasses.replace(device, rates_hz=tuple(rates), problem="" if rates else problem)


def explain(error: Exception, device: InputDevice, root: Path = Path("/")) -> str:
    """Why opening `device` failed, with the process that holds it where that can be seen."""
    by = holder(*device.hardware, root) if device.hardware else ""
    return f"busy: held by {by}" if by else portaudio.reason(error)


def open_channels(device: InputDevice, channel: int | None) -> int:
    """How many channels to open so that none are mixed: all of them, or two of a sound server's many."""
    return device.channels if device.channels <= MAX_CHANNELS else max(2, (channel or 0) + 1)


def resolve(name: str | None, devices: Sequence[InputDevice], aliases: Mapping[str, str] | None = None) -> InputDevice:
    """The one input that `name` means.

    name: an alias, a stable name, PortAudio's name, the id of its card, or a part of a name that no other has; None for
        the default input.
    aliases: from the config, alias -> name.
    Raises UnavailableError naming the candidates when none or several match.
    """
    if name is None:
        return _default(devices)
    wanted = (aliases or {}).get(name, name)
    shown = repr(name) if wanted == name else f"{name!r} (alias of {wanted!r})"
    if wanted.isdigit():
        raise UnavailableError(
            f"input {shown} is a number, and numbers change from boot to boot", remedy=_candidates(devices)
        )
    for exact in (
        lambda d: wanted in (d.stable_name, d.name),
        lambda d: wanted == d.card_id != "",
        lambda d: wanted.lower() == d.name.lower(),
    ):
        matches = [device for device in devices if exact(device)]
        if matches:
            break
    else:
        part = wanted.lower()
        matches = [d for d in devices if part and (part in d.name.lower() or part in d.stable_name.lower())]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UnavailableError(f"input {shown} fits {len(matches)} devices", remedy=_candidates(matches))
    raise UnavailableError(f"no input is called {shown}", remedy=_candidates(devices))


def _default(devices: Sequence[InputDevice]) -> InputDevice:
    chosen = [d for d in devices if d.is_default] or list(devices)
    if len(chosen) == 1:
        return chosen[0]
    raise UnavailableError(
        "there is no default input" if devices else "there is no input device", remedy=_candidates(devices)
    )


def _candidates(devices: Sequence[InputDevice]) -> str:
    if not devices:
        return "none is connected; see `arecord -l` and that this user is in the group audio"
    return "choose one of: " + ", ".join(device.label for device in devices)


def _hidden(card: CaptureCard, root: Path) -> InputDevice:
    """A capture device that the kernel knows and PortAudio left out, which it does when it cannot open it."""
    by = holder(card.card, card.device, root)
    problem = f"busy: held by {by}" if by else "cannot be opened: busy, or this user is not in the group audio"
    return InputDevice(
        index=-1,
        name=f"{card.title} (hw:{card.card},{card.device})",
        stable_name=card.stable_name,
        channels=0,
        default_rate_hz=0,
        problem=problem,
        hardware=(card.card, card.device),
        card_id=card.card_id,
    )

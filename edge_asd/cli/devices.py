"""`edge-asd devices`: which microphones there are."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from edge_asd.cli.options import loaded_config
from edge_asd.cli.parsing import Subparsers, new_command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_asd.audio.devices import InputDevice


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = new_command(
        subparsers,
        "devices",
        summary="list every input, and why one cannot be used",
        description="List every input with a name that survives a reboot and another USB port order, its channels, the "
        "rates it opens at, and why it cannot be used if it cannot. Give that name to --device, or an alias for it in "
        "the config (audio: aliases: {mic0: NAME}). A * marks the system's default.",
        examples=("edge-asd devices", "edge-asd devices --json | jq -r '.[].name'"),
    )
    parser.add_argument("--json", action="store_true", help="a JSON array")
    parser.add_argument("--config", metavar="FILE", help="YAML config file, to show its aliases")


def run(args: argparse.Namespace) -> int:
    """Print the inputs; 69 when there is none or PortAudio is missing."""
    config = loaded_config(args).config
    from edge_asd.audio.devices import list_inputs
    from edge_asd.errors import UnavailableError

    found = [described(device, config.audio.aliases) for device in list_inputs()]
    if args.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        for entry in found:
            print(as_line(entry))
    if not found:
        raise UnavailableError("no input device", remedy="connect a microphone, then see edge-asd doctor")
    return 0


def described(device: InputDevice, aliases: Mapping[str, str]) -> dict[str, Any]:
    """One input as plain JSON types."""
    return {
        "name": device.stable_name,
        "description": device.name,
        "aliases": sorted(alias for alias, name in aliases.items() if name in (device.stable_name, device.name)),
        "default": device.is_default,
        "channels": device.channels,
        "rates_hz": list(device.rates_hz),
        "usable": not device.problem,
        "problem": device.problem,
    }


def as_line(entry: dict[str, Any]) -> str:
    """One input for a person."""
    mark = "*" if entry["default"] else " "
    shown = f"  ({entry['description']})" if entry["description"] != entry["name"] else ""
    called = f"  alias {', '.join(entry['aliases'])}" if entry["aliases"] else ""
    if entry["problem"]:
        return f"{mark} {entry['name']}{shown}{called}  cannot be used: {entry['problem']}"
    channels = f"{entry['channels']} channel{'' if entry['channels'] == 1 else 's'}"
    rates = ", ".join(str(rate) for rate in entry["rates_hz"])
    return f"{mark} {entry['name']}{shown}{called}  {channels}, {rates} Hz"

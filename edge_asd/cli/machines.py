"""Which machines a run watches, and with which bundle and microphone each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_asd.cli.bundles import bundle_path
from edge_asd.cli.parsing import choice
from edge_asd.config import Config
from edge_asd.config.settings import AudioConfig, MachineConfig
from edge_asd.errors import ConfigError, UsageError

FLAGS = {"model.bundle": "--bundle", "audio.device": "--device", "audio.channel": "--channel", "input": "--input"}
"""What is said of one machine on the command line."""


@dataclass(frozen=True)
class Watched:
    """One machine.

    name: in records and file names. bundle: its .asd file. audio: where its sound comes from.
    """

    name: str
    bundle: Path
    audio: AudioConfig


def watched(config: Config, chosen: str | None, flags: Mapping[str, object]) -> list[Watched]:
    """The machines of the config, or the one that `model` and `audio` set.

    chosen: watch only the machine of this name. flags: what was given on the command line; it is said of one machine.
    Raises UsageError, ConfigError (a machine without bundle or microphone, two that claim one microphone).
    """
    if chosen is not None and chosen not in config.machines:
        known = list(config.machines)
        hint = choice(chosen, known) if known else "name machines in the config file"
        raise UsageError(f"no machine is called {chosen!r}", remedy=hint)
    if not config.machines:
        path = bundle_path(config)
        return [Watched(path.stem, path, config.audio)]
    if chosen is not None:
        return [_one(chosen, config.machines[chosen], config, flags)]
    given = [flag for name, flag in FLAGS.items() if flags.get(name) is not None]
    if given:
        raise UsageError(
            f"{given[0]} is said of one machine, and the config has {len(config.machines)}",
            remedy=f"choose one with --machine, of {', '.join(config.machines)}",
        )
    machines = [_one(name, machine, config, {}) for name, machine in config.machines.items()]
    _refuse_claimed_twice(machines)
    return machines


def _one(name: str, machine: MachineConfig, config: Config, flags: Mapping[str, object]) -> Watched:
    """A machine with what it leaves open taken from the other sections; a flag wins over both."""
    audio = config.audio
    for key in ("device", "channel", "rate"):
        value = getattr(machine, key)
        if value is not None and flags.get(f"audio.{key}") is None:
            audio = dataclasses.replace(audio, **{key: value})
    bundle = machine.bundle if flags.get("model.bundle") is None else None
    bundle = bundle or config.model.bundle
    if bundle is None:
        raise ConfigError(
            f"machines.{name} has no bundle", remedy="set its bundle: FILE.asd (edge-asd enroll makes it)"
        )
    if audio.device is None and flags.get("input") is None:
        raise ConfigError(
            f"machines.{name} has no device",
            remedy=f"set machines.{name}.device, or audio.device for all (`edge-asd devices` lists them)",
        )
    return Watched(name, Path(bundle), audio)


def _refuse_claimed_twice(machines: list[Watched]) -> None:
    claims: dict[tuple[str, int], str] = {}
    for machine in machines:
        audio = machine.audio
        device = audio.aliases.get(audio.device, audio.device) if audio.device else "default"
        claim = (device, audio.channel or 0)
        if claim in claims:
            raise ConfigError(
                f"machines {claims[claim]} and {machine.name} both listen to {device}, channel {claim[1]}",
                remedy="give each its own device or channel",
            )
        claims[claim] = machine.name

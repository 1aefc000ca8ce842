"""Flags that are settings of the config: their names and words, given in one place for every command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from edge_asd.cli.parsing import Parser, size_bytes
from edge_asd.config import Flag, LoadedConfig, as_yaml, load_config


@dataclass(frozen=True)
class _Option:
    flag: str
    metavar: str | None
    type: Callable[[str], object]
    help: str


SETTINGS = {
    "audio.device": _Option("--device", "NAME", str, "input device, by the name `edge-asd devices` prints or an alias"),
    "audio.channel": _Option("--channel", "N", int, "channel to listen to, counted from 0"),
    "audio.rate": _Option("--rate", "HZ", int, "rate of the device, or of raw sound on standard input"),
    "audio.channels": _Option("--channels", "N", int, "channels of raw sound on standard input (default 1)"),
    "audio.input_format": _Option(
        "--input-format",
        "FORMAT",
        str,
        "of raw sound on standard input: u8, s16le, s24le, s32le, f32le, f64le (default s16le)",
    ),
    "model.bundle": _Option("--bundle", "FILE", str, "the machine's .asd file"),
    "model.package": _Option("--model", "DIR", str, "model package to enrol with (default: the one that ships)"),
    "model.precision": _Option("--precision", "KIND", str, "network to enrol with: int8 or fp32 (default int8)"),
    "model.public_key": _Option(
        "--public-key", "FILE.pub", str, "take only bundles signed with its secret key (see edge-asd sign)"
    ),
    "model.runtime": _Option(
        "--runtime", "NAME", str, "library for the network: auto, onnxruntime, litert or tflite (default auto)"
    ),
    "model.bank_budget": _Option(
        "--bank-budget",
        "SIZE",
        size_bytes,
        "keep no more enrolled windows than fit, such as 64KiB (default: all)",
    ),
    "model.bank_method": _Option(
        "--bank-method", "NAME", str, "how those to keep are chosen: k-centre or k-means (default k-centre)"
    ),
    "detector.step_s": _Option(
        "--step", "S", float, "seconds from one scored window to the next (default: the model's)"
    ),
    "detector.smoothing_s": _Option("--smoothing", "S", float, "seconds of windows a score averages"),
    "detector.percentile": _Option(
        "--live-percentile",
        "P",
        float,
        "share of normal scores, in percent, that stays below the threshold; higher: fewer alarms",
    ),
    "detector.false_alarms": _Option(
        "--false-alarms", "N/PERIOD", str, "false alarms of a live stream accepted: 1/week, 0.5/day, 2/month"
    ),
    "detector.session_allowance": _Option(
        "--session-allowance",
        "auto|none|FACTOR",
        str,
        "how much wider the thresholds are for days not heard yet (default auto: by what the enrolment shows)",
    ),
    "alarm.confirm_s": _Option("--confirm", "S", float, "seconds above the threshold before an alarm starts"),
    "alarm.cooldown_s": _Option("--cooldown", "S", float, "seconds after an alarm in which no other starts"),
    "store.directory": _Option("--store", "DIR", str, "keep events, scores by the minute and clips of alarms here"),
    "output.file": _Option("--log", "FILE", str, "append JSON lines to this file too"),
}


def add_settings(parser: Parser, *names: str) -> None:
    """Add the flags of these settings. Their `dest` is the setting's name; None means: not given."""
    for name in names:
        option = SETTINGS[name]
        parser.add_argument(option.flag, dest=name, metavar=option.metavar, type=option.type, help=option.help)


def add_config_flags(parser: Parser) -> None:
    """Add `--config` and `--print-config`."""
    parser.add_argument("--config", metavar="FILE", help="YAML config file (default: $EDGE_ASD_CONFIG); flags win")
    parser.add_argument(
        "--print-config", action="store_true", help="print the settings in effect and where each came from, and end"
    )


def loaded_config(args: argparse.Namespace) -> LoadedConfig:
    """The configuration in effect for these flags."""
    flags = {}
    for name, value in vars(args).items():
        if "." in name and value is not None:
            known = SETTINGS.get(name)
            flags[name] = Flag(known.flag if known else f"--{name.split('.')[1]}", value)
    return load_config(getattr(args, "config", None), environment=os.environ, flags=flags)


def printed_config(args: argparse.Namespace, loaded: LoadedConfig) -> bool:
    """Whether `--print-config` was asked for, and so done."""
    if args.print_config:
        sys.stdout.write(as_yaml(loaded))
    return bool(args.print_config)

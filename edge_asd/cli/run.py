"""`edge-asd run`: watch a machine, live."""

from __future__ import annotations

import argparse
import dataclasses
import threading
import time
from typing import TYPE_CHECKING

from edge_asd.cli.machines import watched
from edge_asd.cli.options import add_config_flags, add_settings, loaded_config, printed_config
from edge_asd.cli.parsing import Subparsers, duration_s, new_command
from edge_asd.cli.watching import alarm_tracker, open_sinks, watch_machines
from edge_asd.errors import UsageError

if TYPE_CHECKING:
    from edge_asd.config import Config


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = new_command(
        subparsers,
        "run",
        summary="watch a machine and say when it is wrong",
        description="Score sound as it comes, against the normal sound in a bundle. In a terminal a meter shows level "
        "and score; with --json, or when standard output is not a terminal, every score, alarm and event of the source "
        "is one JSON line. Higher scores are more anomalous.\n\n"
        "A window of sound is scored at every step of the model; the score is the mean over --smoothing seconds of "
        "windows; an alarm starts once the score has been above the threshold for --confirm seconds. The three are "
        "independent, and their sum is the delay of an alarm.\n\n"
        "Ctrl-C and SIGTERM end the run with a summary and exit code 0. A store that cannot be written never ends the "
        "listening; what it has not taken by the end is counted on stderr, and the exit code is then 74.",
        examples=(
            "edge-asd run --bundle fan.asd --device mic0 --config fan.yaml",
            "edge-asd run --bundle fan.asd --input yesterday.flac --fast --json",
            "arecord -t raw -f S16_LE -r 48000 | edge-asd run --bundle fan.asd --input - --rate 48000",
            "edge-asd run --demo",
        ),
    )
    add_settings(parser, "model.bundle", "audio.device")
    parser.add_argument("--machine", metavar="NAME", help="of the machines in the config, watch only this one")
    parser.add_argument("--input", metavar="FILE|-", help="sound file, or - for standard input (WAV or raw), instead")
    parser.add_argument("--fast", action="store_true", help="do not pace a file to the speed of its sound")
    parser.add_argument(
        "--duration", type=duration_s, metavar="TIME", help="end after this much sound: 90, 60s, 10m, 1h"
    )
    parser.add_argument(
        "--wait", action="store_true", help="wait for a microphone that is not there, as a service does"
    )
    add_settings(parser, "audio.channel", "audio.rate", "audio.channels", "audio.input_format")
    add_settings(
        parser,
        "model.public_key",
        "model.runtime",
        "detector.smoothing_s",
        "detector.false_alarms",
        "detector.percentile",
    )
    add_settings(parser, "alarm.confirm_s", "alarm.cooldown_s")
    parser.add_argument(
        "--format",
        dest="output.format",
        metavar="KIND",
        help="of standard output: auto, meter, json or events (default auto)",
    )
    parser.add_argument(
        "--json", dest="output.format", action="store_const", const="json", help="JSON lines: --format json"
    )
    add_settings(parser, "output.file", "store.directory")
    add_config_flags(parser)
    parser.add_argument("--demo", action="store_true", help="20 s of a simulated machine that breaks half way")


def run(args: argparse.Namespace) -> int:
    """Watch until the sound, the duration or the user ends it."""
    loaded = loaded_config(args)
    if printed_config(args, loaded):
        return 0
    given = vars(args)
    if args.input is not None and given["audio.device"] is not None:
        raise UsageError("--input and --device were both given", remedy="choose one source of sound")
    stop = threading.Event()
    if args.demo:
        return _demo(args, loaded.config, stop)
    machines = watched(loaded.config, args.machine, {**given, "input": args.input})
    return watch_machines(machines, args, loaded.config, stop)


def _demo(args: argparse.Namespace, config: Config, stop: threading.Event) -> int:
    """The demo is shown to a person: it draws its meter even into a pipe, unless JSON was asked for."""
    from edge_asd.monitor import demo
    from edge_asd.monitor.clock import RunClock
    from edge_asd.monitor.live import LiveRun, stop_on_signals
    from edge_asd.monitor.records import SourceRecord
    from edge_asd.monitor.sinks import closed_at_end

    for name in ("input", "duration", "audio.device", "model.bundle"):
        if getattr(args, name) is not None:
            flag = name.split(".")[-1]
            raise UsageError(f"--demo brings its own machine and ends by itself, --{flag} has no place there")
    if config.output.format == "auto":
        config = dataclasses.replace(config, output=dataclasses.replace(config.output, format="meter"))
    sinks = open_sinks(config)
    for sink in sinks:  # before the seconds of learning, which would otherwise show an empty screen
        sink.write(SourceRecord(demo.MACHINE, time.time(), demo.NAME, "simulated", demo.DESCRIPTION))

    def on_fault(at: float) -> None:
        live.report("fault", "the fault sets in", at=at)

    prepared = demo.prepare(paced=not args.fast, on_fault=on_fault, stop=stop)
    clock = RunClock()
    alarm = alarm_tracker(config, prepared.source.rate_hz, clock)
    live = LiveRun(demo.MACHINE, prepared.source, prepared.detector, alarm, sinks, stop=stop, clock=clock)
    with closed_at_end(sinks), stop_on_signals(stop):
        live.run()
    return 0

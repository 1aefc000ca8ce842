"""`edge-asd run`: watch a machine, live."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_asd.cli.bundles import opened_bundle
from edge_asd.cli.machines import Watched, watched
from edge_asd.cli.options import add_config_flags, add_settings, loaded_config, printed_config
from edge_asd.cli.parsing import Subparsers, duration_s, new_command
from edge_asd.cli.progress import note
from edge_asd.errors import DataError, EdgeAsdError, UsageError

if TYPE_CHECKING:
    from edge_asd.adaptation import Adapter
    from edge_asd.audio.block import AudioSource
    from edge_asd.audio.captures import Captures
    from edge_asd.audio.microphone import SourceEvent
    from edge_asd.bundle import Bundle
    from edge_asd.config import Config
    from edge_asd.detector import Detector
    from edge_asd.monitor.clock import RunClock
    from edge_asd.monitor.health import Health
    from edge_asd.monitor.live import LiveRun, Tap
    from edge_asd.monitor.shift import ShiftWatch
    from edge_asd.monitor.sinks import Sink
    from edge_asd.normal import NormalSound
    from edge_asd.store.attach import StoreParts


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
        "Ctrl-C and SIGTERM end the run with a summary and exit code 0.",
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
    return _watch(machines, args, loaded.config, stop)


def _watch(machines: list[Watched], args: argparse.Namespace, config: Config, stop: threading.Event) -> int:
    from edge_asd.audio.captures import Captures
    from edge_asd.monitor.clock import RunClock
    from edge_asd.monitor.live import stop_on_signals
    from edge_asd.monitor.sinks import closed_at_end
    from edge_asd.monitor.watch import RETRY_S, Together, watch
    from edge_asd.service.attach import service_sinks
    from edge_asd.store.attach import store_parts

    clock = RunClock()
    captures = Captures(clock=clock) if args.input is None else None
    bundles = {machine.name: str(machine.bundle) for machine in machines}
    store = store_parts(**dataclasses.asdict(config.store), environment=os.environ, clock=clock, warn=note)
    sinks = [
        *open_sinks(config),
        *store.sinks,
        *_ways_out(config, bundles, clock),
        *service_sinks(bundles, os.environ, clock=clock, disk=store.disk),
    ]
    together = Together(sinks)

    def built(machine: Watched) -> tuple[LiveRun, Bundle]:
        return _built(machine, args, config, together, store, captures, stop, clock)

    def live_of(machine: Watched) -> LiveRun:
        return built(machine)[0]

    with closed_at_end(sinks), _closing(captures), stop_on_signals(stop):
        if len(machines) == 1:
            _run_alone(*built(machines[0]))
            return 0
        ends = watch(
            {machine.name: functools.partial(live_of, machine) for machine in machines},
            together,
            stop=stop,
            clock=clock,
            retry_s=RETRY_S if args.wait else None,
        )
    failures = [end for end in ends.values() if isinstance(end, EdgeAsdError)]
    return failures[0].exit_code if failures and not stop.is_set() else 0


def _ways_out(config: Config, machines: Iterable[str], clock: RunClock) -> list[Sink]:
    """Those that are configured; where none is, nothing is loaded for them."""
    if not (config.mqtt.host or config.webhook.url or config.hook.command or config.prometheus.port):
        return []
    from edge_asd.outputs.attach import output_sinks

    return output_sinks(config, list(machines), clock=clock, environment=os.environ, warn=note)


def _closing(captures: Captures | None) -> contextlib.AbstractContextManager[Any]:
    return contextlib.closing(captures) if captures else contextlib.nullcontext()


def _built(
    machine: Watched,
    args: argparse.Namespace,
    config: Config,
    sink: Sink,
    store: StoreParts,
    captures: Captures | None,
    stop: threading.Event,
    clock: RunClock,
) -> tuple[LiveRun, Bundle]:
    """One machine's run, ready to begin."""
    from edge_asd.budget import Budget
    from edge_asd.cli.sources import open_input, open_microphone
    from edge_asd.monitor.health import Health
    from edge_asd.monitor.shift import ShiftBaseline, ShiftWatch
    from edge_asd.sound_levels import SoundBaseline

    bundle = opened_bundle(config, machine.bundle)
    wanted = config.detector
    detector = bundle.detector(
        smoothing_s=wanted.smoothing_s,
        percentile=wanted.percentile,
        false_alarms=None if wanted.false_alarms is None else Budget.parse(wanted.false_alarms),
        confirm_s=config.alarm.confirm_s,
    )
    if wanted.false_alarms is not None:
        note(f"{machine.name}: {detector.calibration.promise}")
    rate_hz = bundle.contract.features.rate_hz
    source: Any
    if args.input is not None:
        source = open_input(args.input, machine.audio, rate_hz, paced=not args.fast, stop=stop, clock=clock)
    else:

        def on_event(event: SourceEvent) -> None:
            live.report(event.kind, event.detail, event.lost_samples / rate_hz, event.at)
            if event.kind == "opened" and source.note:
                note(f"{source.name}: {source.note}")
            if event.kind in ("opened", "back"):
                live.microphone(
                    source.stable_name,
                    bundle.provenance.get("microphone"),
                    found_hz=source.heard_hz,
                    enrolled_hz=int(bundle.provenance.get("microphone_hz", 0)),
                )

        source = open_microphone(
            machine.audio, rate_hz, wait=args.wait, stop=stop, on_event=on_event, clock=clock, captures=captures
        )
    if args.input is not None and source.note:
        note(f"{source.name}: {source.note}")
    sound = bundle.enrolment.get("sound")
    health = Health(machine.name, rate_hz, SoundBaseline.from_dict(sound) if sound else None)
    taps = store.taps(machine.name, bundle.contract.features)
    shift = ShiftWatch(machine.name, ShiftBaseline.of(bundle), rate_hz, bundle=machine.bundle.name)
    adapter = _adapter(machine, bundle, detector, shift) if wanted.adapt else None
    live = _live_run(
        machine.name, source, detector, config, [sink], args.duration, stop, clock, health, taps, shift, adapter
    )
    return live, bundle


def _adapter(machine: Watched, bundle: Bundle, detector: Detector, shift: ShiftWatch) -> Adapter:
    from edge_asd.adaptation import Adapter, state_paths

    def on_normal(normal: NormalSound) -> None:
        detector.compare_with(normal)
        shift.compare_with(normal.spectra.mean_db)

    path = state_paths(machine.bundle, os.environ)[0]
    embedder = bundle.embedder if bundle.normal.uses_network else None
    adapter = Adapter(bundle, embedder, path, on_normal=on_normal, warn=note)
    note(f"{machine.name}: adapts slowly; {len(adapter.admitted)} windows of its running sound have joined the bank")
    return adapter


def _run_alone(live: LiveRun, bundle: Bundle) -> None:
    """The only machine: its errors are the command's."""
    summary = live.run()
    if not summary.windows and summary.reason in ("ended", "duration"):
        raise DataError(
            f"{summary.machine}: {summary.sound_s:.2f} s of sound, a window needs {bundle.contract.window_s:.2f} s",
            remedy="give a longer --duration"
            if summary.reason == "duration"
            else "score short clips with edge-asd score",
        )


def _demo(args: argparse.Namespace, config: Config, stop: threading.Event) -> int:
    """The demo is shown to a person: it draws its meter even into a pipe, unless JSON was asked for."""
    from edge_asd.monitor import demo
    from edge_asd.monitor.clock import RunClock
    from edge_asd.monitor.live import stop_on_signals
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
    live = _live_run(demo.MACHINE, prepared.source, prepared.detector, config, sinks, None, stop, RunClock())
    with closed_at_end(sinks), stop_on_signals(stop):
        live.run()
    return 0


def _live_run(
    machine: str,
    source: AudioSource,
    detector: Detector,
    config: Config,
    sinks: Sequence[Sink],
    duration: float | None,
    stop: threading.Event,
    clock: RunClock,
    health: Health | None = None,
    taps: Sequence[Tap] = (),
    shift: ShiftWatch | None = None,
    adapter: Adapter | None = None,
) -> LiveRun:
    from edge_asd.monitor.alarm import AlarmSettings, AlarmTracker
    from edge_asd.monitor.live import LiveRun

    settings = AlarmSettings(**dataclasses.asdict(config.alarm))
    alarm = AlarmTracker(settings, rate_hz=source.rate_hz, id_mark=lambda: clock.mark)
    return LiveRun(
        machine,
        source,
        detector,
        alarm,
        sinks,
        taps=taps,
        health=health,
        shift=shift,
        adapter=adapter,
        duration_s=duration,
        stop=stop,
        clock=clock,
    )


def open_sinks(config: Config) -> list[Sink]:
    """Standard output as a meter or JSON lines, and the file if one is set."""
    from edge_asd.monitor.journal import Journal
    from edge_asd.monitor.meter import Meter, ScreenStyle
    from edge_asd.monitor.sinks import JsonLines, JsonLinesFile

    sinks: list[Sink] = []
    if config.output.format == "meter" or (config.output.format == "auto" and sys.stdout.isatty()):
        sinks.append(
            Meter(
                sys.stdout,
                style=ScreenStyle.of(sys.stdout, os.environ),
                columns=lambda: shutil.get_terminal_size((80, 24)).columns,
            )
        )
    elif config.output.format == "events":
        sinks.append(Journal(sys.stdout))
    else:
        sinks.append(JsonLines(sys.stdout))
    if config.output.file is not None:
        sinks.append(JsonLinesFile(Path(config.output.file), warn=note))
    return sinks

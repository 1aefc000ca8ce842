"""From checked settings to running machines: sources, detectors, sinks and ways out, put together for `run`."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_asd.cli.bundles import opened_bundle
from edge_asd.cli.machines import Watched
from edge_asd.cli.progress import note
from edge_asd.errors import DataError, EdgeAsdError, StorageError

if TYPE_CHECKING:
    from edge_asd.audio.block import AudioSource
    from edge_asd.audio.captures import Captures
    from edge_asd.audio.microphone import SourceEvent
    from edge_asd.bundle.bundle import Bundle
    from edge_asd.config import Config
    from edge_asd.detector import Detector
    from edge_asd.enrolment.adaptation import Adapter
    from edge_asd.monitor.alarm import AlarmTracker
    from edge_asd.monitor.clock import RunClock
    from edge_asd.monitor.live import LiveRun
    from edge_asd.monitor.shift import ShiftWatch
    from edge_asd.monitor.sinks import Sink
    from edge_asd.normal import NormalSound
    from edge_asd.store.attach import StoreParts


def watch_machines(machines: list[Watched], args: argparse.Namespace, config: Config, stop: threading.Event) -> int:
    """Watch until all have ended or `stop` is set; give the exit code. args: of `edge-asd run`."""
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
    shared = _Shared(args, config, Together(sinks), store, captures, stop, clock)
    with closed_at_end(sinks), _closing(captures), stop_on_signals(stop):
        if len(machines) == 1:
            _run_alone(shared, machines[0])
            failures = []
        else:
            ends = watch(
                {machine.name: functools.partial(shared.run_of, machine) for machine in machines},
                shared.sink,
                stop=stop,
                clock=clock,
                retry_s=RETRY_S if args.wait else None,
            )
            failures = [end for end in ends.values() if isinstance(end, EdgeAsdError)]
    if failures and not stop.is_set():
        return failures[0].exit_code
    # Known only now that all is closed, and said by the store itself.
    return StorageError.exit_code if store.unstored else 0


def _ways_out(config: Config, machines: Iterable[str], clock: RunClock) -> list[Sink]:
    """Those that are configured; where none is, nothing is loaded for them."""
    if not (config.mqtt.host or config.webhook.url or config.hook.command or config.prometheus.port):
        return []
    from edge_asd.outputs.attach import output_sinks

    return output_sinks(config, list(machines), clock=clock, environment=os.environ, warn=note)


def _closing(captures: Captures | None) -> contextlib.AbstractContextManager[Any]:
    return contextlib.closing(captures) if captures else contextlib.nullcontext()


@dataclass(frozen=True)
class _Shared:
    """What the machines of one process have in common.

    args: of `edge-asd run`. sink: takes the records of all. captures: of microphones several listen to; None for a
    file. stop: ends them all. clock: of the run.
    """

    args: argparse.Namespace
    config: Config
    sink: Sink
    store: StoreParts
    captures: Captures | None
    stop: threading.Event
    clock: RunClock

    def run_of(self, machine: Watched, bundle: Bundle | None = None) -> LiveRun:
        """One machine's run, ready to begin. bundle: the machine's, where it is open already."""
        from edge_asd.enrolment.sound_levels import SoundBaseline
        from edge_asd.monitor.health import Health
        from edge_asd.monitor.live import LiveRun
        from edge_asd.monitor.shift import ShiftBaseline, ShiftWatch

        name, bundle = machine.name, bundle or opened_bundle(self.config, machine.bundle)
        detector = self._detector(name, bundle)
        source = self._source(machine, bundle, lambda: live)
        rate_hz = source.rate_hz
        sound = bundle.enrolment.get("sound")
        shift = ShiftWatch(name, ShiftBaseline.of(bundle), rate_hz, bundle=machine.bundle.name)
        live = LiveRun(
            name,
            source,
            detector,
            alarm_tracker(self.config, rate_hz, self.clock),
            [self.sink],
            taps=self.store.taps(name, bundle.contract.features),
            health=Health(name, rate_hz, SoundBaseline.from_dict(sound) if sound else None),
            shift=shift,
            adapter=_adapter(machine, bundle, detector, shift) if self.config.detector.adapt else None,
            duration_s=self.args.duration,
            stop=self.stop,
            clock=self.clock,
        )
        return live

    def _detector(self, machine: str, bundle: Bundle) -> Detector:
        from edge_asd.calibration.budget import Budget

        wanted = self.config.detector
        detector = bundle.detector(
            smoothing_s=wanted.smoothing_s,
            percentile=wanted.percentile,
            false_alarms=None if wanted.false_alarms is None else Budget.parse(wanted.false_alarms),
            confirm_s=self.config.alarm.confirm_s,
        )
        detector.rehearse()
        if wanted.false_alarms is not None:
            note(f"{machine}: {detector.calibration.promise}")
        return detector

    def _source(self, machine: Watched, bundle: Bundle, live: Callable[[], LiveRun]) -> AudioSource:
        """live: gives the run that hears of the microphone, once there is one."""
        from edge_asd.audio.files import FileSource
        from edge_asd.cli.reach import tell_reach
        from edge_asd.cli.sources import open_input, open_microphone

        args, stop, clock = self.args, self.stop, self.clock
        rate_hz = bundle.contract.features.rate_hz
        if args.input is not None:
            given = open_input(args.input, machine.audio, rate_hz, paced=not args.fast, stop=stop, clock=clock)
            if given.note:
                note(f"{given.name}: {given.note}")
            if isinstance(given, FileSource):
                tell_reach(given.name, given.heard_hz, bundle.provenance, rate_hz)
            return given

        def on_event(event: SourceEvent) -> None:
            live().report(event.kind, event.detail, event.lost_samples / rate_hz, event.at)
            if event.kind == "opened" and source.note:
                note(f"{source.name}: {source.note}")
            if event.kind == "opened":
                tell_reach(source.name, source.heard_hz, bundle.provenance, rate_hz)
            if event.kind in ("opened", "back"):
                live().microphone(
                    source.stable_name,
                    bundle.provenance.get("microphone"),
                    found_hz=source.heard_hz,
                    enrolled_hz=int(bundle.provenance.get("microphone_hz", 0)),
                )

        source = open_microphone(
            machine.audio, rate_hz, wait=args.wait, stop=stop, on_event=on_event, clock=clock, captures=self.captures
        )
        return source


def _adapter(machine: Watched, bundle: Bundle, detector: Detector, shift: ShiftWatch) -> Adapter:
    from edge_asd.enrolment.adaptation import Adapter, state_paths

    def on_normal(normal: NormalSound) -> None:
        detector.compare_with(normal)
        shift.compare_with(normal.spectra.mean_db)

    path = state_paths(machine.bundle, os.environ)[0]
    adapter = Adapter(bundle, path, on_normal=on_normal, warn=note)
    note(f"{machine.name}: adapts slowly; {len(adapter.admitted)} windows of its running sound have joined the bank")
    return adapter


def _run_alone(shared: _Shared, machine: Watched) -> None:
    """The only machine: its errors are the command's."""
    bundle = opened_bundle(shared.config, machine.bundle)
    summary = shared.run_of(machine, bundle).run()
    if not summary.windows and summary.reason in ("ended", "duration"):
        raise DataError(
            f"{summary.machine}: {summary.sound_s:.2f} s of sound, a window needs {bundle.contract.window_s:.2f} s",
            remedy="give a longer --duration"
            if summary.reason == "duration"
            else "score short clips with edge-asd score",
        )


def alarm_tracker(config: Config, rate_hz: int, clock: RunClock) -> AlarmTracker:
    """What turns a machine's scores into alarms, as the section `alarm` sets it."""
    from edge_asd.monitor.alarm import AlarmSettings, AlarmTracker

    settings = AlarmSettings(**dataclasses.asdict(config.alarm))
    return AlarmTracker(settings, rate_hz=rate_hz, id_mark=lambda: clock.mark)


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

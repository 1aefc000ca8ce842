"""`edge-asd enroll`: learn a machine's normal sound."""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_asd.cli.bundles import engine_of
from edge_asd.cli.options import add_config_flags, add_settings, loaded_config, printed_config
from edge_asd.cli.parsing import Subparsers, duration_s, new_command, percentile
from edge_asd.cli.progress import Once, Progress, confirmed, note
from edge_asd.errors import DataError, MissingInputError, StorageError, UsageError
from edge_asd.formats import binary_size

if TYPE_CHECKING:
    from edge_asd.audio.microphone import SourceEvent
    from edge_asd.bundle import Bundle
    from edge_asd.calibration import LiveTarget, Threshold
    from edge_asd.config import Config
    from edge_asd.enrolment import Enrolment

DEFAULT_DURATION = "10m"


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = new_command(
        subparsers,
        "enroll",
        summary="learn a machine's normal sound",
        description="Learn what a healthy machine sounds like, from its microphone or from recordings, and write a "
        "bundle (.asd) that `run` and `score` judge by. Let the machine do all it normally does meanwhile: what is not "
        "heard here will count as anomalous. 10 s are the least, 60 s are advised, ten minutes are good.\n\n"
        "The live threshold is set for a number of false alarms (--false-alarms, 1/week); minutes of sound cannot show "
        "a week, so it is extrapolated, and what to expect is said. Said is also whether more sound would change "
        "anything, and what is unlike all the rest (a slammed door, a voice): --drop-outliers leaves that out.\n\n"
        "Silent, clipped or broken sound is refused. The bundle is written whole or not at all.",
        examples=(
            "edge-asd enroll --device mic0 --duration 10m --out fan.asd",
            "edge-asd enroll recordings/ more.flac --out fan.asd --percentile 99",
            "edge-asd enroll night.wav --out fan.asd --false-alarms 2/month --drop-outliers",
            "edge-asd enroll a-whole-day/ --out fan.asd --bank-budget 64KiB",
            "edge-asd enroll normal/ --out fan.asd --scorer ranked:gmm",
        ),
    )
    parser.add_argument(
        "clips", nargs="*", metavar="CLIP|DIR", help="recordings of normal sound (or log-mel .npy dumps)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.asd", help="bundle to write")
    parser.add_argument("--force", action="store_true", help="replace FILE.asd if it exists")
    add_settings(parser, "audio.device")
    parser.add_argument(
        "--duration",
        type=duration_s,
        metavar="TIME",
        help=f"how long to listen to the device: 90, 60s, 10m, 1h (default {DEFAULT_DURATION})",
    )
    parser.add_argument("--wait", action="store_true", help="wait for a microphone that is not there")
    add_settings(parser, "audio.channel", "audio.rate", "model.package", "model.precision", "model.runtime")
    add_settings(parser, "detector.step_s", "detector.smoothing_s")
    parser.add_argument(
        "--percentile", type=percentile, metavar="P", help="share of normal clips, in %%, meant to stay quiet (95)"
    )
    add_settings(parser, "detector.false_alarms", "detector.percentile", "alarm.confirm_s")
    parser.add_argument(
        "--drop-outliers",
        action="store_true",
        help="leave out stretches that are unlike all the rest (in a terminal it asks; otherwise they are only named)",
    )
    add_settings(parser, "model.bank_budget", "model.bank_method")
    parser.add_argument(
        "--scorer",
        metavar="SPECS",
        help="what the score is made of, VIEW:MEASURE joined by +. Views: embedding (the network), spectrum, ranked; "
        "measures: knn, ldn, white, centres, smote, lof, gmm, maha; settings behind commas (ranked:gmm,r=0.95,k=2). "
        "Without embedding no network runs (default embedding:knn+ranked:knn,r=1.05)",
    )
    parser.add_argument(
        "--keep-frames",
        action="store_true",
        help="keep the log-mel frames in the bundle (0.24 MB a minute), so that it can be fitted to another runtime",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_config_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Enrol and write the bundle; its figures on stdout, progress and warnings on stderr."""
    loaded = loaded_config(args)
    if printed_config(args, loaded):
        return 0
    from_device = vars(args)["audio.device"] is not None
    if args.clips and (from_device or args.duration is not None):
        raise UsageError("recordings and a device (or --duration) were both given", remedy="choose one of them")
    check_output(args.out, force=args.force)
    from edge_asd.bundle import save_bundle
    from edge_asd.enrolment import DEFAULT_CLIP_PERCENTILE, DEFAULT_SMOOTHING_S, Enrolment
    from edge_asd.inference import load_embedder, runnable_formats
    from edge_asd.model_package import DEFAULT_PACKAGE, load_model
    from edge_asd.scorers import DEFAULT_SCORERS, parse_scorers, uses_network

    config = loaded.config
    scorers = parse_scorers(args.scorer or DEFAULT_SCORERS)
    package = Path(config.model.package) if config.model.package else DEFAULT_PACKAGE
    model = load_model(package, config.model.precision, runnable_formats(config.model.runtime))
    if config.detector.step_s is not None:
        model = model.with_step(config.detector.step_s)
    smoothing_s = config.detector.smoothing_s
    enrolment = Enrolment(
        model,
        load_embedder(model, config.model.runtime, engine_of(config)) if uses_network(scorers) else None,
        scorers,
        clip_percentile=args.percentile or DEFAULT_CLIP_PERCENTILE,
        live=live_target(config),
        smoothing_s=DEFAULT_SMOOTHING_S if smoothing_s is None else smoothing_s,
        keep_frames=args.keep_frames,
        bank_budget_bytes=config.model.bank_budget,
        bank_method=config.model.bank_method,
        enrolled_s=time.time(),
    )
    if args.clips:
        heard = _take_clips(enrolment, args.clips, config)
    else:
        heard = _listen(enrolment, config, args.duration or duration_s(DEFAULT_DURATION), wait=args.wait)
    _mind_outliers(enrolment, drop=args.drop_outliers)
    bundle = enrolment.finish(heard)
    save_bundle(bundle, args.out)
    for warning in bundle.enrolment["warnings"]:
        note(f"warning: {warning}")
    for advice in (bundle.live_calibrations[-1].promise, (bundle.enrolment["saturation"] or {}).get("text", "")):
        if advice:
            note(advice)
    print(json.dumps(as_result(bundle, args.out)) if args.json else as_words(bundle, args.out))
    return 0


def check_output(path: Path, *, force: bool) -> None:
    """Refuse, before minutes of listening, a bundle that could not be written afterwards."""
    if path.is_dir():
        raise UsageError(f"{path} is a directory", remedy="give --out a file name")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is a device or pipe", remedy="give --out a file name")
    if path.exists() and not force:
        raise UsageError(f"{path} exists", remedy="choose another --out, or replace it with --force")
    if not path.parent.is_dir():
        raise MissingInputError(f"{path}: the directory {path.parent} does not exist", remedy="make it first")
    if not os.access(path.parent, os.W_OK):
        raise StorageError(f"{path}: the directory {path.parent} cannot be written", remedy="choose another --out")


def as_result(bundle: Bundle, path: Path) -> dict[str, object]:
    """What came out, as plain JSON types."""
    return {
        "bundle": str(path),
        **bundle.enrolment,
        "clip_calibration": bundle.clip_calibration.to_dict(),
        "live_calibration": bundle.live_calibrations[-1].to_dict(),
    }


def as_words(bundle: Bundle, path: Path) -> str:
    """What came out, for a person."""
    clip, live, heard = bundle.clip_calibration, bundle.live_calibrations[-1], bundle.enrolment
    return (
        f"{path}: {heard['seconds']:.0f} s of normal sound, {heard['windows']} windows{_kept(heard)}; thresholds "
        f"for {_set_for(live)} live ({live.method}), {_set_for(clip)} for clips ({clip.method})"
    )


def _kept(heard: dict[str, Any]) -> str:
    """What the bank's budget left of the windows, and what it cost."""
    bank = heard.get("bank")
    if not bank:
        return ""
    return (
        f" ({bank['windows']} kept in {binary_size(bank['bytes'])}: normal sound is "
        f"{bank['further_percent']:+.0f} % further from them)"
    )


def _set_for(threshold: Threshold) -> str:
    if threshold.budget is not None:
        return f"{threshold.budget.replace('/', ' false alarm a ', 1)}"
    return f"{threshold.percentile:g} % of normal sound"


def live_target(config: Config) -> LiveTarget:
    """What the config sets the live threshold for."""
    from edge_asd.budget import Budget
    from edge_asd.calibration import LiveTarget
    from edge_asd.enrolment import DEFAULT_LIVE

    if config.detector.percentile is not None:
        return LiveTarget(percentile=config.detector.percentile)
    asked = config.detector.false_alarms
    return LiveTarget(DEFAULT_LIVE.budget if asked is None else Budget.parse(asked), confirm_s=config.alarm.confirm_s)


def _mind_outliers(enrolment: Enrolment, *, drop: bool) -> None:
    """Name what is unlike all the rest, and leave it out if that is wanted."""
    outliers = enrolment.outliers()
    if not outliers:
        return
    for outlier in outliers:
        note(f"unlike the rest: {outlier.text}")
    if drop or confirmed("leave that out of the normal sound?"):
        enrolment.drop(outliers)
        note(f"left out; {enrolment.seconds:.0f} s of sound remain")
    else:
        note("kept as normal sound; if it was an accident (a slammed door, a voice), enrol again with --drop-outliers")


def _take_clips(enrolment: Enrolment, paths: list[str], config: Config) -> dict[str, str]:
    from edge_asd.audio.files import find_clips

    named = find_clips(paths)
    clips = list({clip.resolve(): clip for clip in named}.values())
    if len(clips) < len(named):
        note(f"warning: {len(named) - len(clips)} clips were named twice and count once")
    progress, say_once, refused = Progress(len(clips)), Once(), []
    try:
        for done, clip in enumerate(clips, 1):
            try:
                enrolment.add_clip(clip, config.audio.channel, on_note=say_once)
            except DataError as error:
                # All of them are named in one run; enrolling the rest would hide that sound is missing.
                refused.append(error)
            progress.at(done, f"{done} of {len(clips)} clips, {enrolment.seconds:.0f} s of sound")
    finally:
        progress.end()
    if len(refused) == 1:
        raise refused[0]
    if refused:
        for reason in refused:
            note(reason)
        raise DataError(f"{len(refused)} of {len(clips)} clips cannot be enrolled", remedy="leave them out")
    return {"source": f"{len(clips)} clips"}


def _listen(enrolment: Enrolment, config: Config, wanted_s: float, *, wait: bool) -> dict[str, str]:
    from edge_asd.audio.block import level_dbfs
    from edge_asd.cli.sources import open_microphone
    from edge_asd.monitor.recorder import stretches

    rate_hz = enrolment.model.contract.features.rate_hz
    progress = Progress(wanted_s)

    def on_event(event: SourceEvent) -> None:
        progress.end()
        note(f"{event.kind}: {event.detail}")

    source = open_microphone(config.audio, rate_hz, wait=wait, stop=threading.Event(), on_event=on_event)
    blocks, least_s, skipped_s, heard_s = source.blocks(), enrolment.model.contract.window_s, 0.0, 0.0
    try:
        # A slammed door must not cost ten minutes: a bad stretch is left out and more is listened to in its place.
        while (missing_s := wanted_s - enrolment.seconds) >= least_s:
            heard_any = False
            for stretch in stretches(blocks, rate_hz, missing_s, least_s):
                heard_any = True
                heard = f"{level_dbfs(stretch):.0f} dBFS"
                try:
                    enrolment.add_samples(stretch, source.name, start_s=heard_s)
                except DataError as error:
                    skipped_s += stretch.size / rate_hz
                    if skipped_s >= wanted_s:
                        raise
                    progress.end()
                    note(f"{error.message}: {stretch.size / rate_hz:.0f} s left out")
                heard_s += stretch.size / rate_hz
                progress.at(enrolment.seconds, f"{enrolment.seconds:.0f} of {wanted_s:.0f} s heard, {heard}")
            if not heard_any:
                break  # the source has ended
    finally:
        progress.end()
        source.close()
    if source.note:
        note(f"{source.name}: {source.note}")
    return {"source": f"device {source.name}", "microphone": source.stable_name}

"""`edge-asd enroll`: learn a machine's normal sound."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_asd.cli.append import add_append_flags, run_append
from edge_asd.cli.bundles import engine_of, model_to_enrol
from edge_asd.cli.options import add_config_flags, add_settings, loaded_config, printed_config
from edge_asd.cli.parsing import Subparsers, duration_s, new_command, percentile
from edge_asd.cli.progress import note
from edge_asd.cli.taking import listen, mind_outliers, take_clips
from edge_asd.errors import MissingInputError, StorageError, UsageError
from edge_asd.formats import binary_size

if TYPE_CHECKING:
    from edge_asd.bundle.bundle import Bundle
    from edge_asd.calibration.threshold import Threshold
    from edge_asd.calibration.thresholds import LiveTarget
    from edge_asd.config import Config

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
        "One session cannot show how days differ: the thresholds allow for some of it (--session-allowance). "
        "Recordings of several days (--sessions) replace what is assumed by what was heard; a minute of another day "
        "(--append) makes that day known.\n\n"
        "The live threshold is set for a number of false alarms (--false-alarms, 1/week); minutes of sound cannot show "
        "a week, so it is extrapolated, and what to expect is said. Said is also whether more sound would change "
        "anything, and what is unlike all the rest (a slammed door, a voice): --drop-outliers leaves that out.\n\n"
        "--append adds a minute of new normal sound (another load, season, microphone) to a bundle and keeps what it "
        "knew; --undo takes the last --append back.\n\n"
        "Silent, clipped or broken sound is refused. The bundle is written whole or not at all.",
        examples=(
            "edge-asd enroll --device mic0 --duration 10m --out fan.asd",
            "edge-asd enroll recordings/ more.flac --out fan.asd --percentile 99",
            "edge-asd enroll night.wav --out fan.asd --false-alarms 2/month --drop-outliers",
            "edge-asd enroll monday/ tuesday/ friday/ --sessions --out fan.asd",
            "edge-asd enroll a-whole-day/ --out fan.asd --bank-budget 64KiB",
            "edge-asd enroll normal/ --out fan.asd --scorer ranked:gmm",
            "edge-asd enroll --append fan.asd --device mic0 --duration 1m",
            "edge-asd enroll --undo fan.asd",
        ),
    )
    parser.add_argument(
        "clips", nargs="*", metavar="CLIP|DIR", help="recordings of normal sound (or log-mel .npy dumps)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE.asd", help="bundle to write")
    add_append_flags(parser)
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
    add_settings(
        parser, "detector.false_alarms", "detector.percentile", "detector.session_allowance", "alarm.confirm_s"
    )
    parser.add_argument(
        "--sessions",
        action="store_true",
        help="each CLIP or DIR named is a session of its own (another day, another load): thresholds are fitted with "
        "whole sessions left out, and less is allowed for days not heard",
    )
    parser.add_argument(
        "--drop-outliers",
        action="store_true",
        help="leave out stretches that are unlike all the rest (in a terminal it asks; otherwise they are only named)",
    )
    add_settings(parser, "model.bank_budget", "model.bank_method")
    parser.add_argument(
        "--section", metavar="NAME", help="the machine, of those a model was trained on that scores by section (fan/00)"
    )
    parser.add_argument(
        "--scorer",
        metavar="SPECS",
        help="what the score is made of, VIEW:MEASURE joined by +. Views: embedding (the network), spectrum, ranked, "
        "scores (the model's own scorer, column i of it); measures: knn, ldn, white, centres, smote, lof, gmm, maha, "
        "column; settings behind commas (ranked:gmm,r=0.95,k=2). Without embedding and scores no network runs "
        "(default embedding:knn+ranked:knn,r=1.05; scores:column for a model without embeddings)",
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
    if any(path is not None for path in (args.append, args.undo, args.undo_adaptation)):
        return run_append(args, loaded.config)
    if args.domain is not None:
        raise UsageError("--domain is said of sound that is added", remedy="give --append FILE.asd")
    if args.out is None:
        raise UsageError(
            "no bundle to write was named", remedy="give --out FILE.asd, or --append FILE.asd to add to one"
        )
    if args.clips and (from_device or args.duration is not None):
        raise UsageError("recordings and a device (or --duration) were both given", remedy="choose one of them")
    if args.sessions and len(args.clips) < 2:
        raise UsageError("--sessions tells sessions by the paths that are named", remedy="name a CLIP or DIR for each")
    check_output(args.out, force=args.force)
    from edge_asd.bundle.bundle import save_bundle
    from edge_asd.calibration.allowance import parse_allowance
    from edge_asd.enrolment.enrol import DEFAULT_CLIP_PERCENTILE, DEFAULT_SMOOTHING_S, Enrolment
    from edge_asd.inference import load_embedder
    from edge_asd.scorers import default_scorers, parse_scorers, uses_network

    config = loaded.config
    model = model_to_enrol(config)
    scorers = parse_scorers(args.scorer or default_scorers(model.contract))
    if args.section is not None:
        model = model.for_section(args.section)
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
        session_allowance=parse_allowance(config.detector.session_allowance),
    )
    if args.clips:
        heard = take_clips(enrolment, args.clips, config, sessions=args.sessions)
    else:
        heard = listen(enrolment, config, args.duration or duration_s(DEFAULT_DURATION), wait=args.wait)
    mind_outliers(enrolment, drop=args.drop_outliers)
    bundle = enrolment.finish(heard)
    save_bundle(bundle, args.out)
    for warning in bundle.enrolment["warnings"]:
        note(f"warning: {warning}")
    told = (bundle.enrolment[part] or {} for part in ("saturation", "sessions"))
    for advice in (bundle.live_calibrations[-1].promise, *[part.get("text", "") for part in told]):
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
        from edge_asd.calibration.budget import Budget

        return Budget.parse(threshold.budget).words
    return f"{threshold.percentile:g} % of normal sound"


def live_target(config: Config) -> LiveTarget:
    """What the config sets the live threshold for."""
    from edge_asd.calibration.budget import Budget
    from edge_asd.calibration.thresholds import LiveTarget
    from edge_asd.enrolment.enrol import DEFAULT_LIVE

    if config.detector.percentile is not None:
        return LiveTarget(percentile=config.detector.percentile)
    asked = config.detector.false_alarms
    return LiveTarget(DEFAULT_LIVE.budget if asked is None else Budget.parse(asked), confirm_s=config.alarm.confirm_s)

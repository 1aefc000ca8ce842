"""`edge-asd enroll --append` and `--undo`: more normal sound for a bundle in use, and taking that back."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_asd.cli.parsing import duration_s
from edge_asd.cli.progress import note
from edge_asd.cli.taking import listen, mind_outliers, take_clips
from edge_asd.errors import MissingInputError, StorageError, UsageError

if TYPE_CHECKING:
    from edge_asd.config import Config

DEFAULT_APPEND_DURATION = "1m"
PREVIOUS = ".previous"
FIXED = {
    "scorer": "--scorer",
    "percentile": "--percentile",
    "keep_frames": "--keep-frames",
    "section": "--section",
    "sessions": "--sessions",
    "force": "--force",
    "detector.step_s": "--step",
    "detector.smoothing_s": "--smoothing",
    "detector.false_alarms": "--false-alarms",
    "detector.percentile": "--live-percentile",
    "detector.session_allowance": "--session-allowance",
    "model.bank_budget": "--bank-budget",
    "model.bank_method": "--bank-method",
    "model.package": "--model",
    "model.precision": "--precision",
}
"""Flags for what a bundle has settled when it was made."""


def add_append_flags(parser: argparse.ArgumentParser) -> None:
    """Add them to `enroll`."""
    parser.add_argument(
        "--append", type=Path, metavar="FILE.asd", help="add the sound to this bundle (a minute is good), keep the rest"
    )
    parser.add_argument(
        "--domain",
        choices=("source", "target"),
        help="with --append: target (default), the condition the machine works in now; source, more of the first one",
    )
    parser.add_argument("--undo", type=Path, metavar="FILE.asd", help="take back the last --append to this bundle")
    parser.add_argument(
        "--undo-adaptation",
        type=Path,
        metavar="FILE.asd",
        help="forget what a running detector.adapt has let into this bundle's bank (restart it afterwards)",
    )


def run_append(args: argparse.Namespace, config: Config) -> int:
    """Add sound to a bundle, or take the last addition back; the result on stdout."""
    if args.undo_adaptation is not None:
        return _undo_adaptation(args)
    if args.undo is not None:
        return _undo(args)
    for name, flag in FIXED.items():
        if vars(args).get(name) not in (None, False):
            raise UsageError(f"{flag} was settled when the bundle was made", remedy="leave it out, or enrol anew")
    if args.out is not None:
        raise UsageError("--append writes to the bundle it adds to", remedy="leave --out out, or copy the bundle first")
    path: Path = args.append
    if path.parent.is_dir() and not os.access(path.parent, os.W_OK):
        raise StorageError(f"{path}: the directory {path.parent} cannot be written", remedy="copy the bundle elsewhere")
    from edge_asd.atomic import write_atomically
    from edge_asd.bundle.bundle import save_bundle
    from edge_asd.bundle.signing import signature_path
    from edge_asd.cli.bundles import opened_bundle
    from edge_asd.enrolment.appending import appended, blank_enrolment

    bundle = opened_bundle(config, path)
    before = path.read_bytes()
    embedder = bundle.embedder if bundle.normal.uses_network else None
    enrolment = blank_enrolment(bundle, embedder, time.time())
    domain = args.domain or "target"
    if args.clips:
        if vars(args)["audio.device"] is not None or args.duration is not None:
            raise UsageError("recordings and a device (or --duration) were both given", remedy="choose one of them")
        heard = take_clips(enrolment, args.clips, config, domain)
    else:
        wanted_s = args.duration or duration_s(DEFAULT_APPEND_DURATION)
        heard = listen(enrolment, config, wanted_s, wait=args.wait, domain=domain)
    mind_outliers(enrolment, drop=args.drop_outliers)
    grown = appended(bundle, enrolment, heard["source"])
    write_atomically(_previous(path), before)
    save_bundle(grown, path)
    entry = grown.enrolment["appended"][-1]
    for warning in enrolment.warnings:
        note(f"warning: {warning}")
    if entry["above_before"]:
        note(
            f"{entry['above_before']} of {entry['pieces']} stretches of this sound were above the threshold so far: "
            "be sure that the machine was well"
        )
    if sessions := (grown.enrolment.get("sessions") or {}).get("text"):
        note(sessions)
    if signature_path(path).exists():
        note(f"the signature {signature_path(path)} is of the bundle as it was: sign it again with edge-asd sign")
    print(json.dumps({"bundle": str(path), **entry}) if args.json else _words(path, entry, grown.enrolment))
    return 0


def _words(path: Path, entry: dict[str, Any], enrolment: dict[str, Any]) -> str:
    return (
        f"{path}: {entry['seconds']:.0f} s of normal sound added ({entry['domain']}), {enrolment['windows']} windows "
        f"in all; above the threshold were {entry['above_before']} of {entry['pieces']} stretches before, "
        f"{entry['above_after']} after (as of sound never heard); take it back with edge-asd enroll --undo {path}"
    )


def _undo(args: argparse.Namespace) -> int:
    from edge_asd.bundle.bundle import load_bundle
    from edge_asd.bundle.signing import signature_path

    path: Path = args.undo
    previous = _previous(path)
    if args.append is not None or args.out is not None or args.clips:
        raise UsageError("--undo takes back the last --append and nothing else", remedy="give it alone")
    if not previous.exists():
        raise MissingInputError(f"{previous}: there is nothing to take back", remedy="only the last --append can be")
    load_bundle(previous)
    try:
        previous.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot replace it: {error.strerror}") from error
    if signature_path(path).exists():
        note(f"the signature {signature_path(path)} must be of the bundle as it is now again: check it")
    print(json.dumps({"bundle": str(path), "undone": True}) if args.json else f"{path}: as before the last --append")
    return 0


def _undo_adaptation(args: argparse.Namespace) -> int:
    from edge_asd.enrolment.adaptation import state_paths
    from edge_asd.state import SERVICE_DIRECTORY, STATE_VARIABLE

    path: Path = args.undo_adaptation
    if args.append is not None or args.undo is not None or args.out is not None or args.clips:
        raise UsageError("--undo-adaptation forgets what was adapted and nothing else", remedy="give it alone")
    places = state_paths(path, os.environ)
    found = [place for place in places if place.exists()]
    if not found:
        looked = " and ".join(map(str, places))
        service = f"sudo env {STATE_VARIABLE}={SERVICE_DIRECTORY} edge-asd enroll --undo-adaptation {path}"
        told = bool(os.environ.get(STATE_VARIABLE))
        raise MissingInputError(
            f"{path}: nothing was adapted ({looked} is not there)",
            remedy="" if told else f"what the service adapted lies elsewhere: {service}",
        )
    try:
        for place in found:
            place.unlink()
    except OSError as error:
        raise StorageError(f"{error.filename}: cannot remove it: {error.strerror}") from error
    print(json.dumps({"bundle": str(path), "undone": True}) if args.json else f"{path}: as enrolled")
    return 0


def _previous(path: Path) -> Path:
    """Where the bundle as it was before the last --append is kept."""
    return path.with_name(path.name + PREVIOUS)

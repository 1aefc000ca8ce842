"""`edge-asd explain`: what changed in a recording, in words, numbers and a picture."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from edge_asd.cli.options import add_settings, loaded_config
from edge_asd.cli.parsing import Subparsers, new_command
from edge_asd.cli.progress import note

if TYPE_CHECKING:
    from pathlib import Path

    from edge_asd.explain.clip import ClipExplanation


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = new_command(
        subparsers,
        "explain",
        summary="say what changed in a recording, with a picture",
        description="Compare a recording's most anomalous windows with the normal windows nearest to them and say what "
        "changed: new, missing and moved tones, impacts and their rate, level, bands that rose or fell; one finding a "
        "line, the weightiest first, after a line with the score.\n\nThe picture shows the sound with the findings "
        "and the moment of the highest score marked, its difference from the nearest normal sound, and both mean "
        "spectra.",
        examples=(
            "edge-asd explain strange.wav --bundle fan.asd --out why.png",
            "edge-asd explain strange.wav --bundle fan.asd --json | jq -r '.findings[].text'",
        ),
    )
    parser.add_argument("clip", metavar="CLIP", help="sound file or log-mel dump (.npy)")
    add_settings(parser, "model.bundle", "model.public_key", "model.runtime", "audio.channel")
    parser.add_argument("--config", metavar="FILE", help="YAML config file naming the bundle")
    parser.add_argument("--out", metavar="FILE.png", help="write the picture here")
    parser.add_argument("--force", action="store_true", help="replace an existing picture")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Explain one recording."""
    from pathlib import Path

    from edge_asd.atomic import write_atomically
    from edge_asd.cli.bundles import opened_bundle
    from edge_asd.explain.clip import explain_clip

    config = loaded_config(args).config
    clip, out = Path(args.clip), None if args.out is None else Path(args.out)
    if out is not None:
        _check_out(out, args.force)
    bundle = opened_bundle(config)
    explained = explain_clip(bundle.read_clip(clip, config.audio.channel, on_note=note), bundle)
    result = as_dict(clip, explained, out)
    if out is not None:
        write_atomically(out, explained.picture(headline({**result, "path": clip.name})))
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        print(headline(result))
        for finding in explained.explanation.findings:
            print(f"  {finding.text}")
        if out is not None:
            note(f"picture written to {out}")
    return 0


def as_dict(clip: Path, explained: ClipExplanation, out: Path | None) -> dict[str, Any]:
    """The result as plain JSON types."""
    from edge_asd.calibration.scale import SHOWN_THRESHOLD
    from edge_asd.formats import digits

    score = explained.score
    return {
        "path": str(clip),
        "score": digits(score.score),
        "threshold": SHOWN_THRESHOLD,
        "anomalous": score.score > SHOWN_THRESHOLD,
        "peak_time_s": round(score.peak_time_s, 2),
        "from_s": round(explained.from_s, 2),
        "to_s": round(explained.to_s, 2),
        "explanation": explained.explanation.text,
        "findings": [finding.to_dict() for finding in explained.explanation.findings],
        "bands": [band.to_dict() for band in explained.explanation.bands],
        "picture": None if out is None else str(out),
    }


def headline(result: dict[str, Any]) -> str:
    """The verdict in one line."""
    verdict = "anomalous" if result["anomalous"] else "normal"
    return (
        f"{result['path']}: {verdict}, score {result['score']:.1f} (threshold {result['threshold']:.0f}), "
        f"the highest at {result['peak_time_s']:.1f} s"
    )


def _check_out(out: Path, force: bool) -> None:
    """Refuse before any work what would fail after it."""
    from edge_asd.errors import MissingInputError, UsageError

    if out.is_dir():
        raise UsageError(f"--out {out}: a directory", remedy="name a file in it")
    if out.suffix.lower() not in ("", ".png"):
        raise UsageError(f"--out {out}: the picture is a PNG", remedy=f"name it {out.with_suffix('.png').name}")
    if not out.parent.is_dir():
        raise MissingInputError(f"--out {out}: the directory {out.parent} does not exist", remedy="make it first")
    if out.exists() and not force:
        raise UsageError(f"--out {out} exists already", remedy="choose another name or replace it with --force")

"""`edge-asd score`: one line a clip."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from edge_asd.cli.options import add_settings, loaded_config
from edge_asd.cli.parsing import Subparsers, new_command
from edge_asd.cli.progress import Once, note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge_asd.bundle.bundle import Bundle
    from edge_asd.errors import EdgeAsdError


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = new_command(
        subparsers,
        "score",
        summary="score recordings against a bundle, one line a clip",
        description="Score whole recordings. Each line of standard output holds, separated by tabs: path, score (0 to "
        "100, higher is more anomalous), threshold (always 50), `normal` or `anomalous`, and where in the clip the "
        "worst window lies, in seconds.\n\nA clip that cannot be read, a path that is not there and a directory "
        "without a clip are named on stderr and the others go on; the exit code is then that of the first failure.",
        examples=(
            "edge-asd score --bundle fan.asd today.wav",
            "edge-asd score --bundle fan.asd recordings/ --json | jq 'select(.anomalous)'",
        ),
    )
    parser.add_argument("paths", nargs="+", metavar="CLIP|DIR", help="sound files, log-mel dumps (.npy), directories")
    add_settings(parser, "model.bundle", "model.public_key", "model.runtime", "audio.channel")
    parser.add_argument("--config", metavar="FILE", help="YAML config file naming the bundle")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Score every clip; 0, or the exit code of the first that could not be."""
    from edge_asd.cli.bundles import opened_bundle
    from edge_asd.errors import EdgeAsdError

    config = loaded_config(args).config
    bundle = opened_bundle(config)
    exit_code = 0
    for result in _results(args.paths, bundle, config.audio.channel):
        if isinstance(result, EdgeAsdError):
            note(result)
            exit_code = exit_code or result.exit_code
            continue
        print(json.dumps(result, ensure_ascii=False) if args.json else as_line(result))
        sys.stdout.flush()
    return exit_code


def _results(paths: list[str], bundle: Bundle, channel: int | None) -> Iterator[dict[str, Any] | EdgeAsdError]:
    """Clip by clip its result or why there is none, and why a path names no clip."""
    from edge_asd.audio.files import find_clips
    from edge_asd.errors import EdgeAsdError

    say_once = Once()
    for path in paths:
        try:
            clips = find_clips([path])
        except EdgeAsdError as error:
            yield error
            continue
        for clip in clips:
            try:
                yield scored(clip, bundle, channel, say_once)
            except EdgeAsdError as error:
                yield error


def scored(clip: Path, bundle: Bundle, channel: int | None, on_note: Callable[[str], None]) -> dict[str, Any]:
    """One clip's result as plain JSON types."""
    from edge_asd.calibration.scale import SHOWN_THRESHOLD
    from edge_asd.formats import digits

    score = bundle.score_clip(bundle.read_clip(clip, channel, on_note=on_note))
    return {
        "path": str(clip),
        "score": digits(score.score),
        "threshold": SHOWN_THRESHOLD,
        "anomalous": score.score > SHOWN_THRESHOLD,
        "peak_time_s": round(score.peak_time_s, 2),
        "max_score": digits(score.max_score),
        "windows": score.n_windows,
    }


def as_line(result: dict[str, Any]) -> str:
    """Tab-separated for people and `cut`."""
    verdict = "anomalous" if result["anomalous"] else "normal"
    peak = f"{result['peak_time_s']:.2f}"
    return f"{result['path']}\t{result['score']:.1f}\t{result['threshold']:.0f}\t{verdict}\t{peak}"

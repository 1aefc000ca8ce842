"""`edge-asd bench`: measure this board and choose runtime and precision for it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from edge_asd.cli.parsing import Subparsers, duration_s, new_command
from edge_asd.cli.progress import note
from edge_asd.errors import ConfigError, DataError, MissingInputError

DEFAULT_SECONDS = 4.0
SOUND_S = 40.0
SEED = 5


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = new_command(
        subparsers,
        "bench",
        summary="measure this board; choose runtime and precision for it",
        description="Listen to sound with every installed runtime and every network of the model, each in a process of "
        "its own with one thread, and say which to use: the one with the least CPU time a second of audio. Times are "
        "wall-clock milliseconds a step (about a second of sound); a board that is doing other work is slower.\n\n"
        'The JSON is {"runs": [{"backend", "precision", "p50_ms", "p95_ms", "p99_ms", "cpu_ms_per_audio_s", '
        '"real_time_factor", "rss_mib", "start_up_cpu_ms", "energy_mj_per_audio_s", "temperature_c", "model_bytes", '
        '"stages": {"feature", "model", "score"}, ...}], "choice": {"backend", "precision", "reason"}, "board": {...}}'
        '; a run that failed has "error" instead of figures, and what a board does not tell is null.',
        examples=(
            "edge-asd bench",
            "edge-asd bench --json > bench.json",
            "edge-asd bench --input machine.wav --write-config /etc/edge-asd/config.yaml",
        ),
    )
    parser.add_argument("--model", type=Path, metavar="DIR", help="model package (default: the one that ships)")
    parser.add_argument("--input", type=Path, metavar="FILE", help="sound to listen to (default: a simulated fan)")
    parser.add_argument("--runtime", default="auto", metavar="NAME", help="measure only this runtime")
    parser.add_argument("--precision", choices=("int8", "fp32"), help="measure only this precision")
    parser.add_argument(
        "--time", type=duration_s, default=DEFAULT_SECONDS, metavar="TIME", help="to measure each for (default 4s)"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--write-config", type=Path, metavar="FILE", help="set model.runtime and model.precision there")


def run(args: argparse.Namespace) -> int:
    """Measure, choose, and write the choice where asked."""
    from edge_asd.bench.board import describe
    from edge_asd.bench.measure import candidates, choose, measure
    from edge_asd.model_package import DEFAULT_PACKAGE

    package = args.model or DEFAULT_PACKAGE
    config = _config_text(args.write_config) if args.write_config else ""
    chosen = candidates(package, args.runtime, args.precision)
    sound = _sound(args.input, package)
    rows = measure(package, chosen, sound, args.time, on_step=lambda words: note(f"measuring {words}"))
    choice = choose(rows)
    result = {"runs": rows, "choice": choice, "board": describe()}
    if args.json:
        print(json.dumps(result, indent=1, allow_nan=False))
    else:
        print("\n".join(_in_words(result)))
    if args.write_config:
        _write(args.write_config, config, choice)
    return 0


def _sound(path: Path | None, package: Path) -> Any:
    """Float32 samples at the model's rate."""
    from edge_asd.contract import ModelContract
    from edge_asd.model_package import read_manifest

    features = ModelContract.from_dict(read_manifest(package).get("contract")).features
    if path is not None:
        from edge_asd.audio.files import read_clip

        sound = read_clip(path, features.rate_hz)
        if sound.size < 10 * features.rate_hz:
            raise DataError(f"{path}: {sound.size / features.rate_hz:.1f} s of sound", remedy="give at least 10 s")
        return sound
    import numpy as np

    from edge_asd.simulator import Machine, Scene, render

    rng = np.random.default_rng(SEED)
    return render(Machine.random("fan", rng), Scene.random(rng), SOUND_S, rng, features.rate_hz)


def _in_words(result: dict[str, Any]) -> list[str]:
    lines = [f"{'':18}   p50 ms  p95 ms  p99 ms  CPU ms/s  feature  model  score  RSS MiB  start ms"]
    for row in result["runs"]:
        name = f"{row['backend']} {row['precision']}"
        if "error" in row:
            lines.append(f"{name:18}   failed: {row['error']}")
            continue
        stages = row["stages"]
        lines.append(
            f"{name:18} {row['p50_ms']:8.2f}{row['p95_ms']:8.2f}{row['p99_ms']:8.2f}{row['cpu_ms_per_audio_s']:10.2f}"
            f"{stages['feature']['p50_ms']:9.2f}{stages['model']['p50_ms']:7.2f}{stages['score']['p50_ms']:7.2f}"
            f"{row['rss_mib']:9.1f}{row['start_up_cpu_ms']:10.0f}"
        )
    told = {name: value for name, value in result["board"].items() if value not in (None, [])}
    if told:
        lines.append("board: " + ", ".join(f"{name} {value}" for name, value in told.items()))
    choice = result["choice"]
    lines.append(f"use: runtime {choice['backend']}, precision {choice['precision']} ({choice['reason']})")
    return lines


def _config_text(path: Path) -> str:
    """The config to change, "" for a new one; seen to before minutes of measuring, and refused where it is wrong."""
    from edge_asd.config import load_config

    if not path.exists():
        if not path.parent.is_dir():
            raise MissingInputError(f"{path}: the directory {path.parent} does not exist", remedy="make it first")
        return ""
    load_config(path, environment={})
    return path.read_text(encoding="utf-8")


def _write(path: Path, text: str, choice: dict[str, Any]) -> None:
    from edge_asd.atomic import write_atomically
    from edge_asd.config.edit import with_setting

    try:
        text = with_setting(text, "model", "runtime", choice["backend"])
        text = with_setting(text, "model", "precision", choice["precision"])
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", remedy=error.remedy) from error
    write_atomically(path, text.encode())
    note(f"{path}: model.runtime {choice['backend']}, model.precision {choice['precision']}; bundles enrolled with")
    note("another network are not changed by this: enrol again with the new settings")

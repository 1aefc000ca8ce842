"""`edge-asd train --adapt`: bundles fine-tuned to the normal sound of their machines, where evidence supports it."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_asd.cli.enroll import check_output
from edge_asd.cli.progress import Once, Progress, note
from edge_asd.errors import MissingInputError, UsageError
from export.extra import need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.adapt.adapting import Outcome
    from export.adapt.sound import MachineSound

BUNDLE_SUFFIX = ".asd"
RESULT = "-adapted"
"""Behind the name of a bundle: what came of it, where --out names nothing else."""
DEFAULT_SEED = 1
ABOUT = """\
--adapt fine-tunes the embedder of bundles to normal sound of their machines (DIR, or a subfolder of DIR for each, named
as its bundle; further subfolders are other machines), quantises it again and enrols that sound with it: minutes on two
cores. The result is kept only where the sound itself, held out fold by fold, supports it; otherwise
nothing is written, the evidence is shown, and the exit code is 0. The bundle it came from is never touched: without
--out the result lies beside it as NAME-adapted.asd, which --adapt DIR never takes for a bundle to adapt."""


def add_adapt_flags(parser: argparse.ArgumentParser) -> None:
    """Add them to `train`."""
    parser.add_argument(
        "--adapt",
        type=Path,
        action="append",
        metavar="FILE.asd|DIR",
        help="adapt this bundle (or all of a directory) to --data; may be repeated for machines that share a network",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="PACKAGE|RUN",
        help="with --adapt: the float weights, where the bundle's network is not the one that ships",
    )
    parser.add_argument("--channel", type=_channel, metavar="N", help="with --adapt: channel to hear, counted from 0")
    parser.add_argument("--force", action="store_true", help="with --adapt: replace bundles that are there")


def run_adapt(args: argparse.Namespace) -> int:
    """Adapt, and write the bundles that evidence supports; the evidence on stdout."""
    for flag in ("recipe", "teacher", "dry_run", "weights"):
        if getattr(args, flag):
            raise UsageError(f"--{flag.replace('_', '-')} does not go with --adapt", remedy="leave it out")
    if args.data is None:
        raise UsageError("--adapt needs normal sound of the machine", remedy="give --data DIR")
    paths = _bundle_paths(args.adapt)
    outputs = _outputs(paths, args.out)
    parents = {path.resolve() for path in paths}
    for output in outputs:
        if output.resolve() in parents:
            raise UsageError(f"{output} is what is adapted, and stays", remedy="give --out another name")
        check_output(output, force=args.force)
    need()
    from edge_asd.bundle.bundle import load_bundle, save_bundle
    from export.adapt.adapting import Target, adapt
    from export.adapt.sound import machine_folders
    from export.adapt.start import float_source
    from export.training.device import chosen_device

    device = chosen_device(args.device)
    own, further = _matched(paths, machine_folders(args.data), args.data)
    bundles = [load_bundle(path) for path in paths]
    source = float_source(bundles[0], args.model)
    rate_hz = bundles[0].contract.features.rate_hz
    sounds = [_heard(path.stem, folder, rate_hz, args.channel) for path, folder in zip(paths, own, strict=True)]
    others = [_heard(name, folder, rate_hz, args.channel) for name, folder in further.items()]
    targets = [
        Target(bundle, sound, hashlib.sha256(path.read_bytes()).hexdigest())
        for path, bundle, sound in zip(paths, bundles, sounds, strict=True)
    ]
    began, progress = time.monotonic(), Progress(1.0)

    def at_step(done: int, total: int) -> None:
        left_s = (time.monotonic() - began) / done * (total - done)
        progress.at(done / total, f"step {done} of {total}, about {left_s:.0f} s left")

    note("simulating machines, which hold the network where it was")
    try:
        outcomes = adapt(
            targets,
            others,
            source,
            seed=DEFAULT_SEED if args.seed is None else args.seed,
            processes=args.processes,
            enrolled_s=time.time(),
            device=str(device),
            at_step=at_step,
        )
    finally:
        progress.end()
    results = []
    for path, output, outcome in zip(paths, outputs, outcomes, strict=True):
        if outcome.bundle is not None:
            save_bundle(outcome.bundle, output)
        results.append(_result(path, output, outcome))
        if not args.json:
            print(_words(path, output, outcome))
    if args.json:
        json.dump(results, sys.stdout, indent=1)
        print()
    return 0


def _bundle_paths(named: Sequence[Path]) -> list[Path]:
    """The bundles meant, each once; of a directory all but what came of others in it.

    Raises MissingInputError (a directory without any), UsageError (two of a name).
    """
    paths: list[Path] = []
    for path in named:
        found = [p for p in sorted(path.glob(f"*{BUNDLE_SUFFIX}")) if not _is_result(p)] if path.is_dir() else [path]
        if not found:
            raise MissingInputError(f"{path}: no bundle ({BUNDLE_SUFFIX}) in this directory")
        paths += [bundle for bundle in found if bundle not in paths]
    stems = [path.stem for path in paths]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise UsageError(
            f"two bundles are named {twice}", remedy="their names tell which subfolder of --data is theirs"
        )
    return paths


def _is_result(path: Path) -> bool:
    parent = path.with_name(f"{path.stem.removesuffix(RESULT)}{BUNDLE_SUFFIX}")
    return parent != path and parent.exists()


def _outputs(paths: Sequence[Path], out: Path | None) -> list[Path]:
    """Where each adapted bundle goes: beside its parent as NAME-adapted.asd, to --out, or into it where several are."""
    if out is None:
        return [path.with_name(f"{path.stem}{RESULT}{BUNDLE_SUFFIX}") for path in paths]
    if len(paths) == 1 and not out.is_dir():
        return [out]
    if not out.is_dir():
        raise UsageError(f"{out} is no directory, and there are {len(paths)} bundles", remedy="give --out DIR")
    return [out / path.name for path in paths]


def _matched(paths: Sequence[Path], folders: dict[str, Path], data: Path) -> tuple[list[Path], dict[str, Path]]:
    """The folder of each bundle's sound, and those of other machines."""
    if list(folders) == [""]:
        if len(paths) > 1:
            raise UsageError(
                f"{data}: one folder of sound for {len(paths)} bundles",
                remedy="give each machine a subfolder, named as its bundle",
            )
        return [folders[""]], {}
    if len(paths) == 1 and len(folders) == 1:
        return list(folders.values()), {}
    lacking = next((path for path in paths if path.stem not in folders), None)
    if lacking is not None:
        raise MissingInputError(
            f"{data / lacking.stem}: no sound of {lacking.name} there", remedy=f"there are {', '.join(folders)}"
        )
    stems = {path.stem for path in paths}
    return [folders[path.stem] for path in paths], {n: f for n, f in folders.items() if n not in stems}


def _channel(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no channel; give 0, 1, ...")
    return int(text)


def _heard(name: str, folder: Path, rate_hz: int, channel: int | None) -> MachineSound:
    from export.adapt.sound import read_machine

    progress = Progress(1.0)
    try:
        sound = read_machine(
            name,
            folder,
            rate_hz,
            channel=channel,
            on_note=Once(),
            at_clip=lambda done, total: progress.at(done / total, f"{name}: {done} of {total} recordings"),
        )
    finally:
        progress.end()
    note(f"{name}: {sound.seconds:.0f} s of normal sound in {folder}")
    return sound


def _result(path: Path, output: Path, outcome: Outcome) -> dict[str, Any]:
    kept = outcome.bundle is not None
    return {"bundle": str(path), "out": str(output) if kept else None, **outcome.evidence.to_dict()}


def _words(path: Path, output: Path, outcome: Outcome) -> str:
    evidence = outcome.evidence
    if outcome.bundle is None:
        said = f"{path}: stays as it is, nothing was written: {evidence.against}"
    else:
        said = f"{output}: {path} adapted to {outcome.bundle.enrolment['seconds']:.0f} s of sound (ONNX only)"
    return f"{said}\n{evidence.table()}"

"""`edge-asd export --target NAME --bundle FILE.asd --out DIR`: all a board needs, in one archive."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edge_asd.cli.progress import note
from edge_asd.errors import UsageError


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of this way to export; --out is the command's."""
    from export.targets.target import names

    group = parser.add_argument_group("an archive that installs on a board without a network")
    group.add_argument("--bundle", type=Path, metavar="FILE.asd", help="the machine's bundle")
    group.add_argument("--target", metavar="NAME", help=f"the board: {', '.join(names())}")
    group.add_argument(
        "--enroll",
        type=Path,
        metavar="DIR",
        help="recordings of normal sound: enrol anew where the bundle kept no frames for the board's runtime",
    )
    group.add_argument(
        "--wheel", type=Path, action="append", metavar="FILE", help="take this wheel as well (NVIDIA's onnxruntime-gpu)"
    )
    group.add_argument("--no-kernel", action="store_true", help="without the C kernel: numpy does its work, slower")


def run(args: argparse.Namespace) -> int:
    """Write the archive; print its path."""
    from edge_asd.bundle.bundle import load_bundle
    from export.targets.archive import write_archive
    from export.targets.target import load_target

    target = load_target(args.target)
    if args.bundle is None and args.enroll is None:
        raise UsageError("--target without --bundle", remedy="name the machine's bundle, or --enroll DIR to make one")
    args.out.mkdir(parents=True, exist_ok=True)
    with _bundle(args.bundle, args.enroll) as path:
        archive = write_archive(
            target,
            load_bundle(path),
            path,
            args.out,
            kernel=not args.no_kernel,
            extra_wheels=args.wheel or (),
            on_note=note,
        )
    note(f"{archive.stat().st_size / 1e6:.1f} MB; on the board: tar -xzf {archive.name}; sudo sh */install.sh")
    print(archive)
    return 0


@contextlib.contextmanager
def _bundle(given: Path | None, recordings: Path | None) -> Iterator[Path]:
    """The bundle's path; with recordings a new one of the same name, which keeps its frames."""
    if recordings is None:
        assert given is not None
        yield given
        return
    from edge_asd.cli import main

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (given.name if given else "machine.asd")
        code = main(["enroll", str(recordings), "--out", str(path), "--keep-frames"])
        if code:
            raise SystemExit(code)
        yield path

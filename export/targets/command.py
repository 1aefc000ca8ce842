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
    group.add_argument(
        "--bundle", type=Path, metavar="FILE|DIR", help="the machine's bundle, or the RUN of edge-asd train: all of its"
    )
    group.add_argument("--target", metavar="NAME", help=f"the board: {', '.join(names())}")
    group.add_argument(
        "--enroll",
        type=Path,
        metavar="DIR",
        help="recordings of normal sound: enrol anew where the bundle kept no frames for the board's runtime; or the "
        "data set of a training, for bundles to be made int8",
    )
    group.add_argument(
        "--wheel", type=Path, action="append", metavar="FILE", help="take this wheel as well (NVIDIA's onnxruntime-gpu)"
    )
    group.add_argument("--force", action="store_true", help="though the board cannot keep up by its estimate")
    group.add_argument("--no-kernel", action="store_true", help="without the C kernel: numpy does its work, slower")


def run(args: argparse.Namespace) -> int:
    """Write the archive; print its path."""
    from edge_asd.bundle.bundle import load_bundle
    from export.extra import need
    from export.targets.archive import check_bundle, write_archive
    from export.targets.budget import check_budget
    from export.targets.target import load_target

    target = load_target(args.target)
    need()
    if args.bundle is None and args.enroll is None:
        raise UsageError("--target without --bundle", remedy="name the machine's bundle, or --enroll DIR to make one")
    args.out.mkdir(parents=True, exist_ok=True)
    with _bundles(args) as paths:
        for path in paths:
            bundle = load_bundle(path)
            check_bundle(target, bundle, path)
            check_budget(bundle.model, target, path.name, force=args.force, note=note)
        archive = write_archive(
            target,
            load_bundle(paths[0]),
            paths[0],
            args.out,
            kernel=not args.no_kernel,
            extra_wheels=args.wheel or (),
            more=paths[1:],
            on_note=note,
        )
    note(f"{archive.stat().st_size / 1e6:.1f} MB; on the board: tar -xzf {archive.name}; sudo sh */install.sh")
    print(archive)
    return 0


@contextlib.contextmanager
def _bundles(args: argparse.Namespace) -> Iterator[list[Path]]:
    """The bundles for the board: those given, in int8 where they were trained in float and that holds; with recordings
    of one machine a new one, which keeps its frames."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one_machine = args.enroll is not None and not _is_dataset(args.enroll)
        if args.bundle is None or (one_machine and not args.bundle.is_dir()):
            yield [_enrolled(args.bundle, args.enroll, folder)]
            return
        yield _in_int8(args, folder) if args.precision == "int8" else _given(args.bundle)


def _enrolled(given: Path | None, recordings: Path, folder: Path) -> Path:
    from edge_asd.cli import main

    path = folder / (given.name if given else "machine.asd")
    code = main(["enroll", str(recordings), "--out", str(path), "--keep-frames"])
    if code:
        raise SystemExit(code)
    return path


def _given(path: Path) -> list[Path]:
    from export.systems.bundles import bundles_in

    return bundles_in(path)


def _is_dataset(folder: Path) -> bool:
    from export.sound.recordings import machine_clips

    return machine_clips(folder) is not None


def _in_int8(args: argparse.Namespace, folder: Path) -> list[Path]:
    """The bundles given; a float one in int8, written to `folder`, where its sound is at hand and its ranking holds."""
    from edge_asd.bundle.bundle import load_bundle, save_bundle
    from export.systems.bundles import bundles_in, in_int8, is_float

    paths = bundles_in(args.bundle)
    if not any(is_float(load_bundle(path).model) for path in paths):
        return paths
    found = []
    for path, bundle in in_int8(paths, args.enroll, note).items():
        if all(network.precision == "fp32" for network in bundle.model.graphs.values()):
            found.append(path)
            continue
        save_bundle(bundle, folder / path.name)
        found.append(folder / path.name)
    return found

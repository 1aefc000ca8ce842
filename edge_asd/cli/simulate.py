"""`edge-asd simulate`: a dataset of machines that never existed, in the shape of DCASE 2022 Task 2."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edge_asd.cli.parsing import Subparsers, duration_s, new_command
from edge_asd.cli.progress import Progress


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = new_command(
        subparsers,
        "simulate",
        summary="make a small dataset of simulated machines, to try training and measuring without a download",
        description="Seven machines, six sections each, source and target domain, training clips and normal and "
        "anomalous test clips, named as in DCASE 2022 Task 2 with attributes and attribute tables: 16 kHz, mono, "
        "16 bits. Loudness tells nothing: in each domain the faulty clips have the levels of the normal ones. With the "
        "defaults ten minutes of sound, made in less than one; the same seed gives the same clips, whichever machines "
        "and sections are asked for.",
        examples=(
            "edge-asd simulate --dcase2022 set/              # all of it",
            "edge-asd evaluate set/                          # its official score",
            "edge-asd simulate --dcase2022 small/ --machines fan,valve --sections 0-2 --clips 4 --target-clips 1",
            "edge-asd simulate --dcase2022 long/ --machines fan --sections 0 --clips 100 --clip-s 10s",
        ),
    )
    parser.add_argument(
        "--dcase2022", required=True, type=Path, metavar="DIR", help="where to; empty, or made by the command"
    )
    parser.add_argument(
        "--machines",
        type=_machines,
        metavar="A,B",
        help="only these (ToyCar,ToyTrain,bearing,fan,gearbox,slider,valve)",
    )
    parser.add_argument("--sections", type=_sections, metavar="0-5", help='only these: "0", "0,3" or "0-2" (0-5)')
    parser.add_argument(
        "--clips", type=_some, default=8, metavar="N", help="training clips of the source domain, a section (8)"
    )
    parser.add_argument(
        "--target-clips", type=_count, default=2, metavar="N", help="training clips of the target domain, a section (2)"
    )
    parser.add_argument(
        "--test-clips", type=_count, default=2, metavar="N",
        help="normal test clips in each domain of a section, and as many anomalous ones (2)",
    )  # fmt: skip
    parser.add_argument("--clip-s", type=duration_s, default=0.8, metavar="TIME", help="length of a clip (0.8s)")
    parser.add_argument("--seed", type=_count, default=1, metavar="N", help="other machines (1)")
    parser.add_argument("--json", action="store_true", help='print {"path": ..., "clips": {...}, "seconds": ...}')


def run(args: argparse.Namespace) -> int:
    """Make the set."""
    from edge_asd.simulator.dataset_folder import write_dcase2022
    from edge_asd.simulator.dcase2022 import MACHINES, SECTIONS, Counts

    progress = Progress(1.0)
    try:
        made = write_dcase2022(
            args.dcase2022,
            machines=MACHINES if args.machines is None else args.machines,
            sections=SECTIONS if args.sections is None else args.sections,
            counts=Counts(args.clips, args.target_clips, args.test_clips),
            clip_s=args.clip_s,
            seed=args.seed,
            progress=lambda done, total: progress.at(done / total, f"{done} of {total} clips"),
        )
    finally:
        progress.end()
    if args.json:
        print(json.dumps({"path": str(made.folder), "clips": made.clips, "seconds": made.seconds, "seed": args.seed}))
    else:
        counts = ", ".join(f"{n} {kind}" for kind, n in made.clips.items())
        print(f"{made.folder}: {made.n_clips} clips ({counts}), {made.seconds:.0f} s of sound")
    return 0


def _machines(text: str) -> list[str]:
    """ "fan,valve" -> ["fan", "valve"]. Raises argparse.ArgumentTypeError."""
    from edge_asd.simulator.dcase2022 import MACHINES

    named = list(dict.fromkeys(text.split(",")))
    for name in named:
        if name not in MACHINES:
            raise argparse.ArgumentTypeError(f"no machine {name!r} in the set; choose of {','.join(MACHINES)}")
    return named


def _some(text: str) -> int:
    if (count := _count(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return count


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 0 or more")
    return int(text)


def _sections(text: str) -> list[str]:
    """ "0-2,5" -> ["00", "01", "02", "05"]. Raises argparse.ArgumentTypeError."""
    from edge_asd.simulator.dcase2022 import SECTIONS

    numbers: dict[int, None] = {}
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or (last and not last.isdigit()) or part.endswith("-") or len(text) > 40:
            raise argparse.ArgumentTypeError(f"{text!r} names no sections; write 0, 0,3 or 0-5")
        numbers |= dict.fromkeys(range(int(first), min(int(last or first), 99) + 1))
    if not numbers:
        raise argparse.ArgumentTypeError(f"{text!r} names no sections; write 0, 0,3 or 0-5")
    sections = [f"{number:02d}" for number in numbers]
    for section in sections:
        if section not in SECTIONS:
            raise argparse.ArgumentTypeError(f"no section {section!r} in the set; choose of {','.join(SECTIONS)}")
    return sections

"""`--device` of what trains."""

from __future__ import annotations

import argparse
import re

AUTO = "auto"


def add_device_flag(parser: argparse.ArgumentParser) -> None:
    """Declare it."""
    parser.add_argument(
        "--device",
        type=_device,
        default=AUTO,
        metavar="auto|cpu|cuda[:N]",
        help="where to train (auto: on a GPU where torch sees one); under torchrun each process takes a GPU",
    )


def _device(text: str) -> str:
    if not re.fullmatch(rf"{AUTO}|cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no device; give {AUTO}, cpu, cuda or cuda:N")
    return text

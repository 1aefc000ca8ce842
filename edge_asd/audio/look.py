"""A process of its own that looks for a device: `python -m edge_asd.audio.look`, question on standard input.

The question is JSON, {"name": ..., "aliases": {...}}; the exit code is 0 when the device is there, and standard output
says why not otherwise. See `edge_asd.audio.captures`.
"""

from __future__ import annotations

import json
import sys

from edge_asd.audio.devices import list_inputs, resolve
from edge_asd.errors import UnavailableError


def main() -> int:
    """Look; give the exit code."""
    question = json.load(sys.stdin)
    try:
        resolve(question["name"], list_inputs(probe=False), question["aliases"])
    except UnavailableError as error:
        print(error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

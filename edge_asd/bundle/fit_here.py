"""Fits a bundle to the runtime of this board, once, when it is installed: `python -m edge_asd.bundle.fit_here`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_asd.errors import EdgeAsdError


def main(argv: Sequence[str] | None = None) -> int:
    """Write BUNDLE to OUT as it is, or fitted anew where another runtime fitted it and its frames were kept."""
    parser = argparse.ArgumentParser(prog="python -m edge_asd.bundle.fit_here", description=main.__doc__)
    parser.add_argument("--runtime", default="auto", help="library that runs the network (default auto)")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args(argv)
    try:
        _fit(args.bundle, args.out, args.runtime)
    except EdgeAsdError as error:
        print(f"edge-asd: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _fit(path: Path, out: Path, runtime: str) -> None:
    from edge_asd.atomic import write_atomically
    from edge_asd.bundle.bundle import load_bundle, save_bundle
    from edge_asd.bundle.refit import for_runtime
    from edge_asd.cli.progress import note
    from edge_asd.model_package import DEFAULT_PACKAGE

    bundle = load_bundle(path)
    fitted = for_runtime(bundle, runtime, DEFAULT_PACKAGE, note)
    if fitted.normal is bundle.normal:
        write_atomically(out, path.read_bytes())
    else:
        save_bundle(fitted, out)


if __name__ == "__main__":
    sys.exit(main())

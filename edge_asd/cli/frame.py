"""From `argv` to a command and from its errors to exit codes. Commands import what they need only when they run."""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_asd import __version__
from edge_asd.cli import INTERRUPTED
from edge_asd.cli.parsing import EXIT_CODES, Parser, choice, with_signed_values
from edge_asd.cli.progress import note
from edge_asd.errors import EdgeAsdError, MissingInputError, StorageError, UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

COMMANDS = (
    "devices",
    "enroll",
    "run",
    "score",
    "explain",
    "evaluate",
    "simulate",
    "doctor",
    "bench",
    "config",
    "service",
    "status",
    "events",
    "sign",
)
"""Built-in commands in the order of the help; each is the module of that name beside this one."""
EXTRA_COMMANDS = "edge_asd.commands"
"""Entry-point group of commands that other packages bring: modules with `add_parser(subparsers)` and `run(args)`."""
PIPE_CLOSED, SOFTWARE_FAULT = 141, 70
"""128 + SIGPIPE (as a shell reports it), EX_SOFTWARE."""


def main(argv: Sequence[str] | None = None) -> int:
    """As `edge_asd.cli.main`."""
    words = list(sys.argv[1:] if argv is None else argv)
    _mend_streams()
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader has seen enough. What is still buffered must not fail again when Python closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        note("interrupted")
        return INTERRUPTED
    except EdgeAsdError as error:
        return _report(error)
    except OSError as error:
        return _report(_mapped(error))
    except SystemExit as end:  # argparse after --help and --version
        return end.code if isinstance(end.code, int) else 0
    except Exception as error:
        if _debugging():
            traceback.print_exc()
        where = " ".join(str(error).split()) or "no details"
        if isinstance(error, MemoryError):
            note(f"not enough memory: {where}; end what else runs here, or raise the limit that was set")
        else:
            note(
                f"fault in edge-asd itself: {type(error).__name__}: {where}; "
                "run again with EDGE_ASD_DEBUG=1 for the traceback and report it"
            )
        return SOFTWARE_FAULT


def _mend_streams() -> None:
    """Make output that cannot fail for its own sake: for a name that is not text, and for a stream that is closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # started with >&-
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (as long as the process)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _dispatch(words: list[str]) -> int:
    command = next((word for word in words if not word.startswith("-")), None)
    extra = _extra_commands() if command not in COMMANDS else {}
    if command is not None and command not in COMMANDS and command not in extra:
        known = [*COMMANDS, *extra]
        raise UsageError(f"unknown command {command!r}", remedy=f"{choice(command, known)} (see edge-asd --help)")
    parser = Parser(
        prog="edge-asd",
        description="Hears a machine, learns its normal sound and says when it is wrong.",
        epilog=(
            "examples:\n  edge-asd run --demo\n  edge-asd enroll --device mic0 --duration 10m --out fan.asd\n"
            "  edge-asd run --bundle fan.asd --device mic0\n  edge-asd score --bundle fan.asd recordings/\n\n"
            + EXIT_CODES
        ),
    )
    parser.add_argument("--version", action="version", version=f"edge-asd {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=Parser)
    handlers: dict[str, Callable[[Any], int]] = {}
    for name in COMMANDS:
        module = importlib.import_module(f"edge_asd.cli.{name}")
        module.add_parser(subparsers)
        handlers[name] = module.run
    for name, entry in extra.items():
        if name == command:
            module = entry.load()
            module.add_parser(subparsers)
            handlers[name] = module.run
        else:
            package = entry.dist.name if entry.dist else "?"
            own = package == "edge-asd"
            subparsers.add_parser(name, help="on a workstation" if own else f"from the package {package}")
    args, unknown = parser.parse_known_args(with_signed_values(words))
    if unknown:
        (subparsers.choices[args.command] if args.command else parser).refuse(unknown)
    if args.command is None:
        parser.print_help(sys.stderr)
        return UsageError.exit_code
    return handlers[args.command](args)


def _extra_commands() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=EXTRA_COMMANDS) if entry.name not in COMMANDS}


def _mapped(error: OSError) -> EdgeAsdError:
    """An operating-system error nobody nearer to it has named."""
    what = (
        f"{error.filename}: {error.strerror}"
        if error.filename
        else f"reading or writing failed: {error.strerror or error}"
    )
    return MissingInputError(what) if isinstance(error, FileNotFoundError) else StorageError(what)


def _report(error: EdgeAsdError) -> int:
    if _debugging():
        traceback.print_exc()
    note(error)
    return error.exit_code


def _debugging() -> bool:
    return os.environ.get("EDGE_ASD_DEBUG", "") not in ("", "0")

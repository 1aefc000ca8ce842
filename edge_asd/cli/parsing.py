"""argparse, made to speak as the rest of edge-asd does: one line, the nearest known word, exit code 2."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn, TypeAlias

from edge_asd.config.nearest import near
from edge_asd.errors import UsageError
from edge_asd.formats import bytes_meant

HELP_COLUMNS = 100
Subparsers: TypeAlias = "argparse._SubParsersAction[Parser]"

EXIT_CODES = """\
exit codes:
  0 ok    2 usage    65 bad data    66 missing input    69 device or library not there
  70 fault of edge-asd, or no memory    74 read or write failed    78 bad config
  130 interrupted"""


class Parser(argparse.ArgumentParser):
    """A parser that raises UsageError instead of ending the program, and abbreviates nothing."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("allow_abbrev", False)
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **options)

    def error(self, message: str) -> NoReturn:
        """What argparse found wrong, as a UsageError."""
        raise UsageError(message, remedy=f"see {self.prog} --help")

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Raise UsageError for arguments nobody understood, naming the nearest flag."""
        word = unknown[0]
        if not word.startswith("-"):
            raise UsageError(f"unexpected argument {word!r}", remedy=f"see {self.prog} --help")
        known = sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", self.format_help())))
        meant = near(word.split("=")[0], known)
        hint = f"did you mean {meant}? See" if meant else "see"
        raise UsageError(f"unknown flag {word}", remedy=f"{hint} {self.prog} --help")


def choice(word: str, known: Sequence[str]) -> str:
    """The remedy for a word that is none of `known` (not empty): the one that is near, else all of them."""
    meant = near(word, known)
    return f"did you mean {meant!r}?" if meant else f"choose of {', '.join(known)}"


def with_signed_values(words: Sequence[str]) -> list[str]:
    """Give an option its value where that starts with "-" and a digit: `--since -1h` becomes `--since=-1h`.

    argparse takes such a word for a flag unless it is a number and nothing more.
    """
    joined: list[str] = []
    for i, word in enumerate(words):
        if word == "--":  # only names follow
            return [*joined, *words[i:]]
        if re.match(r"-\d", word) and joined and re.fullmatch(r"--[a-z][a-z0-9-]*", joined[-1]):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def new_command(
    subparsers: Subparsers, name: str, *, summary: str, description: str, examples: Sequence[str]
) -> Parser:
    """A command's parser: its description (paragraphs, wrapped here), under its flags the examples and exit codes."""
    paragraphs = "\n\n".join(textwrap.fill(part, HELP_COLUMNS) for part in description.split("\n\n"))
    shown = "\n".join(f"  {example}" for example in examples)
    return subparsers.add_parser(
        name, help=summary, description=paragraphs, epilog=f"examples:\n{shown}\n\n{EXIT_CODES}"
    )


_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def duration_s(text: str) -> float:
    """Seconds meant by "90", "60s", "10m", "1h30m" or "1.5h"; above 0. Raises argparse.ArgumentTypeError."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        total = float(text)
    else:
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|min|s|m|h|d)", text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 90, 60s, 10m or 1h30m")
        total = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if not 0 < total < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no time at all; give more than 0")
    return total


def size_bytes(text: str) -> int:
    """`edge_asd.formats.bytes_meant`, for a flag. Raises argparse.ArgumentTypeError."""
    try:
        return bytes_meant(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def percentile(text: str) -> float:
    """A percentile a threshold can be set at: at least 50, below 100. Raises argparse.ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 50 <= value < 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no percentile; give a number of at least 50 and below 100")
    return value

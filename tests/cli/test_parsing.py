"""Durations and flags as people write them."""

from __future__ import annotations

import argparse

import pytest

from edge_asd.cli.parsing import Parser, duration_s, size_bytes, with_signed_values
from edge_asd.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("60s", 60),
        ("10m", 600),
        ("10min", 600),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("250ms", 0.25),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "0", "0s", "-5", "5x", "m", "5 m", "1h x", "nan", "inf", "1e400"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        duration_s(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("65536", 65536), ("64KiB", 65536), ("64 kib", 65536), ("100kB", 100_000), ("1.5MiB", 3 * 2**19)],
)
def test_sizes(text: str, expected: int) -> None:
    assert size_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "0", "0KiB", "0.1", "-5", "64K", "64 KiBs", "KiB", "nan", "1e9", "6 4"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no"):
        size_bytes(text)


def test_flags_are_never_abbreviated() -> None:
    parser = Parser(prog="x")
    parser.add_argument("--bundle")
    _, unknown = parser.parse_known_args(["--bun", "a"])
    with pytest.raises(UsageError, match=r"unknown flag --bun; did you mean --bundle\?"):
        parser.refuse(unknown)


def test_a_stray_word_is_named() -> None:
    with pytest.raises(UsageError, match="unexpected argument 'stray'"):
        Parser(prog="x").refuse(["stray"])


@pytest.mark.parametrize(
    ("line", "joined"),
    [
        ("service logs --since -1h --follow", "service logs --since=-1h --follow"),
        ("enroll --false-alarms -1/week a.wav", "enroll --false-alarms=-1/week a.wav"),
        ("x --snr -5 --channel 0", "x --snr=-5 --channel 0"),
        ("x --since=now -1h", "x --since=now -1h"),
        ("run --input -", "run --input -"),
        ("x a -1h", "x a -1h"),
        ("-1h", "-1h"),
        ("score --json -- --since -1h", "score --json -- --since -1h"),
    ],
)
def test_a_value_that_starts_with_a_minus_and_a_digit_is_the_options_before_it(line: str, joined: str) -> None:
    assert with_signed_values(line.split()) == joined.split()

"""One value against the limits of its field: the same words whether it came from a file, the environment or a flag."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edge_asd.calibration.allowance import WORDS, parse_allowance
from edge_asd.calibration.budget import EXAMPLES, Budget
from edge_asd.errors import ConfigError, DataError
from edge_asd.formats import bytes_meant

KINDS = {
    "text": "text",
    "path": "a path",
    "whole": "a whole number",
    "number": "a number",
    "names": "a map of names to device names",
    "switch": "true or false",
    "words": "a list of words, such as [/usr/bin/logger, -t, edge-asd]",
    "secret": "the path of a file, or credential:NAME",
    "size": "bytes, such as 65536 or 64KiB",
    "budget": f"a false-alarm budget such as {EXAMPLES}",
    "allowance": WORDS,
}

TEXTS = ("text", "path", "secret")
"""Kinds whose value is text as it stands."""
_ITEM = {"kind": "text"}
"""Of a list of words, and of a map of names to device names."""
CREDENTIAL = "credential:"
"""Before the name of a credential that systemd hands to the service, in place of a path."""


def checked(value: Any, limits: Mapping[str, Any], where: str) -> Any:
    """`value` as its field takes it. Raises ConfigError naming `where`, the value and what is allowed."""
    if value is None:
        if limits.get("optional"):
            return None
        raise ConfigError(f"{where} is empty", remedy=f"give {_allowed(limits)} or leave it out")
    kind = limits["kind"]
    if kind == "words" and isinstance(value, (list, tuple)) and value:
        return tuple(checked(word, _ITEM, f"{where}, word {n}") for n, word in enumerate(value, 1))
    if kind == "names" and isinstance(value, Mapping):
        return {
            checked(name, _ITEM, f"{where}, one of its names"): checked(device, _ITEM, f"{where}.{name}")
            for name, device in value.items()
        }
    fits = {
        "text": isinstance(value, str) and value != "",
        "path": isinstance(value, str) and value != "",
        "whole": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value),
        "budget": isinstance(value, str) and _is_budget(value),
        "allowance": isinstance(value, (int, float, str)) and _is_allowance(str(value)),
        "size": isinstance(value, (int, str)) and not isinstance(value, bool) and _bytes(value) is not None,
        "switch": isinstance(value, bool),
        "secret": isinstance(value, str) and value not in ("", CREDENTIAL),
    }.get(kind, False)  # words that are no list, names that are no map
    if fits and kind == "size":
        value = _bytes(value)
    if not fits or not _in_range(value, limits):
        can_be_quoted = kind in TEXTS and not isinstance(value, (str, list, tuple, Mapping))
        hint = " (quote it to make it text)" if can_be_quoted else ""
        shown = "an empty list" if kind == "words" and isinstance(value, (list, tuple)) else _shown(value)
        raise ConfigError(f"{where} is {shown}", remedy=f"give {_allowed(limits)}{hint}")
    if kind == "allowance":
        return str(value)
    if kind == "number":
        return float(value)
    return value


def _is_budget(text: str) -> bool:
    try:
        Budget.parse(text)
    except DataError:
        return False
    return True


def _is_allowance(text: str) -> bool:
    try:
        parse_allowance(text)
    except DataError:
        return False
    return True


def _bytes(value: int | str) -> int | None:
    """The size meant, None where it is none."""
    try:
        return bytes_meant(str(value))
    except ValueError:
        return None


def _in_range(value: Any, limits: Mapping[str, Any]) -> bool:
    return (
        ("choices" not in limits or value in limits["choices"])
        and ("at_least" not in limits or value >= limits["at_least"])
        and ("above" not in limits or value > limits["above"])
        and ("at_most" not in limits or value <= limits["at_most"])
        and ("below" not in limits or value < limits["below"])
    )


def _allowed(limits: Mapping[str, Any]) -> str:
    if "choices" in limits:
        return " or ".join((", ".join(limits["choices"][:-1]), limits["choices"][-1]))
    words = [KINDS[limits["kind"]]]
    if "at_least" in limits:
        words.append(f"of at least {limits['at_least']}")
    if "above" in limits:
        words.append(f"above {limits['above']}")
    if "at_most" in limits:
        words.append(f"and at most {limits['at_most']}")
    if "below" in limits:
        words.append(f"and below {limits['below']}")
    return " ".join(words)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a map"
    if isinstance(value, (list, tuple, set)):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

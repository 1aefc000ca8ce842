"""Keys and values as dataclasses: what is taken, and that whatever does not fit is named with its place."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from edge_asd.errors import ConfigError, DataError
from edge_asd.keyed import KeyedReader


@dataclasses.dataclass(frozen=True)
class Inner:
    size: int
    share: float = 0.5


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    words: tuple[str, ...] = ()
    lines: list[str] = dataclasses.field(default_factory=list)
    levels: tuple[float, float] = (0.0, 1.0)
    table: dict[str, int] = dataclasses.field(default_factory=dict)


PLAIN: dict[str, Any] = {"name": "a", "inner": {"size": 3}}


def test_all_kinds_of_values_become_what_the_dataclass_says() -> None:
    data = PLAIN | {"words": ["x", "y"], "lines": ["z"], "levels": [-20, -3], "table": {"k": 2}}
    data["inner"] = {"size": 3, "share": 1}
    made = KeyedReader().read(Outer, data, "file")
    assert made == Outer("a", Inner(3, 1.0), ("x", "y"), ["z"], (-20.0, -3.0), {"k": 2})
    assert type(made.inner.share) is float
    assert KeyedReader().read(Outer, PLAIN, "file") == Outer("a", Inner(3))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"nmae": 1}, r"^file: unknown key 'nmae'; the nearest known key is 'name'$"),
        ({"name": 1}, r"file: name: 1 is not of type str"),
        ({"inner": 5}, r"file: inner: expected keys and values, found int"),
        ({"inner": {}}, r"file: inner: key 'size' is missing"),
        ({"inner": {"size": True}}, r"file: inner: size: True is not of type int"),
        ({"inner": {"size": 3, "share": math.nan}}, r"file: inner: share: nan is not a finite number"),
        ({"words": "xy"}, r"file: words: 'xy' is not a list"),
        ({"lines": [1]}, r"file: lines: 1 is not of type str"),
        ({"levels": [2, 1]}, r"file: levels: \[2, 1\] is not \[lowest, highest\]"),
        ({"levels": [2]}, r"is not \[lowest, highest\]"),
        ({"table": {"k": "v"}}, r"file: table: k: 'v' is not of type int"),
        ({"table": []}, r"file: table: \[\] is not a table of keys and values"),
    ],
    ids=str,
)
def test_whatever_does_not_fit_is_named_with_its_place(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words) as refused:
        KeyedReader().read(Outer, PLAIN | change, "file")
    assert "\n" not in str(refused.value)


def test_the_error_and_the_remedy_are_the_readers_own() -> None:
    with pytest.raises(ConfigError, match="unknown key 'new'; upgrade"):
        KeyedReader(ConfigError, upgrade="upgrade").read(Inner, {"size": 1, "new": 2}, "file")

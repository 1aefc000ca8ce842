"""Parsed JSON or YAML as dataclasses: no key unknown, none of the wrong type, none missing. For what is written by
others and read once: a model's contract, a recipe, a target."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from edge_asd.errors import DataError, EdgeAsdError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class KeyedReader:
    """How a dataclass is made of keys and values, those within it included.

    error: raised for whatever does not fit, naming the key. upgrade: remedy for an unknown key; empty: the nearest
    known one. choose: another class than the one that is asked for, by its keys and where they stand (the settings of
    a kind that is named).

    Whole numbers count as floats, which must be finite; (lowest, highest) is written as a list of two.
    """

    error: type[EdgeAsdError] = DataError
    upgrade: str = ""
    choose: Callable[[type, dict[str, Any], str], type] = lambda cls, data, where: cls

    def read(self, cls: type[T], data: Any, where: str) -> T:
        """`data` as `cls`. where: for messages."""
        if not isinstance(data, dict):
            raise self.error(f"{where}: expected keys and values, found {type(data).__name__}")
        chosen: Any = self.choose(cls, data, where)
        types = typing.get_type_hints(chosen)
        fields = {field.name: field for field in dataclasses.fields(chosen)}
        values = {}
        for key, value in data.items():
            if key not in fields:
                raise self.error(
                    f"{where}: unknown key {key!r}", remedy=self.upgrade or _nearest(str(key), list(fields))
                )
            values[key] = self._value(types[key], value, f"{where}: {key}")
        for name, field in fields.items():
            left_out = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            if left_out and name not in values:
                raise self.error(f"{where}: key {name!r} is missing")
        made: T = chosen(**values)
        return made

    def _value(self, wanted: Any, value: Any, where: str) -> Any:
        if dataclasses.is_dataclass(wanted):
            return self.read(typing.cast(type, wanted), value, where)
        origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
        if origin is dict:
            if not isinstance(value, dict):
                raise self.error(f"{where}: {value!r} is not a table of keys and values")
            return {
                self._value(parts[0], key, where): self._value(parts[1], own, f"{where}: {key}")
                for key, own in value.items()
            }
        if origin is list or (origin is tuple and parts[-1] is Ellipsis):
            if not isinstance(value, (list, tuple)):
                raise self.error(f"{where}: {value!r} is not a list")
            return origin(self._value(parts[0], own, where) for own in value)
        if origin is tuple:
            if isinstance(value, (list, tuple)) and len(value) == 2:
                low, high = (self._value(float, own, where) for own in value)
                if low <= high:
                    return (low, high)
            raise self.error(f"{where}: {value!r} is not [lowest, highest]")
        number = wanted is float and isinstance(value, int) and not isinstance(value, bool)
        if type(value) is not wanted and not number:
            raise self.error(f"{where}: {value!r} is not of type {wanted.__name__}")
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(f"{where}: {value!r} is not a finite number")
        return wanted(value)


def _nearest(key: str, known: list[str]) -> str:
    from edge_asd.config.nearest import nearest

    return f"the nearest known key is {nearest(key, known)!r}"

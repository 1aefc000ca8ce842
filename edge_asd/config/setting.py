"""How one setting is declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any


def setting(default: Any, **limits: Any) -> Any:
    """A field with what its value must keep to.

    limits: `kind` ("text", "path", "whole", "number", "budget", "allowance", "size", "switch", "names" = a map of text
    to text, "words" = a list of text, "secret" = a file or a credential, whose content is no setting), `at_least`,
    `above`, `at_most`, `below`, `choices`, `optional` (None is a value: unset).
    """
    if isinstance(default, Mapping):
        return field(default_factory=lambda: dict(default), metadata=limits)
    return field(default=default, metadata=limits)

"""The configuration in effect as YAML, each value with where it came from. It can be saved and used as a file."""

from __future__ import annotations

import dataclasses
from typing import Any

from edge_asd.config.load import LoadedConfig


def as_yaml(loaded: LoadedConfig) -> str:
    """YAML text, one line a setting, newline-terminated."""
    lines = ["# edge-asd configuration in effect: flag > environment > file > default"]
    for section in dataclasses.fields(loaded.config):
        lines.append(f"{section.name}:")
        values = getattr(loaded.config, section.name)
        settings = [(item.name, _scalar(getattr(values, item.name))) for item in dataclasses.fields(values)]
        for key, value in settings:
            entry = f"  {key}: {value}"
            lines.append(f"{entry:<40}  # {loaded.origins[f'{section.name}.{key}']}")
    return "\n".join(lines) + "\n"


def _scalar(value: Any) -> str:
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("...").strip()

"""The configuration in effect as YAML, each value with where it came from. It can be saved and used as a file."""

from __future__ import annotations

import dataclasses
from typing import Any

from edge_asd.config.load import LoadedConfig
from edge_asd.config.settings import MACHINES, SECTIONS


def as_yaml(loaded: LoadedConfig) -> str:
    """YAML text, one line a setting, newline-terminated."""
    lines = ["# edge-asd configuration in effect: flag > environment > file > default"]
    for section in SECTIONS:
        lines += [f"{section}:", *_settings(loaded, section, getattr(loaded.config, section), "  ")]
    lines.append(f"{MACHINES}:" if loaded.config.machines else f"{MACHINES}: {{}}")
    for name, machine in loaded.config.machines.items():
        lines += [f"  {name}:", *_settings(loaded, f"{MACHINES}.{name}", machine, "    ")]
    return "\n".join(lines) + "\n"


def _settings(loaded: LoadedConfig, owner: str, values: Any, indent: str) -> list[str]:
    lines = []
    for item in dataclasses.fields(values):
        entry = f"{indent}{item.name}: {_scalar(getattr(values, item.name))}"
        lines.append(f"{entry:<40}  # {loaded.origins[f'{owner}.{item.name}']}")
    return lines


def _scalar(value: Any) -> str:
    import yaml

    value = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("...").strip()

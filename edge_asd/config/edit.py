"""Set one value in a YAML config file and leave everything else, comments included, as it is."""

from __future__ import annotations

from typing import Any

from edge_asd.errors import ConfigError


def with_setting(text: str, section: str, key: str, value: str) -> str:
    """`text` with `section: {key: value}` set; the section is added when it is not there.

    value: a plain word. Raises ConfigError where the file is written in a way that cannot be edited line by line.
    """
    import yaml

    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    try:
        root = yaml.compose("".join(lines), Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {' '.join(str(error).split())}") from error
    owner = _entry(root, section)
    if owner is None:
        return "".join(lines) + f"{section}:\n  {key}: {value}\n"
    owner_key, owner_value = owner
    if not isinstance(owner_value, yaml.MappingNode):  # "model:" with nothing below it
        lines.insert(owner_key.start_mark.line + 1, f"  {key}: {value}\n")
        return "".join(lines)
    if owner_value.flow_style:
        raise ConfigError(f"the section {section} is written in braces", remedy=f"write {key}: {value} into it by hand")
    old = _entry(owner_value, key)
    if old is None:
        first = owner_value.start_mark
        lines.insert(first.line, f"{' ' * first.column}{key}: {value}\n")
        return "".join(lines)
    node = old[1]
    line = lines[node.start_mark.line]
    lines[node.start_mark.line] = line[: node.start_mark.column] + value + line[node.end_mark.column :]
    return "".join(lines)


def _entry(node: Any, key: str) -> tuple[Any, Any] | None:
    pairs = getattr(node, "value", None)
    if not isinstance(pairs, list):
        return None
    return next((pair for pair in pairs if isinstance(pair, tuple) and pair[0].value == key), None)

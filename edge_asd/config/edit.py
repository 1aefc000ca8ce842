"""Set one value in a YAML config file and leave everything else, comments included, as it is."""

from __future__ import annotations

from typing import Any

from edge_asd.errors import ConfigError


def with_setting(text: str, section: str, key: str, value: str) -> str:
    """`text` with `section: {key: value}` set; the section is added when it is not there.

    value: a plain word. Raises ConfigError for what is no valid YAML, and where the file is written in a way that
    cannot be edited line by line: the result is read again, and must be the old settings and this one.
    """
    import yaml

    try:
        before = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {' '.join(str(error).split())}") from error
    edited = _edited(text, section, key, value)
    try:
        unharmed = yaml.safe_load(edited) == _merged(before, section, key, value)
    except (yaml.YAMLError, TypeError, ValueError):
        unharmed = False
    if not unharmed:
        raise ConfigError(
            f"{section}.{key} cannot be set without rewriting the file",
            remedy=f"write {key}: {value} below {section}: by hand",
        )
    return edited


def _edited(text: str, section: str, key: str, value: str) -> str:
    """The edit, right wherever the file is written as people write one."""
    import yaml

    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    owner = _entry(yaml.compose("".join(lines), Loader=yaml.SafeLoader), section)
    if owner is None:
        return "".join(lines) + f"{section}:\n  {key}: {value}\n"
    owner_key, owner_value = owner
    if _is_nothing(owner_value):
        _put(lines, owner_value, "")
        lines.insert(owner_key.start_mark.line + 1, f"  {key}: {value}\n")
        return "".join(lines)
    old = _entry(owner_value, key)
    first = owner_value.start_mark
    if old is None:
        lines.insert(first.line, f"{' ' * first.column}{key}: {value}\n")
    else:
        old_key, old_value = old
        # "runtime:" with nothing behind it ends where the next word begins, be it lines further down.
        bare = old_value.start_mark.index == old_value.end_mark.index
        _put(lines, old_key if bare else old_value, f"{key}: {value}" if bare else value, colon=bare)
    return "".join(lines)


def _put(lines: list[str], node: Any, words: str, *, colon: bool = False) -> None:
    """Write `words` in the place of a node that stands in one line; `colon`: and of the colon behind it."""
    start, end = node.start_mark, node.end_mark
    line = lines[start.line]
    rest = line[end.column :]
    lines[start.line] = line[: start.column] + words + (rest.removeprefix(":") if colon else rest)


def _is_nothing(node: Any) -> bool:
    """Whether a section is there by name only: "model:", "model: null", "model: {}"."""
    return node.tag == "tag:yaml.org,2002:null" or (node.tag == "tag:yaml.org,2002:map" and not node.value)


def _merged(settings: Any, section: str, key: str, value: str) -> Any:
    """What reading the file is to give. Raises TypeError or ValueError where it holds no sections."""
    whole = dict(settings or {})
    return {**whole, section: {**dict(whole.get(section) or {}), key: value}}


def _entry(node: Any, key: str) -> tuple[Any, Any] | None:
    pairs = getattr(node, "value", None)
    if not isinstance(pairs, list):
        return None
    return next((pair for pair in pairs if isinstance(pair, tuple) and pair[0].value == key), None)

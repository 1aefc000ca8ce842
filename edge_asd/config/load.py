"""From file, environment and flags to one checked configuration: flag > `EDGE_ASD_*` > file > default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asd.config.check import CREDENTIAL, TEXTS, checked
from edge_asd.config.nearest import nearest
from edge_asd.config.settings import ALTERNATIVES, MACHINES, SECTIONS, Config, MachineConfig, fields_of
from edge_asd.errors import ConfigError, MissingInputError, StorageError, UsageError

PREFIX = "EDGE_ASD_"
FILE_VARIABLE = "EDGE_ASD_CONFIG"
"""Names the config file when no `--config` does."""
OTHER_VARIABLES = (FILE_VARIABLE, "EDGE_ASD_DEBUG", "EDGE_ASD_KERNEL")
"""Variables that are ours and no setting."""
MAX_FILE_BYTES = 1_000_000
MACHINE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a machine may be called: it names files and topics, too."""


@dataclass(frozen=True)
class LoadedConfig:
    """A checked configuration and where each value came from.

    origins: "section.key" -> "flag --device", "environment EDGE_ASD_AUDIO_DEVICE", "fan.yaml:3" or "default".
    """

    config: Config
    origins: Mapping[str, str]


@dataclass(frozen=True)
class Flag:
    """A setting given on the command line: the flag's name and its value."""

    name: str
    value: Any


def load_config(
    path: str | Path | None = None,
    *,
    environment: Mapping[str, str],
    flags: Mapping[str, Flag] | None = None,
) -> LoadedConfig:
    """Merge and check.

    path: the YAML file, or None: the one EDGE_ASD_CONFIG names, or none at all.
    environment: usually `os.environ`; names starting with EDGE_ASD_ that no setting has are refused.
    flags: "section.key" -> Flag, for flags that were really given.

    Raises ConfigError (any key or value that is not known or does not fit), UsageError (the same of a
    flag), MissingInputError, StorageError.
    """
    path = path or environment.get(FILE_VARIABLE) or None
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if path is not None:
        _from_file(Path(path), values, origins)
    _from_environment(environment, values, origins)
    for name, flag in (flags or {}).items():
        section, key = name.split(".")
        try:
            values[name] = checked(flag.value, fields_of(section)[key].metadata, flag.name)
        except ConfigError as error:
            raise UsageError(error.message, remedy=error.remedy) from error
        origins[name] = f"flag {flag.name}"
    for pair in ALTERNATIVES:
        _choose(pair, values, origins)
    sections = {}
    for section, kind in SECTIONS.items():
        keys = fields_of(section)
        for key in keys:
            origins.setdefault(f"{section}.{key}", "default")
        given = {key: values[f"{section}.{key}"] for key in keys if f"{section}.{key}" in values}
        sections[section] = kind(**given)
    return LoadedConfig(Config(**sections, machines=_machines(values, origins)), origins)


def _machines(values: Mapping[str, Any], origins: dict[str, str]) -> dict[str, MachineConfig]:
    """The machines of the file, by name."""
    machines: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, _, rest = name.partition(".")
        if section == MACHINES:
            machine, key = rest.rsplit(".", 1)
            machines.setdefault(machine, {})[key] = value
    for machine in machines:
        for key in fields_of(MACHINES):
            origins.setdefault(f"{MACHINES}.{machine}.{key}", "default")
    return {machine: MachineConfig(**given) for machine, given in machines.items()}


def _choose(pair: tuple[str, str], values: dict[str, Any], origins: dict[str, str]) -> None:
    """Of two settings that exclude each other, keep the one that wins by where it was given."""
    given = [name for name in pair if values.get(name) is not None]
    if len(given) < 2:
        return
    ranks = [2 if origins[n].startswith("flag ") else int(origins[n].startswith("environment ")) for n in given]
    if ranks[0] == ranks[1]:
        where = " and ".join(f"{name} ({origins[name]})" for name in given)
        kind = UsageError if ranks[0] == 2 else ConfigError
        raise kind(f"{where} exclude each other", remedy="choose one of them")
    loser = given[ranks.index(min(ranks))]
    winner = given[ranks.index(max(ranks))]
    values[loser] = None
    origins[loser] = f"overruled by {origins[winner]}"


def _from_environment(environment: Mapping[str, str], values: dict[str, Any], origins: dict[str, str]) -> None:
    known = {f"{PREFIX}{s}_{key}".upper(): f"{s}.{key}" for s in SECTIONS for key in fields_of(s)}
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable in OTHER_VARIABLES:
            continue
        if variable not in known:
            suggestion = nearest(variable.lower(), [name.lower() for name in (*known, *OTHER_VARIABLES)]).upper()
            raise ConfigError(f"environment: unknown variable {variable}", remedy=f"did you mean {suggestion}?")
        name = known[variable]
        section, key = name.split(".")
        limits = fields_of(section)[key].metadata
        text: Any = environment[variable]
        if limits["kind"] not in TEXTS:
            text = _parsed(text, variable)
        elif text == "":
            text = None
        values[name] = checked(text, limits, f"environment: {variable}")
        origins[name] = f"environment {variable}"


def _parsed(text: str, variable: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"environment: {variable} is {text!r}", remedy="give a value as in YAML") from error


def _from_file(path: Path, values: dict[str, Any], origins: dict[str, str]) -> None:
    import yaml

    text = _text(path)
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return
        for section, section_node in _entries(root, str(path), "the file", [*SECTIONS, MACHINES]):
            if isinstance(section_node, yaml.ScalarNode) and section_node.tag.endswith(":null"):
                continue
            parts = [(section, section_node)]
            if section == MACHINES:
                named = _entries(section_node, str(path), section, None)
                parts = [(f"{section}.{machine}", node) for machine, node in named]
            for name, part in parts:
                if section == MACHINES and not getattr(part, "value", None):
                    raise ConfigError(f"{path}:{part.start_mark.line + 1}: {name} is empty", remedy="give it a bundle")
                for key, node in _entries(part, str(path), name, list(fields_of(section))):
                    where = f"{path}:{node.start_mark.line + 1}"
                    limits = fields_of(section)[key].metadata
                    value = checked(_plain(loader, node, limits["kind"]), limits, f"{where}: {name}.{key}")
                    if limits["kind"] in ("path", "secret") and value and not value.startswith(CREDENTIAL):
                        value = str(path.parent / Path(value).expanduser())
                    values[f"{name}.{key}"] = value
                    origins[f"{name}.{key}"] = where
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ConfigError(f"{path}: not valid YAML: {reason}") from error


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:  # never more than that: /dev/zero has no end and no size
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise MissingInputError(f"{path}: no such config file") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: over {MAX_FILE_BYTES} bytes", remedy="this is not a config file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})", remedy="save it as UTF-8") from error


def _entries(node: Any, path: str, owner: str, known: list[str] | None) -> list[tuple[str, Any]]:
    """Key and value node of each entry of a mapping, every key given once.

    known: the keys there are; None: the user's own names.
    """
    import yaml

    where = f"{path}:{node.start_mark.line + 1}"
    if not isinstance(node, yaml.MappingNode):
        wanted = ", of " + ", ".join(known) if known else " with names of your own"
        raise ConfigError(f"{where}: {owner} is not a map", remedy=f"write key: value{wanted}")
    entries: dict[str, Any] = {}
    for key_node, value_node in node.value:
        where = f"{path}:{key_node.start_mark.line + 1}"
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
        if known is None and not MACHINE_NAME.fullmatch(key):
            raise ConfigError(f"{where}: {key!r} is no name for a machine", remedy="use letters, digits, - and _")
        if known is not None and key not in known:
            raise ConfigError(f"{where}: unknown key {key!r} in {owner}", remedy=_meant(key, known))
        if key in entries:
            raise ConfigError(f"{where}: {key!r} is given twice in {owner}", remedy="keep one of them")
        entries[key] = value_node
    return list(entries.items())


def _meant(key: str, known: list[str]) -> str:
    for section in SECTIONS:
        if key in fields_of(section) and key not in known:
            return f"it belongs in the section {section!r}"
    return f"did you mean {nearest(key, known)!r}? Known here: {', '.join(known)}"


def _plain(loader: Any, node: Any, kind: str) -> Any:
    """The node's value; anything nested where it has no place comes back as an empty list or map, unexpanded."""
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, item, "text") for item in node.value] if kind == "words" else []
    if isinstance(node, yaml.MappingNode):
        if kind != "names":
            return {}
        # A name that is no text is told as such; as a key of a dict it must be hashable.
        names = [loader.construct_object(k) if isinstance(k, yaml.ScalarNode) else () for k, _ in node.value]
        return {name: _plain(loader, v, "text") for name, (_, v) in zip(names, node.value, strict=True)}
    return loader.construct_object(node)

"""Recipes as YAML files, checked once: keys left out take their defaults, a key nobody knows is an error that names the
nearest known one."""

from __future__ import annotations

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

from edge_asd.config.nearest import nearest
from edge_asd.errors import ConfigError, DataError, MissingInputError
from export.recipe import NetworkSettings, ObjectiveSettings, Recipe
from export.recipe_checks import check_recipe

RECIPES = Path(__file__).parent / "recipes"


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe by the name of a shipped one or by path.

    Raises MissingInputError when there is no such file, ConfigError when it is not a valid recipe.
    """
    path = _found(name_or_path)
    try:
        recipe = _build(Recipe, _read(path), str(path))
        recipe.model_contract()
        check_recipe(recipe)
    except DataError as error:
        raise ConfigError(f"{path}: {error.message}") from error
    except ConfigError as error:
        where = "" if error.message.startswith(str(path)) else f"{path}: "
        raise ConfigError(f"{where}{error.message}", remedy=error.remedy) from error
    return recipe


def _found(name_or_path: str | Path, beside: Path | None = None) -> Path:
    """The file that is meant; a relative path may also be meant from the directory `beside`."""
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = RECIPES / f"{name_or_path}.yaml"
    elif beside is not None and not path.is_absolute():
        path = beside / path
    if not path.is_file():
        known = sorted(p.stem for p in RECIPES.glob("*.yaml"))
        near = nearest(path.stem, known)
        raise MissingInputError(
            f"no recipe {str(name_or_path)!r}",
            remedy=f"did you mean {near!r}? Give a .yaml file that is there or one of: {', '.join(known)}",
        )
    return path


def _read(path: Path, below: tuple[Path, ...] = ()) -> Any:
    """A file's keys and values laid over those of the recipe that it `extends`."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict) or "extends" not in data:
        return data
    base, below = data.pop("extends"), (*below, path.resolve())
    if not isinstance(base, str):
        raise ConfigError(f"{path}: extends: {base!r} is no recipe's name or path")
    found = _found(base, path.parent)
    if found.resolve() in below:
        raise ConfigError(f"{path}: extends: {base!r} leads back to itself")
    return _laid_over(_read(found, below), data)


def _laid_over(base: Any, data: dict[str, Any]) -> Any:
    """`data` wins key by key; a section of another kind takes nothing from the base's, whose settings are not its."""
    if not isinstance(base, dict):
        return base  # it is told by whoever builds the recipe of it
    merged = dict(base)
    for key, value in data.items():
        old = base.get(key)
        joins = isinstance(old, dict) and isinstance(value, dict) and value.get("kind") in (None, old.get("kind"))
        merged[key] = _laid_over(old, value) if joins else value
    return merged


def as_yaml(recipe: Recipe) -> str:
    """The whole recipe, defaults filled in, as a file `load_recipe` reads back to the same one."""
    import yaml

    return yaml.safe_dump(json.loads(json.dumps(dataclasses.asdict(recipe))), sort_keys=False)


def _build(cls: type, data: Any, where: str) -> Any:
    """Parsed YAML as dataclass `cls`, nested ones included."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected keys and values, found {type(data).__name__}")
    if cls in (NetworkSettings, ObjectiveSettings):
        cls = _of_kind(cls, data.get("kind"), where)
    types = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]
    values = {}
    for key, value in data.items():
        if key not in names:
            near = nearest(str(key), names)
            raise ConfigError(f"{where}: unknown key {key!r}", remedy=f"the nearest known key is {near!r}")
        values[key] = _convert(types[key], value, f"{where}: {key}")
    for f in dataclasses.fields(cls):
        if f.name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: key {f.name!r} is missing")
    return cls(**values)


def _of_kind(cls: type, kind: Any, where: str) -> type:
    """The settings of the kind that is named; without a name those of the default kind."""
    from export.networks import registry as networks
    from export.objectives import registry as objectives

    wanted = cls.kind if kind is None else kind  # type: ignore[attr-defined]
    if not isinstance(wanted, str):
        raise ConfigError(f"{where}: kind: {kind!r} is not of type str")
    return networks.settings_of(wanted) if cls is NetworkSettings else objectives.settings_of(wanted)


def _convert(wanted: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(wanted):
        return _build(typing.cast(type, wanted), value, where)
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: {value!r} is not a table of keys and values")
        return {_convert(parts[0], k, where): _convert(parts[1], v, f"{where}: {k}") for k, v in value.items()}
    if origin is tuple and parts[-1] is Ellipsis:
        if not isinstance(value, list):
            raise ConfigError(f"{where}: {value!r} is not a list")
        return tuple(_convert(parts[0], v, where) for v in value)
    if origin is tuple:
        if isinstance(value, list) and len(value) == 2:
            low, high = (_convert(float, v, where) for v in value)
            if low <= high:
                return (low, high)
        raise ConfigError(f"{where}: {value!r} is not [lowest, highest]")
    number = wanted is float and isinstance(value, int) and not isinstance(value, bool)
    if type(value) is not wanted and not number:
        raise ConfigError(f"{where}: {value!r} is not of type {wanted.__name__}")
    return wanted(value)

"""Recipes as YAML files, checked once: keys left out take their defaults, a key nobody knows is an error that names the
nearest known one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from edge_asd.config.nearest import nearest
from edge_asd.errors import ConfigError, DataError, MissingInputError
from edge_asd.keyed import KeyedReader
from export.recipe import NetworkSettings, ObjectiveSettings, Recipe
from export.recipe.checks import check_recipe

RECIPES = Path(__file__).parent


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe by the name of a shipped one or by path.

    Raises MissingInputError when there is no such file, ConfigError when it is not a valid recipe.
    """
    path = _found(name_or_path)
    try:
        recipe = _READER.read(Recipe, _read(path), str(path))
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
    over = _read(found, below)
    merged = _laid_over(over, data)
    if isinstance(over, dict):
        merged["lineage"] = [over.get("name", found.stem), *over.get("lineage", [])]
    return merged


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


def _of_kind(cls: type, data: dict[str, Any], where: str) -> type:
    """The settings of the kind that is named; without a name those of the default kind."""
    if cls not in (NetworkSettings, ObjectiveSettings):
        return cls
    from export.networks import registry as networks
    from export.objectives import registry as objectives

    kind = data.get("kind")
    wanted = cls.kind if kind is None else kind
    if not isinstance(wanted, str):
        raise ConfigError(f"{where}: kind: {kind!r} is not of type str")
    return networks.settings_of(wanted) if cls is NetworkSettings else objectives.settings_of(wanted)


_READER = KeyedReader(ConfigError, choose=_of_kind)

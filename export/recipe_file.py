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
from export.recipe import Recipe

RECIPES = Path(__file__).parent / "recipes"


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe by the name of a shipped one or by path.

    Raises MissingInputError when there is no such file, ConfigError when it is not a valid recipe.
    """
    import yaml

    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = RECIPES / f"{name_or_path}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in RECIPES.glob("*.yaml"))
        near = nearest(path.stem, known)
        raise MissingInputError(
            f"no recipe {str(name_or_path)!r}",
            remedy=f"did you mean {near!r}? Give a .yaml file that is there or one of: {', '.join(known)}",
        )
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    try:
        recipe = _build(Recipe, data, str(path))
        recipe.model_contract()
        _check(recipe)
    except DataError as error:
        raise ConfigError(f"{path}: {error.message}") from error
    except ConfigError as error:
        where = "" if error.message.startswith(str(path)) else f"{path}: "
        raise ConfigError(f"{where}{error.message}", remedy=error.remedy) from error
    return recipe


def as_yaml(recipe: Recipe) -> str:
    """The whole recipe, defaults filled in, as a file `load_recipe` reads back to the same one."""
    import yaml

    return yaml.safe_dump(json.loads(json.dumps(dataclasses.asdict(recipe))), sort_keys=False)


MODEL_KINDS = ("mobilefacenet", "frame-vit")
HEAD_KINDS = ("sub-cluster-adacos", "adacos", "arcface")
_SHARES = ("augment.mixup_probability", "augment.room_probability", "train.validation_share")
_ABOVE_ZERO = (
    "train.steps", "train.groups_per_batch", "train.windows_per_group", "train.learning_rate", "train.clip_norm",
    "train.checkpoint_steps", "head.sub_clusters", "head.scale", "augment.mixup_alpha", "augment.time_mask_frames",
    "augment.mel_mask_bands", "quantise.calibration_windows",
)  # fmt: skip
_NOT_BELOW_ZERO = (
    "train.warmup_steps", "train.weight_decay", "train.distil_weight", "train.relation_weight",
    "train.identity_weight", "train.patience", "head.margin", "augment.time_masks", "augment.mel_masks",
    "quantise.float_first", "quantise.float_last", "quantise.qat_steps",
)  # fmt: skip


def _check(recipe: Recipe) -> None:
    """Raise ConfigError for a value no training could use."""

    def value(name: str) -> Any:
        section, key = name.split(".")
        return getattr(getattr(recipe, section), key)

    for name, known in (("model.kind", MODEL_KINDS), ("head.kind", HEAD_KINDS)):
        if value(name) not in known:
            near = nearest(value(name), known)
            raise ConfigError(f"{name} {value(name)!r} is none of {', '.join(known)}", remedy=f"did you mean {near!r}?")
    for name in _SHARES:
        if not 0.0 <= value(name) <= (0.5 if name == "train.validation_share" else 1.0):
            most = 0.5 if name == "train.validation_share" else 1
            raise ConfigError(f"{name} is {value(name)}, must be 0 to {most}")
    for name in _ABOVE_ZERO:
        if not value(name) > 0:
            raise ConfigError(f"{name} is {value(name)}, must be above 0")
    for name in _NOT_BELOW_ZERO:
        if not value(name) >= 0:
            raise ConfigError(f"{name} is {value(name)}, must be at least 0")
    if not 0.0 <= recipe.augment.speed_spread <= 0.5:
        raise ConfigError(f"augment.speed_spread is {recipe.augment.speed_spread}, must be 0 to 0.5")
    if recipe.quantise.activation_bits not in (8, 16):
        raise ConfigError(f"quantise.activation_bits is {recipe.quantise.activation_bits}, must be 8 or 16")
    if recipe.train.patience and not recipe.train.validation_share:
        raise ConfigError("train.patience needs a validation_share above 0")
    if recipe.train.relation_weight and recipe.train.windows_per_group < 2:
        raise ConfigError("train.relation_weight needs windows_per_group of at least 2")
    if not recipe.needs_teacher and not recipe.train.identity_weight:
        raise ConfigError("train: every loss has a weight of 0")
    if recipe.needs_teacher and recipe.augment.mixup_probability:
        raise ConfigError("augment.mixup_probability must be 0 where a teacher is followed: it never heard the mixture")


def _build(cls: type, data: Any, where: str) -> Any:
    """Parsed YAML as dataclass `cls`, nested ones included."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected keys and values, found {type(data).__name__}")
    types = typing.get_type_hints(cls)
    values = {}
    for key, value in data.items():
        if key not in types:
            near = nearest(str(key), types)
            raise ConfigError(f"{where}: unknown key {key!r}", remedy=f"the nearest known key is {near!r}")
        values[key] = _convert(types[key], value, f"{where}: {key}")
    for f in dataclasses.fields(cls):
        if f.name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: key {f.name!r} is missing")
    return cls(**values)


def _convert(wanted: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(wanted):
        return _build(typing.cast(type, wanted), value, where)
    if typing.get_origin(wanted) is tuple:
        if isinstance(value, list) and len(value) == 2:
            low, high = (_convert(float, v, where) for v in value)
            if low <= high:
                return (low, high)
        raise ConfigError(f"{where}: {value!r} is not [lowest, highest]")
    number = wanted is float and isinstance(value, int) and not isinstance(value, bool)
    if type(value) is not wanted and not number:
        raise ConfigError(f"{where}: {value!r} is not of type {wanted.__name__}")
    return wanted(value)

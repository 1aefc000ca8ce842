"""Values of a recipe that no training could use."""

from __future__ import annotations

import dataclasses
from typing import Any

from edge_asd.config.nearest import nearest
from edge_asd.errors import ConfigError, DataError, UsageError
from edge_asd.scorers import check_specs, parse_scorers
from edge_asd.scorers.views import SCORES
from export.recipe.recordings import CLASS_PARTS, MODELS, RecordingSettings, section_names
from export.recipe.settings import HEARINGS, Recipe

HEAD_KINDS = ("sub-cluster-adacos", "adacos", "arcface")
_CHOICES = {
    "head.kind": HEAD_KINDS,
    "train.schedule": ("cosine", "constant"),
    "recordings.models": MODELS,
    "scoring.aggregation": ("auto", "mean"),
}
_SHARES = ("augment.mixup_probability", "augment.room_probability", "train.validation_share")
_ABOVE_ZERO = (
    "train.steps", "train.groups_per_batch", "train.windows_per_group", "train.learning_rate", "train.clip_norm",
    "train.checkpoint_steps", "head.sub_clusters", "head.scale", "augment.mixup_alpha", "augment.time_mask_frames",
    "augment.mel_mask_bands", "quantise.calibration_windows",
)  # fmt: skip
_NOT_BELOW_ZERO = (
    "train.warmup_steps", "train.weight_decay", "train.distil_weight", "train.relation_weight",
    "train.identity_weight", "train.patience", "head.margin", "augment.time_masks", "augment.mel_masks",
    "train.epochs", "quantise.float_first", "quantise.float_last", "quantise.qat_steps", "scoring.smoothing_s",
)  # fmt: skip


def check_recipe(recipe: Recipe) -> None:
    """Raise ConfigError for a value no training could use."""

    def value(name: str) -> Any:
        section, key = name.split(".")
        return getattr(getattr(recipe, section), key)

    for name, known in _CHOICES.items():
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
    hearings = recipe.data.teacher_hears
    if not hearings or len(set(hearings)) < len(hearings) or not set(hearings) <= set(HEARINGS):
        raise ConfigError(f"data.teacher_hears is {list(hearings)}, must be one or several of {', '.join(HEARINGS)}")
    if not 0.0 <= recipe.augment.speed_spread <= 0.5:
        raise ConfigError(f"augment.speed_spread is {recipe.augment.speed_spread}, must be 0 to 0.5")
    if recipe.quantise.activation_bits not in (8, 16):
        raise ConfigError(f"quantise.activation_bits is {recipe.quantise.activation_bits}, must be 8 or 16")
    if recipe.train.patience and not recipe.train.validation_share:
        raise ConfigError("train.patience needs a validation_share above 0")
    if recipe.needs_teacher and recipe.train.relation_weight and recipe.train.windows_per_group < 2:
        raise ConfigError("train.relation_weight needs windows_per_group of at least 2")
    classifies = recipe.objective.kind == "classification"
    if classifies and not recipe.needs_teacher and not recipe.train.identity_weight:
        raise ConfigError("train: every loss has a weight of 0")
    if recipe.needs_teacher and recipe.augment.mixup_probability:
        raise ConfigError("augment.mixup_probability must be 0 where a teacher is followed: it never heard the mixture")
    if not 0.0 < recipe.scoring.percentile < 100.0:
        raise ConfigError(f"scoring.percentile is {recipe.scoring.percentile}, must lie between 0 and 100")
    _check_scorers(recipe)
    _check_recordings(recipe.recordings)


def _check_scorers(recipe: Recipe) -> None:
    """Scorers are wanted only after hours of training: now is the time to say that one cannot be."""
    contract = recipe.model_contract()
    if contract.sections:
        contract = dataclasses.replace(contract, section=contract.sections[0])
    named = {"scoring.scorer": recipe.scoring.scorer}
    named |= {f"scoring.machines.{machine}": text for machine, text in recipe.scoring.machines.items()}
    for where, text in named.items():
        if not text and where == "scoring.scorer":
            continue  # the default, which fits every model
        try:
            specs = parse_scorers(text)
            check_specs(specs, contract)
        except (DataError, UsageError) as error:
            raise ConfigError(f"{where}: {error.message}", remedy=error.remedy) from error
        for spec in specs:
            if spec.view == SCORES and dict(spec.parameters).get("i", 0) >= len(contract.outputs):
                raise ConfigError(
                    f"{where}: {spec}: the model gives {len(contract.outputs)} scores, counted from 0",
                    remedy=f"they are {', '.join(contract.outputs)}",
                )


def _check_recordings(settings: RecordingSettings) -> None:
    for part in settings.classes:
        if part not in CLASS_PARTS:
            raise ConfigError(f"recordings.classes {part!r} is none of {', '.join(CLASS_PARTS)}")
    for domain in settings.domains:
        if domain not in ("source", "target"):
            raise ConfigError(f"recordings.domains {domain!r} is neither source nor target")
    wanted = [settings.sections, *(subset.sections for subset in settings.subsets)]
    wanted += [sections for subset in settings.subsets for sections in subset.serves.values()]
    for text in wanted:
        section_names(text)
    names = [subset.name for subset in settings.subsets]
    if len(set(names)) < len(names) or not all(name.replace("-", "").replace("_", "").isalnum() for name in names):
        raise ConfigError(f"recordings.subsets: {names} are not different names of letters and digits")
    if settings.subsets and settings.models != "all":
        raise ConfigError("recordings.subsets and recordings.models 'machine' do not go together")

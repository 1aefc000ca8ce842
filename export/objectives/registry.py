"""Kinds of objectives by name. A kind is a module of this package with

- `Settings`, a frozen dataclass derived from `export.recipe.ObjectiveSettings`: its part of a recipe, and
- `build(recipe, network, n_classes) -> Objective`, whose fresh weights come from torch's generator.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from edge_asd.config.nearest import nearest
from edge_asd.errors import ConfigError

if TYPE_CHECKING:
    from export.networks.network import Network
    from export.objectives.objective import Objective
    from export.recipe import ObjectiveSettings, Recipe

KINDS: dict[str, str] = {
    "cl-vae": "export.objectives.cl_vae",
    "classification": "export.objectives.classification",
    "likelihood": "export.objectives.likelihood",
    "sub-systems": "export.objectives.sub_systems",
}
"""Kind -> module."""


def settings_of(kind: str) -> type[ObjectiveSettings]:
    """The settings a kind takes. Raises ConfigError for a kind nobody knows."""
    if kind not in KINDS:
        raise ConfigError(
            f"objective.kind {kind!r} is none of {', '.join(KINDS)}", remedy=f"did you mean {nearest(kind, KINDS)!r}?"
        )
    return importlib.import_module(KINDS[kind]).Settings


def build_objective(recipe: Recipe, network: Network, n_classes: int) -> Objective:
    """The recipe's objective. Raises ConfigError for impossible settings."""
    settings_of(recipe.objective.kind)
    return importlib.import_module(KINDS[recipe.objective.kind]).build(recipe, network, n_classes)

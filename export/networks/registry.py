"""Kinds of networks by name. A kind is a module of this package with

- `Settings`, a frozen dataclass derived from `export.recipe.NetworkSettings`: its part of a recipe, and
- `build(recipe) -> Network`: the network with fresh weights from torch's generator.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from edge_asd.config.nearest import nearest
from edge_asd.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from export.networks.network import Network
    from export.recipe import NetworkSettings, Recipe

KINDS: dict[str, str] = {
    "mobilefacenet": "export.networks.mobilefacenet",
    "frame-vit": "export.networks.vit",
    "stgram": "export.networks.stgram",
    "maf": "export.networks.flow",
    "panns-clvae": "export.networks.panns_clvae",
    "w2v-ast": "export.networks.w2v_ast",
}
"""Kind -> module."""


def settings_of(kind: str) -> type[NetworkSettings]:
    """The settings a kind takes. Raises ConfigError for a kind nobody knows."""
    if kind not in KINDS:
        raise ConfigError(
            f"model.kind {kind!r} is none of {', '.join(KINDS)}", remedy=f"did you mean {nearest(kind, KINDS)!r}?"
        )
    return importlib.import_module(KINDS[kind]).Settings


def build_network(recipe: Recipe) -> Network:
    """The recipe's network with fresh weights from torch's generator. Raises ConfigError for impossible settings."""
    settings_of(recipe.model.kind)
    return importlib.import_module(KINDS[recipe.model.kind]).build(recipe)


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers in the model."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)

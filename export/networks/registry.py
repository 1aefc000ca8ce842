"""Every network a recipe can name: window in, embedding out, and what the training head sees of the embedding."""

from __future__ import annotations

from typing import TypeAlias

from torch import nn

from edge_asd.errors import ConfigError
from export.networks.mobilefacenet import MobileFaceNet
from export.networks.vit import FrameViT
from export.recipe import Recipe

Network: TypeAlias = MobileFaceNet | FrameViT
"""Called with [batch, 1, window_frames, n_mels], normalised as the contract says, it gives [batch, embedding_size];
`for_head` turns that into what classification is trained on."""


def build_network(recipe: Recipe) -> Network:
    """The recipe's network with fresh weights from torch's generator. Raises ConfigError for impossible settings."""
    settings, frames, mels = recipe.model, recipe.contract.window_frames, recipe.features.n_mels
    if settings.kind == "mobilefacenet":
        return MobileFaceNet(
            window_frames=frames,
            n_mels=mels,
            embedding_size=settings.embedding_size,
            table=settings.table,
            width=settings.width,
            activation=settings.activation,
        )
    if settings.kind == "frame-vit":
        return FrameViT(
            window_frames=frames,
            n_mels=mels,
            embedding_size=settings.embedding_size,
            size=settings.size,
            depth=settings.depth,
            heads=settings.heads,
            mlp_size=settings.mlp_size,
        )
    raise ConfigError(f"model.kind {settings.kind!r} is neither 'mobilefacenet' nor 'frame-vit'")


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers in the model."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)

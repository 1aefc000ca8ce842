"""A vision transformer whose tokens are single log-mel frames (the frame ViT of a DCASE 2022 Task 2 system).

Pre-norm blocks, a class token, learned positions. The embedding is the class token before the last LayerNorm; the
training head sees it after.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_asd.errors import ConfigError
from export.networks.network import Network
from export.recipe import ModelSettings, Recipe

Settings = ModelSettings

INITIAL_SPREAD = 0.02


class Attention(nn.Module):
    """Multi-head self-attention, written out so that every exporter and quantiser sees plain matrix products."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.joint = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, tokens, size] -> the same shape."""
        query, key, value = self.joint(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(query @ key.transpose(2, 3) * query.shape[-1] ** -0.5, dim=-1)
        return self.out((weights @ value).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """LayerNorm -> attention and LayerNorm -> two-layer perceptron, each added to its input."""

    def __init__(self, size: int, heads: int, mlp_size: int) -> None:
        super().__init__()
        self.before_attention, self.before_mlp = nn.LayerNorm(size), nn.LayerNorm(size)
        self.attention = Attention(size, heads)
        self.widen, self.narrow = nn.Linear(size, mlp_size), nn.Linear(mlp_size, size)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, tokens, size] -> the same shape."""
        x = x + self.attention(self.before_attention(x))
        return x + self.narrow(functional.gelu(self.widen(self.before_mlp(x))))


class FrameViT(Network):
    """Log-mel window in, embedding out.

    window_frames: tokens beside the class token, one a frame.
    size, depth, heads, mlp_size: 384, 12, 6 and 1536 in the report, 21.4 M parameters with 64 frames of 128 bands.
    embedding_size: where it differs from `size`, a linear layer leads from one to the other.
    """

    def __init__(
        self,
        *,
        window_frames: int,
        n_mels: int,
        embedding_size: int,
        size: int = 192,
        depth: int = 4,
        heads: int = 3,
        mlp_size: int = 768,
    ) -> None:
        super().__init__()
        if min(size, depth, heads, mlp_size, embedding_size, window_frames, n_mels) < 1 or size % heads:
            raise ConfigError(
                f"model: size {size} must be a multiple of heads {heads}, and both, depth {depth}, mlp_size {mlp_size} "
                f"and embedding_size {embedding_size} above 0"
            )
        self.embed = nn.Linear(n_mels, size)
        self.token = nn.Parameter(torch.zeros(1, 1, size))
        self.positions = nn.Parameter(torch.zeros(1, window_frames + 1, size))
        self.blocks = nn.Sequential(*(Block(size, heads, mlp_size) for _ in range(depth)))
        self.out = nn.Linear(size, embedding_size) if embedding_size != size else nn.Identity()
        self.last_norm = nn.LayerNorm(embedding_size)
        nn.init.trunc_normal_(self.token, std=INITIAL_SPREAD)
        nn.init.trunc_normal_(self.positions, std=INITIAL_SPREAD)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=INITIAL_SPREAD)
                nn.init.zeros_(module.bias)

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, window_frames, n_mels] normalised -> [batch, embedding_size]."""
        frames = self.embed(log_mel.squeeze(1))
        tokens = torch.cat((self.token.expand(frames.shape[0], -1, -1), frames), dim=1) + self.positions
        return self.out(self.blocks(tokens)[:, 0])

    def for_head(self, embeddings: Tensor) -> Tensor:
        """[n, d] -> [n, d] after the last LayerNorm, which the device never computes."""
        return self.last_norm(embeddings)


def build(recipe: Recipe) -> FrameViT:
    """See `export.networks.registry`."""
    settings = recipe.model
    assert isinstance(settings, ModelSettings)
    return FrameViT(
        window_frames=recipe.contract.window_frames,
        n_mels=recipe.features.n_mels,
        embedding_size=settings.embedding_size,
        size=settings.size,
        depth=settings.depth,
        heads=settings.heads,
        mlp_size=settings.mlp_size,
    )

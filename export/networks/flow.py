"""A conditional masked autoregressive flow (Papamakarios et al. 2017, arXiv 1705.07057) over log-mel frames.

A point is `stacked_frames` neighbouring frames put end to end. Each block is a MADE (Germain et al. 2015, arXiv
1502.03509) that gives a mean and a log scale for every number from those before it, and the section through weights
that no mask touches:

    u = (x - mu) exp(-alpha),    log p(x) = log N(u; 0, 1) - sum(alpha)

Every other block reads the numbers from the last to the first.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_asd.contract import LOG_MEL, SECTION
from edge_asd.errors import ConfigError
from export.networks.network import SCORER, Network
from export.recipe import NetworkSettings, Recipe

OUTPUTS = ("negative-log-likelihood",)
LARGEST_LOG_SCALE = 5.0
"""Alpha bends towards plus and minus this: a band that never stirs in training would else drive it to minus infinity,
and the likelihood of the faintest stir with it."""


@dataclass(frozen=True)
class Settings(NetworkSettings):
    """Sizes of the flow, which the report does not tell: see `Flow`."""

    kind: str = "maf"
    embedding_size: int = 0
    stacked_frames: int = 5
    n_blocks: int = 4
    hidden_size: int = 512
    hidden_layers: int = 1

    @property
    def scorer_inputs(self) -> tuple[str, ...]:
        """See `NetworkSettings`."""
        return LOG_MEL, SECTION

    @property
    def outputs(self) -> tuple[str, ...]:
        """See `NetworkSettings`."""
        return OUTPUTS


class MaskedLinear(nn.Linear):
    """A linear layer some of whose weights are not there.

    mask: [n_out, n_in], 1 where there is a weight.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., n_in] -> [..., n_out]."""
        return functional.linear(x, self.weight * self.mask, self.bias)

    def plain(self) -> nn.Linear:
        """The same function without a mask to apply."""
        layer = nn.Linear(self.in_features, self.out_features, dtype=self.weight.dtype)
        with torch.no_grad():
            layer.weight.copy_(self.weight * self.mask)
            layer.bias.copy_(self.bias)
        return layer.requires_grad_(False)


class Made(nn.Module):
    """Mean and log scale of each number, given the numbers before it and the section.

    size: numbers in a point. n_sections: width of the condition. hidden_size, hidden_layers: of the perceptron.
    backwards: "before" means after, in the point's own order.

    Hidden degrees start at 0, not at 1 as usual: such units see the section only, and without them the first number's
    distribution could not depend on it.
    """

    def __init__(self, size: int, n_sections: int, hidden_size: int, hidden_layers: int, backwards: bool) -> None:
        super().__init__()
        order = torch.arange(1, size + 1)
        order = order.flip(0) if backwards else order
        hidden = torch.arange(hidden_size) * size // hidden_size
        self.first = MaskedLinear(hidden[:, None] >= order)
        self.condition = nn.Linear(n_sections, hidden_size, bias=False)
        self.inner = nn.ModuleList(MaskedLinear(hidden[:, None] >= hidden) for _ in range(hidden_layers - 1))
        self.mean, self.log_scale = (MaskedLinear(order[:, None] > hidden) for _ in range(2))
        for layer in (self.mean, self.log_scale):  # the flow begins as the identity
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, sections: Tensor) -> tuple[Tensor, Tensor]:
        """[n, points, size] and [n, n_sections] -> mu and alpha, [n, points, size] each."""
        hidden = torch.relu(self.first(x) + self.condition(sections)[:, None])
        for layer in self.inner:
            hidden = torch.relu(layer(hidden))
        alpha = LARGEST_LOG_SCALE * torch.tanh(self.log_scale(hidden) / LARGEST_LOG_SCALE)
        return self.mean(hidden), alpha


class Flow(Network):
    """Log-mel windows and their section in, negative log-likelihood out.

    n_mels: bands of a frame. stacked_frames: neighbouring frames a point is made of.
    n_sections: classes the likelihood is conditional on.
    n_blocks: MADEs in a row. hidden_size, hidden_layers: of each of them.
    Raises ConfigError for impossible sizes.
    """

    def __init__(
        self,
        *,
        n_mels: int,
        n_sections: int,
        stacked_frames: int = 5,
        n_blocks: int = 4,
        hidden_size: int = 512,
        hidden_layers: int = 1,
    ) -> None:
        super().__init__()
        if min(n_mels, n_sections, stacked_frames, n_blocks, hidden_size, hidden_layers) < 1:
            raise ConfigError(
                f"model: stacked_frames {stacked_frames}, n_blocks {n_blocks}, hidden_size {hidden_size}, "
                f"hidden_layers {hidden_layers}, the number of bands ({n_mels}) and of sections ({n_sections}) "
                "must be above 0"
            )
        self.stacked_frames, self.size = stacked_frames, stacked_frames * n_mels
        self.n_sections = n_sections
        self.blocks = nn.ModuleList(
            Made(self.size, n_sections, hidden_size, hidden_layers, backwards=bool(i % 2)) for i in range(n_blocks)
        )

    def points(self, log_mel: Tensor) -> Tensor:
        """[n, 1, frames, n_mels] -> every run of neighbouring frames, [n, frames - stacked_frames + 1, size]."""
        frames = log_mel.squeeze(1)
        n_points = frames.shape[1] - self.stacked_frames + 1
        return torch.cat([frames[:, i : i + n_points] for i in range(self.stacked_frames)], dim=2)

    def transformed(self, points: Tensor, sections: Tensor) -> tuple[Tensor, Tensor]:
        """Points [n, k, size] and sections [n, n_sections] -> u [n, k, size], the logarithm of the Jacobian's
        determinant [n, k]."""
        log_determinant = torch.zeros_like(points[..., 0])
        for block in self.blocks:
            mean, alpha = block(points, sections)
            points = (points - mean) * torch.exp(-alpha)
            log_determinant = log_determinant - alpha.sum(dim=2)
        return points, log_determinant

    def log_density(self, points: Tensor, sections: Tensor) -> Tensor:
        """Points [n, k, size] and sections [n, n_sections] -> natural logarithms of their densities, [n, k]."""
        u, log_determinant = self.transformed(points, sections)
        return log_determinant - 0.5 * u.square().sum(dim=2) - 0.5 * self.size * math.log(2.0 * math.pi)

    def forward(self, log_mel: Tensor, sections: Tensor) -> Tensor:
        """[n, 1, frames, n_mels] normalised and [n, n_sections] one-hot -> [n, 1], the mean over the window's points
        of -log p, in nats."""
        return -self.log_density(self.points(log_mel), sections).mean(dim=1, keepdim=True)

    def graphs(self) -> dict[str, nn.Module]:
        """See `Network`."""
        return {SCORER: self.without_masks()}

    def without_masks(self) -> Flow:
        """A copy that computes the same with plain layers: what is exported."""
        plain = copy.deepcopy(self).eval()
        for module in list(plain.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, MaskedLinear):
                    setattr(module, name, child.plain())
        return plain


def build(recipe: Recipe) -> Flow:
    """See `export.networks.registry`."""
    settings = recipe.model
    assert isinstance(settings, Settings)
    if settings.embedding_size:
        raise ConfigError(f"model.embedding_size is {settings.embedding_size}, but a flow only scores: leave it at 0")
    if recipe.contract.window_frames < settings.stacked_frames:
        raise ConfigError(
            f"model.stacked_frames {settings.stacked_frames} is above contract.window_frames "
            f"{recipe.contract.window_frames}"
        )
    return Flow(
        n_mels=recipe.features.n_mels,
        n_sections=len(recipe.model_contract().sections),
        stacked_frames=settings.stacked_frames,
        n_blocks=settings.n_blocks,
        hidden_size=settings.hidden_size,
        hidden_layers=settings.hidden_layers,
    )

"""MobileFaceNet (Chen et al. 2018, arXiv 1804.07573) over log-mel windows, with ReLU6 so that it quantises whole;
the paper's own PReLU can be trained too and is rewritten on export (`export.networks.rewrite`).

Two layer tables: the paper's own, and the shorter one used by ST-gram (Liu et al. 2022) for machine sound.
"""

from __future__ import annotations

from torch import Tensor, nn

from edge_asd.errors import ConfigError
from export.networks.network import Network
from export.recipe import ModelSettings, Recipe

Settings = ModelSettings

LAYER_TABLES: dict[str, tuple[tuple[int, int, int, int], ...]] = {
    "original": ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1)),
    "stgram": ((2, 128, 2, 2), (4, 128, 2, 2), (4, 128, 2, 2)),
}
"""Rows of bottlenecks: (expansion t, output channels c, repeats n, stride of the first s)."""
STEM_CHANNELS, HEAD_CHANNELS = 64, 512
CHANNEL_STEP = 8
ACTIVATIONS = ("relu6", "prelu")


def scaled(channels: int, width: float) -> int:
    """`channels` times the width multiplier, rounded to a whole number of vector lanes."""
    return max(CHANNEL_STEP, round(channels * width / CHANNEL_STEP) * CHANNEL_STEP)


def _conv(
    n_in: int,
    n_out: int,
    kernel: int | tuple[int, int] = 1,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: str = "linear",
) -> nn.Sequential:
    """Convolution, BatchNorm and activation. A kernel of 3 keeps the size, a pair pools it."""
    padding = 1 if kernel == 3 else 0
    layers: list[nn.Module] = [
        nn.Conv2d(n_in, n_out, kernel, stride=stride, padding=padding, groups=groups, bias=False),
        nn.BatchNorm2d(n_out),
    ]
    if activation != "linear":
        layers.append(nn.ReLU6() if activation == "relu6" else nn.PReLU(n_out))
    return nn.Sequential(*layers)


class Bottleneck(nn.Module):
    """Inverted residual: 1x1 expansion, 3x3 depthwise, linear 1x1; added to its input where the shapes agree."""

    def __init__(self, n_in: int, n_out: int, expansion: int, stride: int, activation: str) -> None:
        super().__init__()
        hidden = n_in * expansion
        self.residual = stride == 1 and n_in == n_out
        self.layers = nn.Sequential(
            _conv(n_in, hidden, activation=activation),
            _conv(hidden, hidden, 3, stride=stride, groups=hidden, activation=activation),
            _conv(hidden, n_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[batch, n_in, h, w] -> [batch, n_out, h / stride, w / stride]."""
        return x + self.layers(x) if self.residual else self.layers(x)


class MobileFaceNet(Network):
    """Log-mel window in, embedding out.

    window_frames, n_mels: size of the input; the last, global depthwise convolution spans what is left of it (1/16).
    embedding_size: numbers in the embedding.
    table: a key of `LAYER_TABLES`.
    width: multiplier of every hidden channel count.
    activation: "relu6", or "prelu" with a slope a channel.
    channels: of the input; 2 where a learned picture of the waveform stands beside the log-mel.
    """

    def __init__(
        self,
        *,
        window_frames: int,
        n_mels: int,
        embedding_size: int,
        table: str = "stgram",
        width: float = 1.0,
        activation: str = "relu6",
        channels: int = 1,
    ) -> None:
        super().__init__()
        if table not in LAYER_TABLES:
            raise ConfigError(f"model.table {table!r} is none of {', '.join(LAYER_TABLES)}")
        if activation not in ACTIVATIONS:
            raise ConfigError(f"model.activation {activation!r} is none of {', '.join(ACTIVATIONS)}")
        if width <= 0 or embedding_size <= 0 or window_frames < 16 or n_mels < 16:
            raise ConfigError(
                f"model: width {width} and embedding_size {embedding_size} must be above 0, "
                f"window_frames {window_frames} and n_mels {n_mels} at least 16"
            )
        stem = scaled(STEM_CHANNELS, width)
        blocks: list[nn.Module] = [
            _conv(channels, stem, 3, stride=2, activation=activation),
            _conv(stem, stem, 3, groups=stem, activation=activation),
        ]
        n_in, height, breadth = stem, -(-window_frames // 2), -(-n_mels // 2)
        for expansion, n_out, repeats, first_stride in LAYER_TABLES[table]:
            for i in range(repeats):
                stride = first_stride if i == 0 else 1
                blocks.append(Bottleneck(n_in, scaled(n_out, width), expansion, stride, activation))
                n_in, height, breadth = scaled(n_out, width), -(-height // stride), -(-breadth // stride)
        head = scaled(HEAD_CHANNELS, width)
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            _conv(n_in, head, activation=activation),
            _conv(head, head, (height, breadth), groups=head),
            _conv(head, embedding_size),
            nn.Flatten(),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, channels, window_frames, n_mels] normalised -> [batch, embedding_size]."""
        return self.head(self.blocks(log_mel))


def build(recipe: Recipe) -> MobileFaceNet:
    """See `export.networks.registry`."""
    settings = recipe.model
    assert isinstance(settings, ModelSettings)
    return MobileFaceNet(
        window_frames=recipe.contract.window_frames,
        n_mels=recipe.features.n_mels,
        embedding_size=settings.embedding_size,
        table=settings.table,
        width=settings.width,
        activation=settings.activation,
    )

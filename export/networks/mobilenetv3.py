"""MobileNetV3 (Howard et al. 2019, arXiv 1905.02244) with the names PyTorch Image Models gives its parts.

So that weights published there (timm's `mobilenetv3_large_100`, `mobilenetv3_small_100`) load as they are, and nothing
of that library is needed. The table rows are the paper's Tables 1 and 2.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_asd.errors import ConfigError, DataError

RELU, HARD_SWISH = "relu", "hard_swish"
_Row = tuple[int, int, int, float, int, bool, str]
TABLES: dict[str, tuple[tuple[_Row, ...], ...]] = {
    "large": (
        ((1, 3, 1, 1, 16, False, RELU),),
        ((1, 3, 2, 4, 24, False, RELU), (1, 3, 1, 3, 24, False, RELU)),
        ((3, 5, 2, 3, 40, True, RELU),),
        (
            (1, 3, 2, 6, 80, False, HARD_SWISH),
            (1, 3, 1, 2.5, 80, False, HARD_SWISH),
            (2, 3, 1, 2.3, 80, False, HARD_SWISH),
        ),
        ((2, 3, 1, 6, 112, True, HARD_SWISH),),
        ((3, 5, 2, 6, 160, True, HARD_SWISH),),
    ),
    "small": (
        ((1, 3, 2, 1, 16, True, RELU),),
        ((1, 3, 2, 4.5, 24, False, RELU), (1, 3, 1, 3.67, 24, False, RELU)),
        ((1, 5, 2, 4, 40, True, HARD_SWISH), (2, 5, 1, 6, 40, True, HARD_SWISH)),
        ((2, 5, 1, 3, 48, True, HARD_SWISH),),
        ((3, 5, 2, 6, 96, True, HARD_SWISH),),
    ),
}  # fmt: skip
"""Stages of rows: repeats, kernel, stride of the first, expansion, output channels, whether it weighs channels,
activation."""
LAST = {"large": (960, 1280), "small": (576, 1024)}
"""Channels of the last convolution, features after the pooling."""
STEM = 16
STEM_WEIGHT = "conv_stem.weight"
PUBLISHED = {
    "large": "timm's mobilenetv3_large_100.ra_in1k (Hugging Face: timm/mobilenetv3_large_100.ra_in1k)",
    "small": "timm's mobilenetv3_small_100.lamb_in1k (Hugging Face: timm/mobilenetv3_small_100.lamb_in1k)",
}


def divisible(channels: float, step: int = 8) -> int:
    """The multiple of `step` nearest to `channels`, never more than a tenth below it."""
    rounded = max(step, int(channels + step / 2) // step * step)
    return rounded + step if rounded < 0.9 * channels else rounded


class SqueezeExcite(nn.Module):
    """Channels weighed by what the whole picture holds of them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, divisible(channels / 4), 1)
        self.conv_expand = nn.Conv2d(divisible(channels / 4), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels, h, w] -> the same shape."""
        squeezed = functional.relu(self.conv_reduce(x.mean((2, 3), keepdim=True)))
        return x * functional.hardsigmoid(self.conv_expand(squeezed))


class Separable(nn.Module):
    """A row's block without expansion: depthwise, perhaps weighing, 1x1; added to its input where the shapes agree."""

    def __init__(self, n_in: int, row: _Row, n_out: int, stride: int) -> None:
        super().__init__()
        _, kernel, _, _, _, weighs, self.activation = row
        self.residual = stride == 1 and n_in == n_out
        self.conv_dw = nn.Conv2d(n_in, n_in, kernel, stride, kernel // 2, groups=n_in, bias=False)
        self.bn1 = nn.BatchNorm2d(n_in)
        self.se = SqueezeExcite(n_in) if weighs else nn.Identity()
        self.conv_pw = nn.Conv2d(n_in, n_out, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """[n, n_in, h, w] -> [n, n_out, h / stride, w / stride]."""
        out = self.bn2(self.conv_pw(self.se(_activated(self.bn1(self.conv_dw(x)), self.activation))))
        return x + out if self.residual else out


class Inverted(nn.Module):
    """A row with expansion: 1x1, depthwise, perhaps weighing, 1x1; added to its input where the shapes agree."""

    def __init__(self, n_in: int, row: _Row, n_out: int, stride: int) -> None:
        super().__init__()
        _, kernel, _, expansion, _, weighs, self.activation = row
        hidden = divisible(n_in * expansion)
        self.residual = stride == 1 and n_in == n_out
        self.conv_pw = nn.Conv2d(n_in, hidden, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv_dw = nn.Conv2d(hidden, hidden, kernel, stride, kernel // 2, groups=hidden, bias=False)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.se = SqueezeExcite(hidden) if weighs else nn.Identity()
        self.conv_pwl = nn.Conv2d(hidden, n_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """[n, n_in, h, w] -> [n, n_out, h / stride, w / stride]."""
        out = _activated(self.bn1(self.conv_pw(x)), self.activation)
        out = self.se(_activated(self.bn2(self.conv_dw(out)), self.activation))
        out = self.bn3(self.conv_pwl(out))
        return x + out if self.residual else out


class LastConv(nn.Module):
    """1x1 convolution, BatchNorm, hard swish."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """[n, n_in, h, w] -> [n, n_out, h, w]."""
        return functional.hardswish(self.bn1(self.conv(x)))


class MobileNetV3(nn.Module):
    """A picture of any size in, embedding out.

    table: "large" or "small". width: multiplier of the channels. channels: of the picture.
    """

    def __init__(self, *, channels: int, embedding_size: int, table: str = "large", width: float = 1.0) -> None:
        super().__init__()
        if table not in TABLES:
            raise ConfigError(f"model.table {table!r} is none of {', '.join(TABLES)}")
        if width <= 0.0 or embedding_size < 1:
            raise ConfigError(f"model: width {width} and embedding_size {embedding_size} must be above 0")
        self.table, self.width = table, width
        n_in = STEM if width < 0.75 else divisible(STEM * width)  # timm keeps the stem of its narrow ones whole
        self.conv_stem = nn.Conv2d(channels, n_in, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_in)
        stages: list[nn.Module] = []
        for rows in TABLES[table]:
            blocks: list[nn.Module] = []
            for row in rows:
                repeats, _, first_stride, expansion, out, _, _ = row
                for i in range(repeats):
                    kind = Separable if expansion == 1 else Inverted
                    blocks.append(kind(n_in, row, divisible(out * width), first_stride if i == 0 else 1))
                    n_in = divisible(out * width)
            stages.append(nn.Sequential(*blocks))
        last, features = LAST[table]
        stages.append(nn.Sequential(LastConv(n_in, divisible(last * width))))
        self.blocks = nn.Sequential(*stages)
        self.conv_head = nn.Conv2d(divisible(last * width), features, 1)
        self.classifier = nn.Linear(features, embedding_size)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, picture: Tensor) -> Tensor:
        """[n, channels, h, w] -> [n, embedding_size]."""
        x = functional.hardswish(self.bn1(self.conv_stem(picture)))
        x = self.blocks(x).mean((2, 3), keepdim=True)
        return self.classifier(functional.hardswish(self.conv_head(x)).flatten(1))

    def load_published(self, weights: Mapping[str, Tensor]) -> None:
        """Take over timm's weights, all but the classifier's. The stem's, made for three colours, are repeated over the
        channels and scaled so that the sum over them stays.

        Raises DataError for weights of another network.
        """
        if self.width != 1.0:
            raise DataError(f"published weights are of width 1, the recipe's network of width {self.width}")
        own = self.state_dict()
        wanted = {name for name in own if not name.startswith("classifier.")}
        given = {name: weights[name] for name in wanted if name in weights}
        missing = sorted(wanted - set(given) - {name for name in wanted if name.endswith("num_batches_tracked")})
        if missing:
            raise DataError(
                f"weights: {missing[0]} is missing: not of MobileNetV3 {self.table}",
                remedy=f"take {PUBLISHED[self.table]}",
            )
        stem, channels = given[STEM_WEIGHT], own[STEM_WEIGHT].shape[1]
        if stem.shape[1] != channels:
            repeats = -(-channels // stem.shape[1])
            given[STEM_WEIGHT] = stem.repeat(1, repeats, 1, 1)[:, :channels] * (stem.shape[1] / channels)
        for name, value in given.items():
            if value.shape != own[name].shape:
                raise DataError(
                    f"weights: {name} is {list(value.shape)}, expected {list(own[name].shape)}",
                    remedy=f"take {PUBLISHED[self.table]}",
                )
        self.load_state_dict(given, strict=False)


def _activated(x: Tensor, name: str) -> Tensor:
    return functional.relu(x) if name == RELU else functional.hardswish(x)


def read_weights(path: str) -> dict[str, Tensor]:
    """A state dict from a `.safetensors` file or a torch one (`.pth`, `.bin`), plain or under "state_dict" or "model".

    Raises DataError for a file that holds none.
    """
    try:
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            return dict(load_file(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise DataError(f"{path}: no weights in it: {error}") from error
    except Exception as error:  # pickle's and safetensors' own, which share no base
        raise DataError(f"{path}: no weights in it: {type(error).__name__}") from error
    for key in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise DataError(f"{path}: not a state dict")
    return found

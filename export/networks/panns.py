"""PANNs ResNet38 (Kong et al. 2020, arXiv 1912.10211) as a frozen listener: the means of all its residual blocks.

Layers are named as in the published file, so that its state dict loads as it is. What stands behind the last block
there (`conv_block_after1`, `fc1`, `fc_audioset`) serves AudioSet's classes only and is never built.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_asd.contract import LogMelSpec
from edge_asd.errors import ConfigError, DataError, MissingInputError
from edge_asd.frontend import mel_weights

FRONT_END = LogMelSpec(rate_hz=32000, n_fft=1024, hop_samples=320, n_mels=64, fmin_hz=50.0, fmax_hz=14000.0)
"""What the published weights listen to: 10 log10 of the power in Slaney's bands, nothing below 1e-10.

Theirs mirrors the sound at the ends of a clip where ours pads with zeros: two of 1001 frames differ.
"""
PUBLISHED_NAME = "ResNet38_mAP=0.434.pth"
PUBLISHED_AT = "https://zenodo.org/record/3987831"
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""(channels, residual blocks) of each stage; all but the first begin by halving time and frequency."""
LEAST_WIDTH = 1 / 16
UNUSED = (
    "spectrogram_extractor.",
    "logmel_extractor.",
    "spec_augmenter.",
    "conv_block_after1.",
    "fc1.",
    "fc_audioset.",
)
MEL_KEY = "logmel_extractor.melW"


def _conv3x3(n_in: int, n_out: int) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)


class Stem(nn.Module):
    """Two 3x3 convolutions with BatchNorm and ReLU, then the mean of 2x2."""

    def __init__(self, n_out: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _conv3x3(1, n_out), _conv3x3(n_out, n_out)
        self.bn1, self.bn2 = nn.BatchNorm2d(n_out), nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 1, h, w] -> [batch, n_out, h // 2, w // 2]."""
        x = torch.relu(self.bn1(self.conv1(x)))
        return functional.avg_pool2d(torch.relu(self.bn2(self.conv2(x))), 2)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions added to the input; where it halves, means of 2x2 go before both ways."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _conv3x3(n_in, n_out), _conv3x3(n_out, n_out)
        self.bn1, self.bn2 = nn.BatchNorm2d(n_out), nn.BatchNorm2d(n_out)
        self.downsample: nn.Module | None = None
        if n_in != n_out:
            self.downsample = nn.Sequential(
                nn.AvgPool2d(2), nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[batch, n_in, h, w] -> [batch, n_out, h, w], or half of both sizes."""
        around = x if self.downsample is None else self.downsample(x)
        inner = x if self.downsample is None else functional.avg_pool2d(x, 2)
        inner = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(inner)))))
        return torch.relu(inner + around)


class ResNet38(nn.Module):
    """Log-mel in dB in, the mean over time and frequency of every residual block's output out (report eq. 1 and 2).

    stages: how many of the four stages are computed; the published weights serve for any.
    width: multiplier of all channel counts; the published weights need 1.
    feature_size: 3776 = 3 x 64 + 4 x 128 + 6 x 256 + 3 x 512 with all stages at width 1.

    It stays in eval mode and takes no gradient, whatever holds it is told. Raises ConfigError for impossible sizes.
    """

    def __init__(self, *, n_mels: int = 64, stages: int = 4, width: float = 1.0) -> None:
        super().__init__()
        if not 1 <= stages <= len(STAGES) or not width >= LEAST_WIDTH or n_mels < 2**stages:
            raise ConfigError(
                f"model: stages {stages} must be 1 to {len(STAGES)}, width {width} at least {LEAST_WIDTH} and n_mels "
                f"{n_mels} at least 2 to the power of stages, for each halves the bands"
            )
        channels = [round(n * width) for n, _ in STAGES[:stages]]
        self.bn0 = nn.BatchNorm2d(n_mels)
        self.conv_block1 = Stem(channels[0])
        self.resnet = nn.Module()
        n_in, self.feature_size = channels[0], 0
        for i, (n_out, (_, repeats)) in enumerate(zip(channels, STAGES, strict=False), start=1):
            blocks = [BasicBlock(n_in if k == 0 else n_out, n_out) for k in range(repeats)]
            self.resnet.add_module(f"layer{i}", nn.Sequential(*blocks))
            n_in, self.feature_size = n_out, self.feature_size + repeats * n_out
        self.requires_grad_(False)
        self._settle()

    def train(self, mode: bool = True) -> ResNet38:
        """Stay in eval mode: the listener is never trained."""
        return super().train(False)

    def forward(self, log_mel_db: Tensor) -> Tensor:
        """[batch, 1, frames, n_mels] in dB -> [batch, feature_size]."""
        x = self.conv_block1(self._normalised(log_mel_db))
        means = []
        for stage in self.resnet.children():
            for block in stage.children():
                x = block(x)
                means.append(x.mean(dim=(2, 3)))
        return torch.cat(means, dim=1)

    def _normalised(self, log_mel_db: Tensor) -> Tensor:
        """The first BatchNorm, whose channels are the mel bands, as one product and one sum."""
        norm = self.bn0
        assert norm.running_mean is not None and norm.running_var is not None
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return log_mel_db * factor + (norm.bias - norm.running_mean * factor)

    @torch.no_grad()
    def _settle(self) -> None:
        """Random weights that keep the scale of what passes through: every BatchNorm takes its statistics from noise
        of a plausible level and colour. Published weights overwrite all of it."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        assert self.bn0.running_mean is not None and self.bn0.running_var is not None
        self.bn0.running_mean.fill_(-40.0)
        self.bn0.running_var.fill_(15.0**2)
        norms = [m for m in self.modules() if isinstance(m, nn.BatchNorm2d) and m is not self.bn0]
        super().train(True)
        for norm in norms:
            norm.momentum = None  # a plain mean
        n_mels = self.bn0.num_features
        colour = 10.0 * torch.randn(8, 1, 1, n_mels).cumsum(dim=3) / n_mels**0.5
        self(-40.0 + colour + 5.0 * torch.randn(8, 1, 64, n_mels))
        for norm in norms:
            norm.momentum = 0.1
        self.eval()


def load_published(network: ResNet38, path: Path, features: LogMelSpec) -> None:
    """Load the published state dict into the network, as it is or as the "model" of a checkpoint.

    features: the front end that will feed it, checked against the filter bank in the file.
    Raises MissingInputError (no file), DataError (damaged, or another network's: what does not fit is named),
    ConfigError (the network or the front end was set to something the weights are not for).
    """
    state = _read(path)
    if MEL_KEY in state:
        _check_bands(state[MEL_KEY], features, path)
    wanted = network.state_dict()
    strange = [
        key for key in state if key not in wanted and not key.startswith(UNUSED) and not _of_a_later_stage(key, wanted)
    ]
    missing = [key for key in wanted if key not in state]
    if missing or strange:
        raise DataError(
            f"{path}: not ResNet38: {_some(missing)} missing, {_some(strange)} unknown",
            remedy=f"give {PUBLISHED_NAME} as published at {PUBLISHED_AT}",
        )
    for key, value in wanted.items():
        if state[key].shape != value.shape:
            raise ConfigError(
                f"{path}: {key} is {list(state[key].shape)}, the network's {list(value.shape)}",
                remedy="published weights need model.width 1 and 64 mel bands",
            )
        if not torch.isfinite(state[key]).all():
            raise DataError(f"{path}: {key} holds numbers that are not finite", remedy="fetch the file again")
    network.load_state_dict({key: state[key] for key in wanted})


def _of_a_later_stage(key: str, wanted: Mapping[str, Any]) -> bool:
    """Whether a key belongs to a stage that a smaller network leaves out."""
    names = {f"resnet.layer{i}." for i in range(1, len(STAGES) + 1)}
    return any(key.startswith(name) and not any(w.startswith(name) for w in wanted) for name in names)


def _read(path: Path) -> dict[str, Tensor]:
    """The file's state dict; nothing in it can run code. Raises MissingInputError, DataError."""
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file", remedy=f"{PUBLISHED_NAME} is published at {PUBLISHED_AT}")
    # Checkpoints hold counters and indices of numpy's beside the weights: plain numbers, but refused by default.
    plain = [np.ndarray, np.dtype, *(type(np.dtype(kind)) for kind in ("float32", "float64", "int32", "int64"))]
    rebuilders: list[Any] = [np.array(0).__reduce__()[0], np.float64(0).__reduce__()[0]]
    named = [(f, f"numpy.core.multiarray.{f.__name__}") for f in rebuilders]
    allowed: list[Any] = [*plain, *rebuilders, *named]
    try:
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old containers are announced at length
            held = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, AttributeError) as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"{path}: no weights can be read from it ({why})",
            remedy=f"fetch {PUBLISHED_NAME} again from {PUBLISHED_AT}",
        ) from error
    if isinstance(held, Mapping) and isinstance(held.get("model"), Mapping):
        held = held["model"]
    if not isinstance(held, Mapping) or not all(isinstance(value, Tensor) for value in held.values()):
        raise DataError(f"{path}: holds no state dict", remedy=f"give {PUBLISHED_NAME} from {PUBLISHED_AT}")
    return dict(held)


def _check_bands(theirs: Tensor, features: LogMelSpec, path: Path) -> None:
    """Raise ConfigError where the weights were trained on other mel bands than the front end computes."""
    ours = torch.from_numpy(mel_weights(features))
    if theirs.shape != ours.shape or not torch.allclose(theirs, ours, rtol=1e-3, atol=1e-6):
        raise ConfigError(
            f"{path}: was trained on other mel bands than the recipe's {features.n_mels} of "
            f"{features.fmin_hz:g}-{features.fmax_hz:g} Hz at {features.rate_hz} Hz",
            remedy=f"published weights need {FRONT_END}",
        )


def _some(names: list[str]) -> str:
    """A few of the names, for an error line."""
    return f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}" if names else "none"

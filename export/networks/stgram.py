"""ST-gram (Liu et al. 2022, arXiv 2201.05510): log-mel and a learned picture of the waveform as two channels of one
picture, through MobileFaceNet or MobileNetV3; the systems `stgram-mfn`, `stgram-mnv3` and `mfn-dual`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_asd.contract import EMBEDDING, LOG_MEL, SECTION, WAVEFORM
from edge_asd.errors import ConfigError
from export.networks.losses import ArcFace
from export.networks.mobilefacenet import MobileFaceNet
from export.networks.mobilenetv3 import PUBLISHED, MobileNetV3, read_weights
from export.networks.network import EMBEDDER, SCORER, Network
from export.networks.tgram import TgramNet, stacked
from export.recipe import NetworkSettings, Recipe

BACKBONES = ("mobilefacenet", "mobilenetv3")
WEIGHTS = "mobilenetv3"
"""Name of the published weights that a MobileNetV3 can start from."""
FAR = 1e9
"""Taken from a logit that must not count."""


@dataclass(frozen=True)
class Settings(NetworkSettings):
    """Settings of kind "stgram".

    backbone: "mobilefacenet" or "mobilenetv3", which sees both channels. table: its layer table, "stgram" or "original"
        of the first, "large" or "small" of the second. width: multiplier of its channels. activation: of MobileFaceNet,
        "prelu" or "relu6".
    norm: over time in TgramNet: "layer", as published, for windows of one length; "instance" for any.
    scores: whether the classifier goes along as the scorer, as published: how unlike its own section a window sounds.
    """

    kind: str = "stgram"
    backbone: str = "mobilefacenet"
    table: str = "stgram"
    width: float = 1.0
    activation: str = "prelu"
    norm: str = "layer"
    scores: bool = True

    @property
    def inputs(self) -> tuple[str, ...]:
        return (LOG_MEL, WAVEFORM)

    @property
    def scorer_inputs(self) -> tuple[str, ...]:
        return (EMBEDDING, SECTION) if self.scores else ()

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("negative-log-likelihood",) if self.scores else ()


class StGram(Network):
    """Log-mel and waveform in, embedding out; `head` makes a score of it.

    backbone: takes [n, 2, frames, mels].
    """

    def __init__(self, tgram: TgramNet, backbone: MobileFaceNet | MobileNetV3, head: ArcFace | None) -> None:
        super().__init__()
        self.tgram, self.backbone, self.head = tgram, backbone, head
        if isinstance(backbone, MobileNetV3):
            self.published = {WEIGHTS: PUBLISHED[backbone.table]}

    def forward(self, log_mel: Tensor, waveform: Tensor) -> Tensor:
        """[n, 1, frames, mels] normalised and [n, samples] -> [n, embedding_size]."""
        return self.backbone(stacked(log_mel, self.tgram(waveform)))

    def own_head(self) -> ArcFace | None:
        """See `Network`."""
        return self.head

    def graphs(self) -> dict[str, nn.Module]:
        """See `Network`; the embedder's own part knows nothing of the classifier."""
        embedder = StGram(self.tgram, self.backbone, None)
        if self.head is None:
            return {EMBEDDER: embedder}
        return {EMBEDDER: embedder, SCORER: SectionSurprise(self.head)}

    def load_published(self, paths: Mapping[str, Path], note: Callable[[str], None]) -> None:
        """See `Network`."""
        if WEIGHTS in paths and isinstance(self.backbone, MobileNetV3):
            self.backbone.load_published(read_weights(str(paths[WEIGHTS])))


class SectionSurprise(nn.Module):
    """-log softmax of the section a window is said to be of, the margin of the training still applied, as published.

    Computed as log(1 + exp(best of the others - own)): a sound of its own section has a score near 0, where the plain
    logarithm of a share rounds to 0 exactly and tells clips apart no more.
    """

    def __init__(self, head: ArcFace) -> None:
        super().__init__()
        self.head = head

    def forward(self, embedding: Tensor, section: Tensor) -> Tensor:
        """[n, d] and one-hot [n, sections] -> [n, 1]."""
        cosines = self.head.cosines(embedding)
        own = (self.head.handicapped(cosines) * section).sum(dim=1, keepdim=True)
        others = torch.logsumexp(self.head.scale * cosines - FAR * section, dim=1, keepdim=True)
        return functional.softplus(others - self.head.scale * own)


def build(recipe: Recipe) -> StGram:
    """See `export.networks.registry`."""
    settings, features, frames = recipe.model, recipe.features, recipe.contract.window_frames
    assert isinstance(settings, Settings)
    tgram = TgramNet(
        bands=features.n_mels, frames=frames, n_fft=features.n_fft, hop_samples=features.hop_samples, norm=settings.norm
    )
    backbone: MobileFaceNet | MobileNetV3
    if settings.backbone == "mobilefacenet":
        backbone = MobileFaceNet(
            window_frames=frames,
            n_mels=features.n_mels,
            embedding_size=settings.embedding_size,
            table=settings.table,
            width=settings.width,
            activation=settings.activation,
            channels=2,
        )
    elif settings.backbone == "mobilenetv3":
        backbone = MobileNetV3(
            channels=2, embedding_size=settings.embedding_size, table=settings.table, width=settings.width
        )
    else:
        raise ConfigError(f"model.backbone {settings.backbone!r} is none of {', '.join(BACKBONES)}")
    return StGram(tgram, backbone, _head(recipe) if settings.scores else None)


def _head(recipe: Recipe) -> ArcFace:
    if recipe.head.kind != "arcface":
        raise ConfigError(
            f"model.scores needs head.kind arcface, not {recipe.head.kind!r}: the published score has its margin",
            remedy="or set model.scores to false and let a scorer compare embeddings",
        )
    # Before the recordings have named the sections, their number is not known: 1 stands for it.
    sections = max(1, len(recipe.contract.sections))
    return ArcFace(recipe.model.embedding_size, sections, recipe.head.scale, recipe.head.margin)

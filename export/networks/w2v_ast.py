"""wav2vec 2.0 and the Audio Spectrogram Transformer side by side (a DCASE 2024 Task 2 report, Kim et al.).

Each of two sub-systems hears the waveform twice: wav2vec 2.0 (Baevski et al. 2020, arXiv 2006.11477), its frames pooled
to a mean and a standard deviation, and the Audio Spectrogram Transformer (Gong et al. 2021, arXiv 2104.01778), of which
the class token is taken. These three vectors are stacked and a small CNN makes one of them. The sub-systems learn
different classes, and the embedding is a weighted mean of theirs.

The report leaves the CNN open; here: a convolution over the hidden axis from three channels to `fusion_channels`, batch
normalisation, ReLU, and a convolution to one channel.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edge_asd.contract import WAVEFORM
from edge_asd.errors import ConfigError, DataError, MissingInputError
from export.extra import need
from export.networks.kaldi import HOP_SAMPLES, RATE_HZ, KaldiFilterBank, frames_in
from export.networks.network import EMBEDDER, Network
from export.recipe import NetworkSettings, Recipe

if TYPE_CHECKING:
    from transformers import ASTModel, PretrainedConfig, Wav2Vec2Model

WAV2VEC2, AST = "wav2vec2", "ast"
PUBLISHED = {
    WAV2VEC2: "wav2vec 2.0 base, a directory with config.json and model.safetensors (Hugging Face: "
    "facebook/wav2vec2-base)",
    AST: "the Audio Spectrogram Transformer, a directory with config.json and model.safetensors (Hugging Face: "
    "MIT/ast-finetuned-audioset-10-10-0.4593)",
}
N_MELS = 128
FUSION_KERNEL = 3
LEAST_VARIANCE = 1e-7
POSITION_GROUPS = 16


@dataclass(frozen=True)
class Settings(NetworkSettings):
    """The published sizes are the defaults: wav2vec 2.0 base and the transformer trained on AudioSet.

    size, depth, heads, mlp_size: of both transformers (theirs are the same): hidden size, layers, attention heads,
        width of the perceptron. The embedding has `size` numbers.
    channels: of wav2vec 2.0's seven convolutions.
    ast_frames: frames of 10 ms the spectrogram transformer takes; sound behind them is not heard by it.
    attention_size: hidden units of the attention that pools wav2vec 2.0's frames.
    fusion_channels: hidden channels of the fusing CNN.
    share: w, the second sub-system's share of the embedding.
    """

    kind: str = "w2v-ast"
    embedding_size: int = 768
    size: int = 768
    depth: int = 12
    heads: int = 12
    mlp_size: int = 3072
    channels: int = 512
    ast_frames: int = 1024
    attention_size: int = 128
    fusion_channels: int = 32
    share: float = 0.62

    @property
    def inputs(self) -> tuple[str, ...]:
        """The waveform alone; the spectrogram is made in the graph."""
        return (WAVEFORM,)


class AttentiveStatistics(nn.Module):
    """Attentive statistics pooling (Okabe et al. 2018, arXiv 1803.10963): frames weigh by how telling they are.

    e = v' tanh(W h + b) + k; alpha = softmax(e) over the frames; mu = sum(alpha h);
    sigma = sqrt(sum(alpha h^2) - mu^2), where rounding must not take the root of less than nothing.
    """

    def __init__(self, size: int, attention_size: int) -> None:
        super().__init__()
        self.attend = nn.Linear(size, attention_size)
        self.judge = nn.Linear(attention_size, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """[n, frames, size] -> [n, 2, size]: mean and standard deviation."""
        weights = torch.softmax(self.judge(torch.tanh(self.attend(frames))), dim=1)
        mean = (weights * frames).sum(dim=1)
        variance = (weights * frames.square()).sum(dim=1) - mean.square()
        return torch.stack((mean, variance.clamp_min(LEAST_VARIANCE).sqrt()), dim=1)


class SubSystem(nn.Module):
    """Waveform in, embedding out: both transformers and the CNN that fuses what they heard."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.wav2vec2 = _wav2vec2(settings)
        self.pooling = AttentiveStatistics(settings.size, settings.attention_size)
        self.filter_bank = KaldiFilterBank(N_MELS, settings.ast_frames)
        self.ast = _ast(settings)
        channels, padding = settings.fusion_channels, FUSION_KERNEL // 2
        self.fusion = nn.Sequential(
            nn.Conv1d(3, channels, FUSION_KERNEL, padding=padding, bias=False),
            nn.BatchNorm1d(channels),
            nn.ReLU(),
            nn.Conv1d(channels, 1, FUSION_KERNEL, padding=padding),
        )

    def stacked(self, waveform: Tensor) -> Tensor:
        """[n, samples] in -1..1 -> [n, 3, size]: mean and deviation of wav2vec 2.0's frames, AST's class token."""
        # Its published weights were trained on sound of mean 0 and variance 1.
        mean, variance = waveform.mean(dim=1, keepdim=True), waveform.var(dim=1, unbiased=False, keepdim=True)
        levelled = (waveform - mean) / torch.sqrt(variance + LEAST_VARIANCE)
        frames = self.wav2vec2(levelled).last_hidden_state
        token = self.ast(self.filter_bank(waveform)).last_hidden_state[:, :1]
        return torch.cat((self.pooling(frames), token), dim=1)

    def forward(self, waveform: Tensor) -> Tensor:
        """[n, samples] -> [n, size]."""
        return self.fusion(self.stacked(waveform)).squeeze(1)


class W2vAst(Network):
    """Waveform in, weighted mean of two sub-systems' embeddings out.

    settings: sizes and share. Raises ConfigError for impossible ones, UnavailableError without transformers.
    """

    published = PUBLISHED

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.share = settings.share
        self.first, self.second = SubSystem(settings), SubSystem(settings)

    def both(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """[n, samples] -> the embeddings of sub-system 1 (machine types) and 2 (machines and attributes), [n, size]."""
        return self.first(waveform), self.second(waveform)

    def forward(self, waveform: Tensor) -> Tensor:
        """[n, samples] -> [n, size]: (1 - w) x sub-system 1 + w x sub-system 2."""
        first, second = self.both(waveform)
        return (1.0 - self.share) * first + self.share * second

    def graphs(self) -> dict[str, nn.Module]:
        """One graph, its weight normalisation multiplied out."""
        plain = copy.deepcopy(self).eval()
        for sub_system in (plain.first, plain.second):
            positions = sub_system.wav2vec2.encoder.pos_conv_embed
            positions.conv = _plain(positions.conv)
        return {EMBEDDER: plain}

    def load_published(self, paths: Mapping[str, Path], note: Callable[[str], None]) -> None:
        """Both sub-systems start from the same directories, each as `transformers` saves a model.

        Raises MissingInputError (no such directory, no config.json), DataError (another kind or size of model, weights
        that cannot be read).
        """
        for name, path in paths.items():
            loaded = _from_directory(name, path, getattr(self.first, name).config)
            for sub_system in (self.first, self.second):
                getattr(sub_system, name).load_state_dict(loaded.state_dict())
            note(f"{name}: weights of {path}")


def _plain(conv: nn.Conv1d) -> nn.Conv1d:
    """The same convolution with a weight of its own. (Taking the parametrization off would take it off the class, which
    a copy shares with its original.)"""
    made = nn.Conv1d(
        conv.in_channels, conv.out_channels, conv.kernel_size[0], padding=conv.padding[0], groups=conv.groups
    )
    made.weight = nn.Parameter(conv.weight.detach().clone(), requires_grad=False)
    made.bias = conv.bias
    return made


def _wav2vec2(settings: Settings) -> Wav2Vec2Model:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    return Wav2Vec2Model(
        Wav2Vec2Config(
            hidden_size=settings.size,
            num_hidden_layers=settings.depth,
            num_attention_heads=settings.heads,
            intermediate_size=settings.mlp_size,
            conv_dim=(settings.channels,) * 7,
            num_conv_pos_embedding_groups=POSITION_GROUPS,
            attn_implementation="eager",
            **_AS_DEPENDABLE,
        )
    )


_AS_DEPENDABLE = {"apply_spec_augment": False, "layerdrop": 0.0}
"""Both draw from generators of their own, so that a training gone on with would not be the same training."""


def _ast(settings: Settings) -> ASTModel:
    from transformers import ASTConfig, ASTModel

    return ASTModel(
        ASTConfig(
            hidden_size=settings.size,
            num_hidden_layers=settings.depth,
            num_attention_heads=settings.heads,
            intermediate_size=settings.mlp_size,
            max_length=settings.ast_frames,
            num_mel_bins=N_MELS,
            attn_implementation="eager",
        )
    )


_MUST_AGREE = {
    WAV2VEC2: ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "conv_dim",
               "conv_kernel", "conv_stride", "feat_extract_norm", "do_stable_layer_norm"),
    AST: ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "max_length",
          "num_mel_bins", "patch_size", "time_stride", "frequency_stride"),
}  # fmt: skip


def _from_directory(name: str, path: Path, ours: PretrainedConfig) -> Any:
    """A model as published, of the sizes of `ours`."""
    from transformers import ASTModel, Wav2Vec2Model

    if not (path / "config.json").is_file():
        raise MissingInputError(f"weights {name}: {path}: no config.json there", remedy=f"give {PUBLISHED[name]}")
    theirs: dict[str, Any]
    try:
        theirs = json.loads((path / "config.json").read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"weights {name}: {path / 'config.json'}: not JSON ({error})") from error
    wanted = json.loads(ours.to_json_string(use_diff=False))
    for key in _MUST_AGREE[name]:
        if key in theirs and theirs[key] != wanted[key]:
            raise DataError(
                f"weights {name}: {path}: {key} is {theirs[key]}, this recipe's network has {wanted[key]}",
                remedy=f"give {PUBLISHED[name]}",
            )
    kind = Wav2Vec2Model if name == WAV2VEC2 else ASTModel
    try:
        model, told = kind.from_pretrained(path, local_files_only=True, output_loading_info=True, **_LOADED_AS[name])
    except Exception as error:  # its loader raises whatever its layers raise
        raise DataError(f"weights {name}: {path}: {' '.join(str(error).split())}") from error
    # Masking is for its own training, so that vector may be absent; all else must be there.
    missing = [key for key in told["missing_keys"] if key != "masked_spec_embed"]
    if missing:
        raise DataError(
            f"weights {name}: {path}: {len(missing)} tensors are missing, such as {sorted(missing)[0]}",
            remedy=f"give {PUBLISHED[name]}",
        )
    return model


_LOADED_AS: dict[str, dict[str, Any]] = {WAV2VEC2: {"apply_spec_augment": False}, AST: {}}


def build(recipe: Recipe) -> W2vAst:
    """See `export.networks.registry`. Raises UnavailableError without transformers."""
    settings = recipe.model
    assert isinstance(settings, Settings)
    _check(settings, recipe)
    need(("transformers",), "systems")
    return W2vAst(settings)


def _check(settings: Settings, recipe: Recipe) -> None:
    """Raise ConfigError for sizes no network could have."""
    if settings.embedding_size != settings.size:
        raise ConfigError(f"model: embedding_size {settings.embedding_size} must be size ({settings.size})")
    least = (settings.size, settings.depth, settings.heads, settings.mlp_size, settings.channels)
    if min(*least, settings.attention_size, settings.fusion_channels) < 1:
        raise ConfigError("model: every size of w2v-ast must be above 0")
    if settings.size % settings.heads or settings.size % POSITION_GROUPS:
        raise ConfigError(
            f"model: size {settings.size} must be a multiple of heads {settings.heads} and of {POSITION_GROUPS}, the "
            "groups of wav2vec 2.0's positional convolution"
        )
    if not 0.0 <= settings.share <= 1.0:
        raise ConfigError(f"model.share is {settings.share}, must be 0 to 1")
    if recipe.features.rate_hz != RATE_HZ:
        raise ConfigError(f"features.rate_hz is {recipe.features.rate_hz}: both transformers hear {RATE_HZ} Hz")
    heard = frames_in(recipe.model_contract().window_samples)
    if settings.ast_frames < heard:
        raise ConfigError(
            f"model.ast_frames is {settings.ast_frames}, but a window has {heard} frames of "
            f"{1000 * HOP_SAMPLES // RATE_HZ} ms",
            remedy=f"set it to {heard} or more, or shorten contract.window_frames",
        )

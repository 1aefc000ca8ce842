"""PANNs ResNet38 as the embedder, a center-loss VAE over its features as the scorer (DCASE 2021 Task 2, Narita and
Tamamori)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from edge_asd.contract import EMBEDDING, SECTION, LogMelSpec
from edge_asd.errors import ConfigError
from export.networks import cl_vae
from export.networks.cl_vae import ClVae
from export.networks.network import EMBEDDER, SCORER, Network
from export.networks.panns import PUBLISHED_AT, PUBLISHED_NAME, ResNet38, load_published
from export.recipe import NetworkSettings, Recipe

WEIGHTS = "panns"
"""Name of the published weights in a recipe and on the command line."""


@dataclass(frozen=True)
class Settings(NetworkSettings):
    """Sizes of both parts.

    embedding_size: numbers the listener gives; follows from stages and width, and is checked.
    stages, width: of the listener, see `ResNet38`.
    hidden_size, hidden_layers, latent_size, centre_weight, centre_step: of the VAE, see `ClVae`.
    """

    kind: str = "panns-clvae"
    embedding_size: int = 3776
    stages: int = 4
    width: float = 1.0
    hidden_size: int = cl_vae.HIDDEN_SIZE
    hidden_layers: int = cl_vae.HIDDEN_LAYERS
    latent_size: int = cl_vae.LATENT_SIZE
    centre_weight: float = cl_vae.CENTRE_WEIGHT
    centre_step: float = cl_vae.CENTRE_STEP

    @property
    def scorer_inputs(self) -> tuple[str, ...]:
        """See `NetworkSettings`."""
        return EMBEDDING, SECTION

    @property
    def outputs(self) -> tuple[str, ...]:
        """See `NetworkSettings`."""
        return cl_vae.OUTPUTS


class PannsClVae(Network):
    """Log-mel in dB in, features out, by a listener that is never trained; the VAE behind it is (objective "cl-vae").

    listener: features of sound. vae: over its features. features: the front end that feeds the listener.
    """

    published: Mapping[str, str] = {WEIGHTS: f"{PUBLISHED_NAME}, published at {PUBLISHED_AT}"}

    def __init__(self, listener: ResNet38, vae: ClVae, features: LogMelSpec) -> None:
        super().__init__()
        self.listener, self.vae = listener, vae
        self._features = features

    def forward(self, log_mel_db: Tensor) -> Tensor:
        """[n, 1, frames, n_mels] in dB -> [n, features]."""
        return self.listener(log_mel_db)

    def graphs(self) -> dict[str, nn.Module]:
        """See `Network`."""
        return {EMBEDDER: self.listener, SCORER: self.vae}

    def load_published(self, paths: Mapping[str, Path], note: Callable[[str], None]) -> None:
        """See `Network`; also raises ConfigError for a front end or a width the weights are not for."""
        if WEIGHTS in paths:
            load_published(self.listener, paths[WEIGHTS], self._features)
            note(f"PANNs ResNet38 listens with the weights of {paths[WEIGHTS]}")


def build(recipe: Recipe) -> PannsClVae:
    """See `export.networks.registry`."""
    settings, seen = recipe.model, recipe.contract
    assert isinstance(settings, Settings)
    if (seen.input_mean, seen.input_offset_db, seen.input_scale_db) != ("fixed", 0.0, 1.0):
        raise ConfigError(
            f"contract: input_mean {seen.input_mean!r}, input_offset_db {seen.input_offset_db} and input_scale_db "
            f"{seen.input_scale_db} must be 'fixed', 0 and 1: PANNs hears plain dB"
        )
    listener = ResNet38(n_mels=recipe.features.n_mels, stages=settings.stages, width=settings.width)
    if settings.embedding_size != listener.feature_size:
        raise ConfigError(
            f"model.embedding_size is {settings.embedding_size}, but {settings.stages} stages of width "
            f"{settings.width} give {listener.feature_size} features: set that"
        )
    if recipe.contract.window_frames < 2**settings.stages:
        raise ConfigError(
            f"contract.window_frames {seen.window_frames} is below {2**settings.stages}: each stage halves them"
        )
    vae = ClVae(
        feature_size=listener.feature_size,
        n_sections=len(recipe.model_contract().sections),
        hidden_size=settings.hidden_size,
        hidden_layers=settings.hidden_layers,
        latent_size=settings.latent_size,
        centre_weight=settings.centre_weight,
        centre_step=settings.centre_step,
    )
    return PannsClVae(listener, vae, recipe.features)

"""The center-loss variational autoencoder of a DCASE 2021 Task 2 report (Narita and Tamamori), over feature vectors.

What the report leaves open follows the authors' public experiments: the reconstruction error is the mean over a clip's
features, the divergence the sum over the latent numbers, and a batch counts as the mean over its clips, so that one
number serves as a clip's loss and as its score. Equation (7) prints log(sigma) for the logarithm of the variance.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from edge_asd.errors import ConfigError

HIDDEN_SIZE, HIDDEN_LAYERS, LATENT_SIZE = 1024, 3, 512
CENTRE_WEIGHT, CENTRE_STEP = 150.0, 1.0
ENSEMBLE_SHARE = 0.01
OUTPUTS = ("equation-9", "equation-10", "ensemble")


def _fc(n_in: int, n_out: int) -> nn.Sequential:
    """Linear, BatchNorm, ReLU."""
    return nn.Sequential(nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU())


def _chain(sizes: list[int]) -> nn.Sequential:
    return nn.Sequential(*(layer for n_in, n_out in itertools.pairwise(sizes) for layer in _fc(n_in, n_out)))


class ClVae(nn.Module):
    """Features in, reconstruction and latent distribution out.

    feature_size: numbers in a feature vector, none below 0 (they come from behind a ReLU, as the reconstruction does).
    n_sections: classes, each with a centre in the space of the encoder's output.
    hidden_size, hidden_layers, latent_size: 1024, 3 and 512 in the report.
    centre_weight: lambda of eq. (8) and (10). centre_step: alpha of eq. (5).
    Raises ConfigError for impossible sizes.
    """

    centres: Tensor

    def __init__(
        self,
        *,
        feature_size: int,
        n_sections: int,
        hidden_size: int = HIDDEN_SIZE,
        hidden_layers: int = HIDDEN_LAYERS,
        latent_size: int = LATENT_SIZE,
        centre_weight: float = CENTRE_WEIGHT,
        centre_step: float = CENTRE_STEP,
    ) -> None:
        super().__init__()
        if min(feature_size, n_sections, hidden_size, hidden_layers, latent_size) < 1:
            raise ConfigError(
                f"model: hidden_size {hidden_size}, hidden_layers {hidden_layers} and latent_size {latent_size} must "
                f"be above 0, as must the number of features ({feature_size}) and sections ({n_sections})"
            )
        if centre_weight < 0 or not 0 < centre_step <= 1:
            raise ConfigError(
                f"model: centre_weight {centre_weight} is below 0 or centre_step {centre_step} not in 0..1"
            )
        self.centre_weight, self.centre_step = centre_weight, centre_step
        down = [feature_size, *[hidden_size] * hidden_layers, latent_size]
        self.encoder, self.decoder = _chain(down), _chain([latent_size, *down[::-1]])
        self.mean, self.log_variance = nn.Linear(latent_size, latent_size), nn.Linear(latent_size, latent_size)
        self.register_buffer("centres", torch.zeros(n_sections, latent_size))

    def terms(self, features: Tensor, sections: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Reconstruction error, divergence and center loss of every clip, each [n]: eq. (6), (7) and (3); and the
        encoder's output, [n, latent_size].

        features: [n, feature_size]. sections: [n, n_sections], one-hot (or shares of a mixture).
        In training mode the latent vector is drawn; in eval mode it is the mean, so that a score is no lottery.
        """
        encoded = self.encoder(features)
        mean, log_variance = self.mean(encoded), self.log_variance(encoded)
        latent = mean
        if self.training:
            latent = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        reconstruction = (features - self.decoder(latent)).square().mean(dim=1)
        divergence = -0.5 * (1.0 + log_variance - mean.square() - torch.exp(log_variance)).sum(dim=1)
        centre = 0.5 * (encoded - sections @ self.centres).square().sum(dim=1)
        return reconstruction, divergence, centre, encoded

    def loss(self, features: Tensor, sections: Tensor) -> dict[str, Tensor]:
        """The terms as means over the batch, and eq. (8) of them as "total". In training mode the centres, which take
        no gradient, then move as eq. (4) and (5) say."""
        *terms, encoded = self.terms(features, sections)
        reconstruction, divergence, centre = (term.mean() for term in terms)
        if self.training:
            self._move_centres(encoded.detach(), sections)
        return {
            "reconstruction": reconstruction,
            "divergence": divergence,
            "centre": centre,
            "total": reconstruction + divergence + self.centre_weight * centre,
        }

    @torch.no_grad()
    def _move_centres(self, encoded: Tensor, sections: Tensor) -> None:
        heard = sections.sum(dim=0)[:, None]
        self.centres -= self.centre_step * (heard * self.centres - sections.T @ encoded) / (1.0 + heard)

    def forward(self, features: Tensor, sections: Tensor) -> Tensor:
        """The scores of the report, [n, 3], named in `OUTPUTS`: eq. (9), eq. (10), and (9) + 0.01 x (10)."""
        reconstruction, divergence, centre, _ = self.terms(features, sections)
        without = reconstruction + divergence
        with_centre = without + self.centre_weight * centre
        return torch.stack((without, with_centre, without + ENSEMBLE_SHARE * with_centre), dim=1)

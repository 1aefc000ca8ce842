"""Making the sound of each section as likely as can be: what a flow is trained for."""

from __future__ import annotations

from torch import Tensor

from edge_asd.errors import ConfigError
from export.networks.flow import Flow
from export.networks.network import Network
from export.objectives.objective import Objective, one_hot_sections
from export.recipe import ObjectiveSettings, Recipe
from export.sound.batches import Batch

Settings = ObjectiveSettings


class Likelihood(Objective):
    """Losses "negative-log-likelihood", the score's mean in nats, and "total", the same for each number of a point, so
    that learning rates carry over between sizes."""

    def forward(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """See `Objective`."""
        assert isinstance(network, Flow)
        loss = network(*batch.inputs, one_hot_sections(batch, network.n_sections)).mean()
        return {"negative-log-likelihood": loss, "total": loss / network.size}


def build(recipe: Recipe, network: Network, n_classes: int) -> Likelihood:
    """See `export.objectives.registry`."""
    if not isinstance(network, Flow):
        raise ConfigError(f"objective.kind 'likelihood' needs model.kind 'maf', not {recipe.model.kind!r}")
    if recipe.augment.mixup_probability:
        raise ConfigError("augment.mixup_probability must be 0 for 'likelihood': a mixture is of no section")
    return Likelihood()

"""Telling classes apart, and following a teacher: each by the weight the recipe gives it."""

from __future__ import annotations

from torch import Tensor

from export.networks.losses import Head, build_head, distillation_loss, relation_loss
from export.networks.network import Network
from export.objectives.objective import Objective
from export.recipe import ObjectiveSettings, Recipe, TrainSettings
from export.sound.batches import Batch

Settings = ObjectiveSettings


class Classification(Objective):
    """Losses "distil", cosine distance to the teacher, "relation", the same within groups, and "identity", the head's;
    in eval mode also "accuracy", the share of windows whose class comes first. head: None where identity has no weight.
    """

    def __init__(self, settings: TrainSettings, head: Head | None) -> None:
        super().__init__()
        self._settings, self.head = settings, head

    def forward(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """See `Objective`."""
        settings, losses = self._settings, {}
        embeddings = network(*batch.inputs)
        total = embeddings.new_zeros(())
        if batch.targets is not None and settings.distil_weight:
            losses["distil"] = distillation_loss(embeddings, batch.targets)
            total = total + settings.distil_weight * losses["distil"]
        if batch.targets is not None and settings.relation_weight:
            losses["relation"] = relation_loss(embeddings, batch.targets, settings.windows_per_group)
            total = total + settings.relation_weight * losses["relation"]
        if self.head is not None:
            for_head = network.for_head(embeddings)
            losses["identity"] = self.head(for_head, batch.labels, batch.partners, batch.shares)
            total = total + settings.identity_weight * losses["identity"]
            if not self.training:
                found = self.head.class_cosines(for_head).argmax(dim=1)
                losses["accuracy"] = (found == batch.labels).float().mean()
        losses["total"] = total
        return losses


def build(recipe: Recipe, network: Network, n_classes: int) -> Classification:
    """See `export.objectives.registry`."""
    head = None
    if recipe.train.identity_weight:
        head = network.own_head() or build_head(recipe.head, recipe.model.embedding_size, n_classes)
    return Classification(recipe.train, head)

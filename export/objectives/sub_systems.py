"""What the wav2vec 2.0 + AST system learns (Kim et al., DCASE 2024 Task 2): one half tells machine types apart, the
other half machines and attributes. Neither loss reaches the other half: it is two trainings side by side."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edge_asd.errors import ConfigError
from export.networks.losses import Head, build_head
from export.networks.network import Network
from export.networks.w2v_ast import W2vAst
from export.objectives.objective import Objective
from export.recipe import NO_SECTIONS_YET, ObjectiveSettings, Recipe
from export.sound.batches import Batch


@dataclass(frozen=True)
class Settings(ObjectiveSettings):
    """Nothing to set: the heads are the recipe's `head`, the second's classes its `recordings.classes`."""

    kind: str = "sub-systems"

    @property
    def needs_sections(self) -> bool:
        """The machine types are read from the sections' names."""
        return True


class SubSystems(Objective):
    """Losses "machines", of sub-system 1, and "classes", of sub-system 2; in eval mode also the share of windows whose
    machine ("machine-accuracy") and class ("accuracy") come first.

    machine_of_section: int64 [sections], machine type of each of `Batches.sections`.
    """

    machine_of_section: Tensor

    def __init__(self, machines: Head, classes: Head, machine_of_section: Tensor) -> None:
        super().__init__()
        self.machines, self.classes = machines, classes
        self.register_buffer("machine_of_section", machine_of_section)

    def forward(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """See `Objective`. Raises ConfigError for sound whose clips name no machine."""
        assert isinstance(network, W2vAst)
        if batch.sections is None:
            raise ConfigError(
                "objective sub-systems: the clips do not say which machine they are of",
                remedy="give a data set named as in DCASE Task 2 or MIMII",
            )
        of_machine = self.machine_of_section[batch.sections]
        first, second = network.both(*batch.inputs)
        losses = {"machines": self.machines(first, of_machine), "classes": self.classes(second, batch.labels)}
        losses["total"] = losses["machines"] + losses["classes"]
        if not self.training:
            for name, head, embeddings, labels in (
                ("machine-accuracy", self.machines, first, of_machine),
                ("accuracy", self.classes, second, batch.labels),
            ):
                losses[name] = (head.class_cosines(embeddings).argmax(dim=1) == labels).float().mean()
        return losses


def machine_types(sections: tuple[str, ...]) -> tuple[list[str], Tensor]:
    """Machine types of sections such as "fan/00", in order, and the type of each section, int64 [sections]."""
    of_section = [name.rpartition("/")[0] for name in sections]
    machines = sorted(set(of_section))
    return machines, torch.tensor([machines.index(name) for name in of_section])


def build(recipe: Recipe, network: Network, n_classes: int) -> SubSystems:
    """See `export.objectives.registry`. Raises ConfigError for a network without sub-systems, and for mixtures, which
    would be of two machines."""
    if not isinstance(network, W2vAst):
        raise ConfigError(f"objective sub-systems: the network {recipe.model.kind!r} has none")
    if recipe.augment.mixup_probability:
        raise ConfigError("augment.mixup_probability must be 0 for the objective sub-systems")
    machines, machine_of_section = machine_types(recipe.contract.sections or NO_SECTIONS_YET)
    size = recipe.model.embedding_size
    return SubSystems(
        build_head(recipe.head, size, len(machines)), build_head(recipe.head, size, n_classes), machine_of_section
    )

"""What every objective is to the training loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from edge_asd.errors import DataError
from export.networks.network import Network
from export.sound.batches import Batch, Batches


class Objective(nn.Module):
    """Losses of a network on a batch; whatever it holds of its own (a classifier, centres) is trained too and left
    behind afterwards."""

    hears_once: ClassVar[bool] = False
    """Whether `prepared` gives what a frozen network made of the sound, so that a training step costs no more of it."""

    def prepared(
        self, network: Network, batches: Batches, folder: Path, note: Callable[[str], None] = lambda line: None
    ) -> Batches:
        """The batches as the loop is to see them: an objective over a frozen part may compute that part's output once
        (kept in `folder`) and give it in place of sound. As they are unless an objective says otherwise."""
        return batches

    def forward(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """Scalars by name; "total" is what is minimised. In eval mode perhaps figures of merit beside them."""
        raise NotImplementedError


def one_hot_sections(batch: Batch, n_sections: int) -> Tensor:
    """Float [n, n_sections]: what a scorer is told of the section. Raises DataError where recordings name none."""
    if batch.sections is None:
        raise DataError(
            "the recordings name no sections, which this recipe is trained on",
            remedy="give clips named as in DCASE Task 2 or MIMII",
        )
    return functional.one_hot(batch.sections, n_sections).float()

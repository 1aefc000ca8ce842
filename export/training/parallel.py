"""One training by several processes, as `torchrun` starts them: each takes its share of every batch, gradients are
averaged, over gloo on CPUs and over NCCL on GPUs. The order of the sound is that of a single process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from edge_asd.errors import ConfigError
from export.sound.batches import Batch
from export.training.device import CPU, chosen_device

T = TypeVar("T")
LONGEST_WAIT = timedelta(days=7)


@dataclass(frozen=True)
class Processes:
    """Which of how many this one is, and where it computes. Number 0 writes the files; alone on a CPU, nothing here
    does anything."""

    rank: int = 0
    count: int = 1
    device: torch.device = CPU

    @property
    def first(self) -> bool:
        """Whether this one writes and speaks."""
        return self.rank == 0

    def share(self, batch: Batch) -> Batch:
        """This process's windows of a batch. Raises ConfigError where they cannot be shared out evenly."""
        if self.count == 1:
            return batch
        n = len(batch.labels)
        if n % self.count:
            raise ConfigError(f"train: {n} windows a batch cannot be shared by {self.count} processes")
        own = slice(self.rank * n // self.count, (self.rank + 1) * n // self.count)
        return batch.each(lambda part: part[own])

    def joined(self, module: nn.Module) -> nn.Module:
        """The module whose gradients are the mean over all processes."""
        if self.count == 1:
            return module
        return nn.parallel.DistributedDataParallel(module, find_unused_parameters=True)

    def seed_step(self, seed: int, step: int) -> None:
        """Random numbers of the step for this process alone, so that no process repeats another's and a resumed run
        draws what an unbroken one does. (Of one process on a CPU the checkpoint carries the generator.)"""
        if self.count > 1 or self.device != CPU:
            torch.manual_seed((seed * 1_000_003 + step) * self.count + self.rank)

    def mean(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        """Each loss, its mean over all processes."""
        values = torch.stack([value.detach() for value in losses.values()])
        if self.count > 1:
            torch.distributed.all_reduce(values)
            values = values / self.count
        return dict(zip(losses, values.tolist(), strict=True))

    def agreed(self, value: T) -> T:
        """The first process's value, in all."""
        if self.count == 1:
            return value
        held: list[Any] = [value]
        torch.distributed.broadcast_object_list(held)
        return held[0]

    def wait(self) -> None:
        """Go on when all are here."""
        if self.count > 1:
            torch.distributed.barrier()


ALONE = Processes()


@contextmanager
def started(wanted: str = "cpu") -> Iterator[Processes]:
    """The processes torchrun started, by its environment; one without it. wanted, errors: as `chosen_device`."""
    device = chosen_device(wanted)
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(device=device)
        return
    # While the first enrols the machines of one network, the others wait for the next.
    backend = "gloo" if device == CPU else "cpu:gloo,cuda:nccl"
    torch.distributed.init_process_group(backend, timeout=LONGEST_WAIT)
    try:
        yield Processes(torch.distributed.get_rank(), count, device)
    finally:
        torch.distributed.destroy_process_group()

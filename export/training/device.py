"""Where a training runs: on the CPU, or on a GPU, where the same command gives the same numbers as well."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from edge_asd.errors import UnavailableError, UsageError

AUTO = "auto"
CPU = torch.device("cpu")


def chosen_device(wanted: str = AUTO) -> torch.device:
    """The device of this process: "cpu", "cuda" (the first GPU), "cuda:N", or "auto", a GPU where torch sees one.

    Under torchrun each process takes the GPU of its own number. Raises UnavailableError where there is no such GPU or
    one too few, UsageError for a numbered one under torchrun.
    """
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    kind, _, number = wanted.partition(":")
    if kind == "cpu" or (kind == AUTO and not n_gpus):
        return CPU
    if not n_gpus:
        raise UnavailableError(f"--device {wanted}: {_why_none()}", remedy="or give --device cpu")
    n_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if n_processes > 1 and number:
        raise UsageError(
            f"--device {wanted}: of torchrun's processes each takes a GPU of its own", remedy="give --device cuda"
        )
    index, named = int(number or os.environ.get("LOCAL_RANK", "0")), ", ".join(f"cuda:{i}" for i in range(n_gpus))
    if n_processes > n_gpus:
        raise UnavailableError(
            f"--device {wanted}: {n_processes} processes want a GPU each, there is {named}",
            remedy=f"give torchrun --nproc-per-node {n_gpus}, or --device cpu",
        )
    if index >= n_gpus:
        raise UnavailableError(f"--device {wanted}: no such GPU, there is {named}", remedy="give one of those, or cpu")
    return torch.device("cuda", index)


def _why_none() -> str:
    if torch.backends.cuda.is_built():
        return "torch sees no GPU; see whether nvidia-smi lists it"
    return "the torch installed here is built for CPUs; install one built for your GPU (pytorch.org)"


def settle(device: torch.device) -> None:
    """Make a GPU give the same numbers for the same work, and full float32 as on a CPU; a CPU does so anyway.

    Called before the first work of a training. What PyTorch knows no repeatable way to compute it warns of by name.
    https://docs.pytorch.org/docs/stable/notes/randomness.html
    """
    if device.type == "cpu":
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    torch.cuda.set_device(device)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.allow_tf32 = False  # ten bits of mantissa; matrix products have it off by default


@contextmanager
def memory_told() -> Iterator[None]:
    """Around a training: UnavailableError where a GPU's memory is too small for it."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        remedy = "lower train.groups_per_batch or train.windows_per_group, or give --device cpu"
        raise UnavailableError(str(error).partition(". ")[0], remedy=remedy) from error


def described(device: torch.device) -> str:
    """For people: "CPU", or what GPU it is."""
    return "CPU" if device.type == "cpu" else torch.cuda.get_device_name(device)


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters lie."""
    return next(module.parameters()).device


def finished(device: torch.device) -> None:
    """Return when all work asked of the device is done: a GPU's is only queued when a call comes back."""
    if device.type != "cpu":
        torch.cuda.synchronize(device)

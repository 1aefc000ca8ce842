"""What a runtime knows of a network: named arrays in, one array out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from edge_asd.contract import ModelContract, tensor_name
from edge_asd.errors import DataError

T = TypeVar("T")


class Graph(Protocol):
    """A network started in some runtime."""

    runtime: str
    """Library and version that runs it, for provenance."""
    most: int
    """Windows worth running at once."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Float32 arrays of n windows each, by the names of `Ends`, -> float32 [n, width]."""


@dataclass(frozen=True)
class Ends:
    """What goes into a graph and comes out, by the contract.

    what: the graph, for messages. inputs: the contract's name of each input -> its shape after the axis of windows, in
    the contract's order. width: numbers that come out for a window.
    """

    what: str
    inputs: Mapping[str, tuple[int, ...]]
    width: int

    @classmethod
    def of_embedder(cls, contract: ModelContract) -> Ends:
        """Of the embedder."""
        return cls("network", {name: contract.shape_of(name) for name in contract.inputs}, contract.embedding_size)

    @classmethod
    def of_scorer(cls, contract: ModelContract) -> Ends:
        """Of the scorer."""
        inputs = {name: contract.shape_of(name) for name in contract.scorer_inputs}
        return cls("scorer", inputs, len(contract.outputs))

    def matched(self, tensors: Sequence[T], name: Callable[[T], str], shape: Callable[[T], list[Any]]) -> dict[str, T]:
        """Which of a file's input tensors each input is: by its name, a single one whatever its name.

        name, shape: of a tensor; the shape after the axis of windows. Raises DataError where they do not fit.
        """
        if len(self.inputs) == len(tensors) == 1:
            found = dict(zip(self.inputs, tensors, strict=True))
        else:
            by_name = {name(tensor): tensor for tensor in tensors}
            found = {wanted: by_name[tensor_name(wanted)] for wanted in self.inputs if tensor_name(wanted) in by_name}
        if len(found) == len(tensors) == len(self.inputs) and all(
            shape(tensor) == list(self.inputs[wanted]) for wanted, tensor in found.items()
        ):
            return found
        held = ", ".join(f"{name(tensor)} [batch, {_listed(shape(tensor))}]" for tensor in tensors)
        wanted = ", ".join(f"{tensor_name(own)} [batch, {_listed(size)}]" for own, size in self.inputs.items())
        raise DataError(f"the {self.what}'s input is {held}, its contract says {wanted}")

    def check_output(self, tensors: Sequence[T], name: Callable[[T], str], shape: Callable[[T], list[Any]]) -> T:
        """The only output tensor. Raises DataError where it does not fit."""
        if len(tensors) == 1 and shape(tensors[0]) == [self.width]:
            return tensors[0]
        held = ", ".join(f"{name(tensor)} [batch, {_listed(shape(tensor))}]" for tensor in tensors)
        raise DataError(f"the {self.what}'s output is {held}, its contract says [batch, {self.width}]")


def _listed(sizes: Sequence[Any]) -> str:
    return ", ".join(map(str, sizes))

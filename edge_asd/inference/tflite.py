"""TFLite networks: by ai-edge-litert, or by tflite-runtime, its predecessor and the only wheel for 32-bit ARM."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_asd.contract import ModelContract, tensor_name
from edge_asd.errors import DataError, UnavailableError
from edge_asd.inference.chain import Chain
from edge_asd.inference.graph import Ends
from edge_asd.inference.runtimes import RUNTIMES, Runtime
from edge_asd.inference.tensors import TensorScaling

LITERT, TFLITE = RUNTIMES[1:]


class TfliteGraph:
    """A TFLite network on the CPU, float or integer at its ends.

    network: the .tflite file's bytes.
    ends: what goes in and comes out, checked against the file.
    library: which of the two runs it.
    threads: of the runtime; one leaves the board's other cores alone.

    Raises UnavailableError without the library, DataError for a network it refuses.
    """

    most = 1
    """The file's batch is one window, and more at once would gain nothing."""

    def __init__(self, network: bytes, ends: Ends, library: Runtime = LITERT, threads: int = 1) -> None:
        interpreter_class, version = _load(library)
        try:
            self._interpreter = interpreter_class(model_content=network, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise DataError(f"the network cannot be loaded: {str(error).splitlines()[0]}") from error
        self.runtime = f"{library.name} {version}"
        name = functools.partial(_name, ends=ends)
        inputs = ends.matched(self._interpreter.get_input_details(), name, _shape)
        self._inputs = {own: (tensor["index"], TensorScaling.of(tensor)) for own, tensor in inputs.items()}
        output = ends.check_output(self._interpreter.get_output_details(), name, _shape)
        self._output, self._output_scaling = output["index"], TensorScaling.of(output)

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `Graph`; one window."""
        for name, (index, scaling) in self._inputs.items():
            self._interpreter.set_tensor(index, scaling.stored(inputs[name]))
        self._interpreter.invoke()
        return self._output_scaling.real(self._interpreter.get_tensor(self._output))


class TfliteEmbedder(Chain):
    """A single TFLite network that gives embeddings; arguments as for `TfliteGraph`, the shapes from the contract."""

    def __init__(self, network: bytes, contract: ModelContract, library: Runtime = LITERT, threads: int = 1) -> None:
        super().__init__(contract, TfliteGraph(network, Ends.of_embedder(contract), library, threads))


def _name(tensor: Mapping[str, Any], ends: Ends) -> str:
    """A tensor's name without what converters add; litert-torch calls the i-th input "serving_default_args_i:0"."""
    name = str(tensor["name"]).removeprefix("serving_default_").partition(":")[0]
    place = name.removeprefix("args_")
    if place != name and place.isdecimal() and int(place) < len(ends.inputs):
        return tensor_name(list(ends.inputs)[int(place)])
    return name


def _shape(tensor: Mapping[str, Any]) -> list[Any]:
    first, *rest = (int(size) for size in tensor["shape"])
    return rest if first == 1 else [first, *rest]


def _load(library: Runtime) -> tuple[Any, str]:
    """The interpreter class and the library's version."""
    try:
        if library == TFLITE:
            import tflite_runtime
            from tflite_runtime.interpreter import Interpreter

            version = str(tflite_runtime.__version__)
        else:
            import ai_edge_litert
            from ai_edge_litert.interpreter import Interpreter

            version = str(ai_edge_litert.__version__)
    except ImportError as error:
        raise UnavailableError(f"{library.module} is not installed", remedy=library.mend) from error
    if library == TFLITE and int(np.__version__.split(".")[0]) >= 2:
        # Its compiled part was built against numpy 1: with 2 it imports, and the process dies on first use.
        raise UnavailableError(f"tflite-runtime needs numpy below 2, found {np.__version__}", remedy=library.mend)
    return Interpreter, version

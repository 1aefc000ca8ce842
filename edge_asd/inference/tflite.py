"""TFLite networks: by ai-edge-litert, or by tflite-runtime, its predecessor and the only wheel for 32-bit ARM."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_asd.contract import ModelContract
from edge_asd.errors import DataError, UnavailableError
from edge_asd.inference.embedder import normalised
from edge_asd.inference.runtimes import RUNTIMES, Runtime
from edge_asd.inference.tensors import TensorScaling

LITERT, TFLITE = RUNTIMES[1:]


class TfliteEmbedder:
    """A TFLite network on the CPU, float or integer at its ends.

    network: the .tflite file's bytes.
    contract: what the network expects; its shapes are checked against the file.
    library: which of the two runs it.
    threads: of the runtime; one leaves the board's other cores alone.

    Raises UnavailableError without the library, DataError for a network it refuses.
    """

    def __init__(self, network: bytes, contract: ModelContract, library: Runtime = LITERT, threads: int = 1) -> None:
        interpreter_class, version = _load(library)
        try:
            self._interpreter = interpreter_class(model_content=network, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise DataError(f"the network cannot be loaded: {str(error).splitlines()[0]}") from error
        self.contract = contract
        self.runtime = f"{library.name} {version}"
        features = contract.features
        shapes = [1, 1, contract.window_frames, features.n_mels], [1, contract.embedding_size]
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._input, self._input_scaling = self._checked(inputs, shapes[0], "input")
        self._output, self._output_scaling = self._checked(outputs, shapes[1], "output")

    @staticmethod
    def _checked(tensors: list[dict[str, Any]], shape: list[int], what: str) -> tuple[int, TensorScaling]:
        """Index and scaling of the only tensor, which must have this shape."""
        if len(tensors) != 1 or list(tensors[0]["shape"]) != shape:
            found = ", ".join(f"{t['name']} {[int(n) for n in t['shape']]}" for t in tensors)
            raise DataError(f"the network's {what} is {found}, its contract says {shape}")
        return tensors[0]["index"], TensorScaling.of(tensors[0])

    def embed(self, windows: np.ndarray) -> np.ndarray:
        """Log-mel windows float32 [n, window_frames, n_mels] in dB -> embeddings float32 [n, embedding_size]."""
        embeddings = np.empty((len(windows), self.contract.embedding_size), np.float32)
        for i in range(len(windows)):  # the file's batch is one window, and more at once would gain nothing
            fed = self._input_scaling.stored(normalised(windows[i : i + 1], self.contract))
            self._interpreter.set_tensor(self._input, fed)
            self._interpreter.invoke()
            embeddings[i] = self._output_scaling.real(self._interpreter.get_tensor(self._output))[0]
        return embeddings


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

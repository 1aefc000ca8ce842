"""ONNX Runtime: the default on every 64-bit board."""

from __future__ import annotations

import hashlib
import threading
import weakref
from typing import Any

import numpy as np

from edge_asd.contract import ModelContract
from edge_asd.errors import DataError, UnavailableError
from edge_asd.inference.embedder import normalised
from edge_asd.inference.engine import CPU, Engine, providers
from edge_asd.inference.runtimes import RUNTIMES

MAX_BATCH = 16
"""Windows run at once: more gains nothing on one thread and costs memory."""


class OnnxEmbedder:
    """An ONNX network on the CPU, or on a Jetson's GPU where that is asked for and works.

    network: the ONNX file's bytes.
    contract: what the network expects; its shapes are checked against the file.
    engine: threads and accelerator.

    `runtime` names what runs the network: "onnxruntime 1.31.1", with an accelerator "onnxruntime-tensorrt 1.23.0",
    whose embeddings differ enough for a bank of its own.
    """

    def __init__(
        self,
        network: bytes,
        contract: ModelContract,
        engine: Engine = Engine(),  # noqa: B008 (frozen)
    ) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise UnavailableError("onnxruntime is not installed", remedy=RUNTIMES[0].mend) from error
        self._session = _session(network, engine)
        self.contract = contract
        first = self._session.get_providers()[0].removesuffix("ExecutionProvider").lower()
        self.runtime = f"onnxruntime{'' if first == 'cpu' else f'-{first}'} {onnxruntime.__version__}"
        features = contract.features
        self._input = self._checked(self._session.get_inputs(), [1, contract.window_frames, features.n_mels], "input")
        self._output = self._checked(self._session.get_outputs(), [contract.embedding_size], "output")

    @staticmethod
    def _checked(tensors: list, shape: list[int], what: str) -> str:
        """Name of the only tensor, whose shape after the batch axis must be `shape`."""
        if len(tensors) != 1 or list(tensors[0].shape[1:]) != shape:
            found = ", ".join(f"{t.name} {t.shape}" for t in tensors)
            raise DataError(f"the network's {what} is {found}, its contract says [batch, {', '.join(map(str, shape))}]")
        return tensors[0].name

    def embed(self, windows: np.ndarray) -> np.ndarray:
        """Log-mel windows float32 [n, window_frames, n_mels] in dB -> embeddings float32 [n, embedding_size]."""
        parts = [np.empty((0, self.contract.embedding_size), np.float32)]
        for start in range(0, len(windows), MAX_BATCH):
            fed = normalised(windows[start : start + MAX_BATCH], self.contract)
            parts.append(self._session.run([self._output], {self._input: fed})[0])
        return np.concatenate(parts)


_sessions: weakref.WeakValueDictionary[tuple[bytes, Engine], Any] = weakref.WeakValueDictionary()
_sessions_lock = threading.Lock()


def _session(network: bytes, engine: Engine) -> Any:
    """An InferenceSession of the network. Several machines of one process share one: it may be run by many threads."""
    key = hashlib.sha256(network).digest(), engine
    with _sessions_lock:
        session = _sessions.get(key)
        if session is None:
            session = _sessions[key] = _started(network, engine)
        return session


def _started(network: bytes, engine: Engine) -> Any:
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # it would otherwise try to persist an id in the user's home
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = engine.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # saves resident memory; at these sizes it costs no time
    wanted = providers(engine, onnxruntime.get_available_providers())
    try:
        return onnxruntime.InferenceSession(network, options, providers=wanted)
    except Exception as error:  # onnxruntime raises several unrelated classes for a bad file
        if wanted == [CPU]:
            raise DataError(f"the network cannot be loaded: {str(error).splitlines()[0]}") from error
        # The accelerator is built in but not there, or refuses the network: the CPU takes any.
        return _started(network, Engine(engine.threads))

"""ONNX Runtime: the default on every 64-bit board."""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_asd.contract import ModelContract
from edge_asd.errors import DataError, UnavailableError
from edge_asd.inference.chain import Chain
from edge_asd.inference.engine import CPU, Engine, providers
from edge_asd.inference.graph import Ends
from edge_asd.inference.runtimes import RUNTIMES

MAX_BATCH = 16
"""Windows run at once: more gains nothing on one thread and costs memory."""


class OnnxGraph:
    """An ONNX network on the CPU, or on a Jetson's GPU where that is asked for and works.

    network: the ONNX file's bytes.
    ends: what goes in and comes out, checked against the file.
    engine: threads and accelerator.

    `runtime` names what runs the network: "onnxruntime 1.31.1", with an accelerator "onnxruntime-tensorrt 1.23.0",
    whose embeddings differ enough for a bank of its own.
    """

    most = MAX_BATCH

    def __init__(self, network: bytes, ends: Ends, engine: Engine) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise UnavailableError("onnxruntime is not installed", remedy=RUNTIMES[0].mend) from error
        except ImportError as error:
            raise UnavailableError(f"onnxruntime cannot be loaded: {error}", remedy=RUNTIMES[0].mend) from error
        self._session = _session(network, engine)
        first = self._session.get_providers()[0].removesuffix("ExecutionProvider").lower()
        self.runtime = f"onnxruntime{'' if first == 'cpu' else f'-{first}'} {onnxruntime.__version__}"
        inputs = ends.matched(self._session.get_inputs(), _name, _shape)
        self._names = {name: tensor.name for name, tensor in inputs.items()}
        self._output = ends.check_output(self._session.get_outputs(), _name, _shape).name

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `Graph`."""
        fed = {self._names[name]: array for name, array in inputs.items()}
        return np.asarray(self._session.run([self._output], fed)[0])


def _name(tensor: Any) -> str:
    return str(tensor.name)


def _shape(tensor: Any) -> list[Any]:
    return list(tensor.shape[1:])


class OnnxEmbedder(Chain):
    """A single ONNX network that gives embeddings; arguments as for `OnnxGraph`, the shapes from the contract."""

    def __init__(
        self,
        network: bytes,
        contract: ModelContract,
        engine: Engine = Engine(),  # noqa: B008 (frozen)
    ) -> None:
        super().__init__(contract, OnnxGraph(network, Ends.of_embedder(contract), engine))


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

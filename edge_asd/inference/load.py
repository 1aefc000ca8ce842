"""Which runtime a model is run by."""

from __future__ import annotations

from edge_asd.errors import DataError, UnavailableError, UsageError
from edge_asd.inference.chain import Chain
from edge_asd.inference.embedder import Embedder
from edge_asd.inference.engine import Engine
from edge_asd.inference.graph import Ends, Graph
from edge_asd.inference.onnx import OnnxGraph
from edge_asd.inference.runtimes import AUTO, RUNTIMES, is_installed, usable
from edge_asd.inference.tflite import TfliteGraph
from edge_asd.model_package import Model, Network


def load_embedder(model: Model, runtime: str = AUTO, engine: Engine = Engine()) -> Embedder:  # noqa: B008 (frozen)
    """Start `model`, both its graphs where it has two, in a runtime that runs their format.

    runtime: a name of `edge_asd.inference.runtimes.CHOICES`.
    engine: threads and accelerator.
    Raises UnavailableError without such a runtime, UsageError for one that runs other formats, DataError for a network
    it refuses.
    """
    contract = model.contract
    embedder = scorer = None
    if contract.has_embedder:
        own = Network(model.network, model.network_format, model.precision)
        embedder = _started(own, Ends.of_embedder(contract), runtime, engine)
    if contract.has_scorer:
        if model.scorer is None:
            raise DataError(f"{contract.name}: the contract names a scorer, but its graph is not there")
        scorer = _started(model.scorer, Ends.of_scorer(contract), runtime, engine)
    return Chain(contract, embedder, scorer)


def _started(network: Network, ends: Ends, runtime: str, engine: Engine) -> Graph:
    able = [known for known in RUNTIMES if network.format in known.formats]
    names = " or ".join(known.name for known in able)
    if runtime == AUTO:
        chosen = next(filter(is_installed, able), None)
        if chosen is None:
            raise UnavailableError(f"the {ends.what} needs {names}, not installed here", remedy=able[0].mend)
    else:
        chosen = usable(runtime)[0]
        if chosen not in able:
            raise UsageError(
                f"{runtime} does not run {network.format} networks, such as this {ends.what}",
                remedy=f"choose {names}, or enrol with --runtime {runtime}",
            )
    if chosen.name == "onnxruntime":
        return OnnxGraph(network.data, ends, engine)
    return TfliteGraph(network.data, ends, chosen, engine.threads)

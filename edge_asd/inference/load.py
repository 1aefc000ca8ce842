"""Which runtime a model is run by."""

from __future__ import annotations

from edge_asd.errors import UnavailableError, UsageError
from edge_asd.inference.embedder import Embedder
from edge_asd.inference.engine import Engine
from edge_asd.inference.onnx import OnnxEmbedder
from edge_asd.inference.runtimes import AUTO, RUNTIMES, is_installed, usable
from edge_asd.inference.tflite import TfliteEmbedder
from edge_asd.model_package import Model


def load_embedder(model: Model, runtime: str = AUTO, engine: Engine = Engine()) -> Embedder:  # noqa: B008 (frozen)
    """Start `model` in a runtime that runs its format.

    runtime: a name of `edge_asd.inference.runtimes.CHOICES`.
    engine: threads and accelerator.
    Raises UnavailableError without such a runtime, UsageError for one that runs other formats, DataError for a network
    it refuses.
    """
    able = [known for known in RUNTIMES if model.network_format in known.formats]
    names = " or ".join(known.name for known in able)
    if runtime == AUTO:
        chosen = next(filter(is_installed, able), None)
        if chosen is None:
            raise UnavailableError(f"the network needs {names}, not installed here", remedy=able[0].mend)
    else:
        chosen = usable(runtime)[0]
        if chosen not in able:
            raise UsageError(
                f"{runtime} does not run {model.network_format} networks, such as this one",
                remedy=f"choose {names}, or enrol with --runtime {runtime}",
            )
    if chosen.name == "onnxruntime":
        return OnnxEmbedder(model.network, model.contract, engine)
    return TfliteEmbedder(model.network, model.contract, chosen, engine.threads)

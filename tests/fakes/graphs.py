"""Tiny real ONNX graphs of every kind a contract can name: seeded, not trained, made in a millisecond."""

from __future__ import annotations

import dataclasses

import numpy as np

from edge_asd.contract import LogMelSpec, ModelContract, tensor_name
from edge_asd.model_package import Model, Network

DUO_CONTRACT = ModelContract(
    name="duo",
    version="1",
    features=LogMelSpec(),
    window_frames=16,
    step_frames=4,
    embedding_size=12,
    inputs=("log-mel", "waveform"),
    scorer_inputs=("embedding", "section"),
    outputs=("likelihood", "distance"),
    sections=("fan/00", "fan/01"),
)
"""Both inputs, a scorer on the embeddings, two sections."""

FLOW_CONTRACT = dataclasses.replace(
    DUO_CONTRACT,
    name="flow",
    embedding_size=0,
    inputs=("log-mel",),
    scorer_inputs=("log-mel", "section"),
    outputs=("negative-log-likelihood",),
)
"""A scorer alone."""


def embedder_graph(contract: ModelContract, names: dict[str, str] | None = None) -> bytes:
    """ONNX bytes: each input averaged over time (log-mel, or the magnitude of what 4 filters of a hop's length hear),
    all of it projected. names: of inputs, other than the contract's."""
    width = {"log-mel": contract.features.n_mels, "waveform": 4}
    nodes: list[tuple[str, list[str], list[str], dict[str, object]]] = []
    constants: dict[str, np.ndarray] = {}
    for name in contract.inputs:
        given, own = (names or {}).get(name, tensor_name(name)), tensor_name(name)
        if name == "log-mel":
            nodes += [("ReduceMean", [given], [f"{own}_mean"], {"axes": [1, 2], "keepdims": 0})]
        else:
            hop = contract.features.hop_samples
            constants["filters"] = _random(1, 4, 1, hop) / np.float32(np.sqrt(hop))
            constants["channel"] = np.array([1], np.int64)
            nodes += [
                ("Unsqueeze", [given, "channel"], ["sound"], {}),
                ("Conv", ["sound", "filters"], ["heard"], {"strides": [hop]}),
                ("Abs", ["heard"], ["magnitude"], {}),
                ("ReduceMean", ["magnitude"], [f"{own}_mean"], {"axes": [2], "keepdims": 0}),
            ]
    constants["last"] = _random(2, sum(width[name] for name in contract.inputs), contract.embedding_size)
    nodes += [
        ("Concat", [f"{tensor_name(name)}_mean" for name in contract.inputs], ["all"], {"axis": 1}),
        ("MatMul", ["all", "last"], ["embeddings"], {}),
    ]
    inputs = {(names or {}).get(name, tensor_name(name)): contract.shape_of(name) for name in contract.inputs}
    return _graph(nodes, constants, inputs, ("embeddings", contract.embedding_size))


def scorer_graph(contract: ModelContract) -> bytes:
    """ONNX bytes: the square of the distance of the inputs, averaged over time and projected, from 0; minus 5."""
    width = {"embedding": contract.embedding_size, "log-mel": contract.features.n_mels, "section": 2}
    nodes: list[tuple[str, list[str], list[str], dict[str, object]]] = []
    for name in contract.scorer_inputs:
        kind, settings = ("ReduceMean", {"axes": [1, 2], "keepdims": 0}) if name == "log-mel" else ("Identity", {})
        nodes.append((kind, [tensor_name(name)], [f"{tensor_name(name)}_flat"], settings))
    n_in, n_out = sum(width[name] for name in contract.scorer_inputs), len(contract.outputs)
    constants = {"first": _random(3, n_in, 8), "second": np.abs(_random(4, 8, n_out)), "five": np.float32(5)}
    nodes += [
        ("Concat", [f"{tensor_name(name)}_flat" for name in contract.scorer_inputs], ["all"], {"axis": 1}),
        ("MatMul", ["all", "first"], ["projected"], {}),
        ("Mul", ["projected", "projected"], ["squares"], {}),
        ("MatMul", ["squares", "second"], ["distance"], {}),
        ("Sub", ["distance", "five"], ["scores"], {}),
    ]
    inputs = {tensor_name(name): contract.shape_of(name) for name in contract.scorer_inputs}
    return _graph(nodes, constants, inputs, ("scores", n_out))


def duo_model() -> Model:
    """`DUO_CONTRACT` watching "fan/01"."""
    scorer = Network(scorer_graph(DUO_CONTRACT), "onnx", "fp32")
    model = Model(DUO_CONTRACT, "fp32", embedder_graph(DUO_CONTRACT), {}, scorer=scorer)
    return model.for_section("fan/01")


def flow_model() -> Model:
    """`FLOW_CONTRACT` watching "fan/00"."""
    scorer = Network(scorer_graph(FLOW_CONTRACT), "onnx", "fp32")
    return Model(FLOW_CONTRACT, "fp32", b"", {}, scorer=scorer).for_section("fan/00")


def _random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _graph(
    nodes: list[tuple[str, list[str], list[str], dict[str, object]]],
    constants: dict[str, np.ndarray],
    inputs: dict[str, tuple[int, ...]],
    output: tuple[str, int],
) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node(kind, given, made, **settings) for kind, given, made, settings in nodes],
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape]) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, ["batch", output[1]])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())

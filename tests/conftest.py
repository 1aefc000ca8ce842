"""What several rooms' tests share: a tiny real network, a bundle enrolled with it, and the sound it was enrolled on."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis
import numpy as np
import pytest

from edge_asd.bundle.bundle import Bundle
from edge_asd.contract import LogMelSpec, ModelContract
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.inference import Embedder, load_embedder
from edge_asd.model_package import Model, load_model

hypothesis.settings.register_profile(
    "edge-asd",
    derandomize=True,
    deadline=None,
    max_examples=30,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("edge-asd")

TINY_CONTRACT = ModelContract(
    name="tiny",
    version="1",
    features=LogMelSpec(),
    window_frames=16,
    step_frames=8,
    embedding_size=24,
    short_clip="repeat",
)
"""Unlike the default model in every number it may differ in, so that code which assumes one fails."""

SteadySound = Callable[..., np.ndarray]


def _tiny_network(contract: ModelContract) -> bytes:
    """ONNX bytes: averages over 4 x 4 patches, a seeded projection, ReLU6, a second one."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(20)
    n_patches = (contract.window_frames // 4) * (contract.features.n_mels // 4)
    hidden = rng.standard_normal((n_patches, 48)).astype(np.float32) / np.sqrt(n_patches)
    last = rng.standard_normal((48, contract.embedding_size)).astype(np.float32) / np.sqrt(48)
    constants = {"hidden": 4.0 * hidden, "last": last, "zero": np.float32(0), "six": np.float32(6)}
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["log_mel"], ["patches"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Flatten", ["patches"], ["flat"]),
            helper.make_node("MatMul", ["flat", "hidden"], ["projected"]),
            helper.make_node("Clip", ["projected", "zero", "six"], ["activated"]),
            helper.make_node("MatMul", ["activated", "last"], ["embedding"]),
        ],
        "tiny",
        [
            helper.make_tensor_value_info(
                "log_mel", TensorProto.FLOAT, ["batch", 1, contract.window_frames, contract.features.n_mels]
            )
        ],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", contract.embedding_size])],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


@pytest.fixture(scope="session")
def steady_sound() -> SteadySound:
    """A function (seconds, seed=0, tone_hz=None, tone_amplitude=0.05) -> float32 [n] at 16 kHz: a machine running
    steadily (hum with harmonics under broadband noise), with a tone on top where one is asked for."""

    def make(seconds: float, seed: int = 0, tone_hz: float | None = None, tone_amplitude: float = 0.05) -> np.ndarray:
        rng = np.random.default_rng(seed)
        n = round(16000 * seconds)
        time_s = np.arange(n) / 16000.0
        sound = 0.02 * rng.standard_normal(n)
        for harmonic in range(1, 6):
            sound += 0.03 / harmonic * np.sin(2 * np.pi * 120.0 * harmonic * time_s + rng.uniform(0, 2 * np.pi))
        if tone_hz is not None:
            sound += tone_amplitude * np.sin(2 * np.pi * tone_hz * time_s)
        return sound.astype(np.float32)

    return make


@pytest.fixture(scope="session")
def tiny_model() -> Model:
    """A real ONNX network of 50 kB with `TINY_CONTRACT`, made from a seed, not trained."""
    return Model(TINY_CONTRACT, "fp32", _tiny_network(TINY_CONTRACT), {"made_by": "tests/conftest.py"})


@pytest.fixture(scope="session")
def tiny_embedder(tiny_model: Model) -> Embedder:
    """`tiny_model` in ONNX Runtime."""
    return load_embedder(tiny_model)


@pytest.fixture(scope="session")
def tiny_bundle(tiny_model: Model, tiny_embedder: Embedder, steady_sound: SteadySound) -> Bundle:
    """A bundle enrolled on 64 s of `steady_sound(64, seed=1)`."""
    enrolment = Enrolment(tiny_model, tiny_embedder)
    enrolment.add_samples(steady_sound(64.0, seed=1), "steady sound")
    return enrolment.finish({"created": "2026-01-01T00:00:00Z"})


@pytest.fixture(scope="session")
def plain_bundle(tiny_model: Model, tiny_embedder: Embedder, steady_sound: SteadySound) -> Bundle:
    """The same with the thresholds that the enrolment alone gives: nothing is allowed for other days."""
    enrolment = Enrolment(tiny_model, tiny_embedder, session_allowance=1.0)
    enrolment.add_samples(steady_sound(64.0, seed=1), "steady sound")
    return enrolment.finish({"created": "2026-01-01T00:00:00Z"})


@pytest.fixture(scope="session")
def shipped_model() -> Model:
    """The int8 network that ships with edge-asd."""
    return load_model()

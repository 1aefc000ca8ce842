"""A Jetson's accelerator is asked for with the settings it needs, and the CPU takes over where it is not there."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edge_asd.bundle.bundle import Bundle, save_bundle
from edge_asd.cli.bundles import opened_bundle
from edge_asd.config import load_config
from edge_asd.inference import load_embedder
from edge_asd.inference.engine import CPU, Engine, providers
from edge_asd.model_package import Model

JETSON = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")


def test_tensorrt_runs_int8_keeps_its_engines_and_falls_back_in_order() -> None:
    wanted = providers(Engine(accelerator="tensorrt", cache="/var/lib/engines"), JETSON)
    assert [name for name, _ in wanted] == list(JETSON)
    options = wanted[0][1]
    assert options["trt_int8_enable"] is True
    assert (options["trt_engine_cache_enable"], options["trt_engine_cache_path"]) == (True, "/var/lib/engines")
    assert not [key for key in providers(Engine(accelerator="tensorrt"), JETSON)[0][1] if "cache" in key]


def test_what_this_onnxruntime_lacks_is_left_out() -> None:
    assert [name for name, _ in providers(Engine(accelerator="tensorrt"), JETSON[1:])] == list(JETSON[1:])
    assert [name for name, _ in providers(Engine(accelerator="cuda"), JETSON)] == list(JETSON[1:])
    assert providers(Engine(accelerator="tensorrt"), ["CPUExecutionProvider"]) == [CPU]
    assert providers(Engine(), JETSON) == [CPU]


def test_an_accelerator_that_is_not_there_leaves_the_work_to_the_cpu(
    tiny_model: Model, tmp_path, capsys: pytest.CaptureFixture[str], tiny_bundle: Bundle
) -> None:
    contract = tiny_model.contract
    windows = np.zeros((1, contract.window_frames, contract.features.n_mels), np.float32)
    plain, asked = load_embedder(tiny_model), load_embedder(tiny_model, engine=Engine(accelerator="tensorrt"))
    np.testing.assert_array_equal(plain.embed(windows), asked.embed(windows))
    assert asked.runtime == plain.runtime
    save_bundle(tiny_bundle, tmp_path / "fan.asd")
    config = tmp_path / "config.yaml"
    config.write_text("model: {bundle: fan.asd, accelerator: tensorrt, engine_cache: engines, threads: 2}\n")
    opened = opened_bundle(load_config(config, environment={}).config)
    assert opened.engine == Engine(2, "tensorrt", str(tmp_path / "engines"))
    assert "tensorrt cannot be used here" in capsys.readouterr().err


def test_one_that_is_there_but_broken_is_not_insisted_on(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    real = onnxruntime.InferenceSession

    def broken(network: bytes, options: object, providers: list) -> object:
        if providers[0][0] == "TensorrtExecutionProvider":
            raise RuntimeError("libnvinfer.so.10: cannot open shared object file")
        return real(network, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(JETSON))
    monkeypatch.setattr(onnxruntime, "InferenceSession", broken)
    assert load_embedder(tiny_model, engine=Engine(accelerator="tensorrt")).runtime.startswith("onnxruntime ")


def test_machines_of_one_network_share_one_session_and_get_the_same_from_many_threads(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    started: list[bytes] = []
    real = onnxruntime.InferenceSession

    def counting(network: bytes, options: object, providers: list) -> object:
        started.append(network)
        return real(network, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", counting)
    engine = Engine(cache="of this test alone")
    machines = [load_embedder(tiny_model, engine=engine) for _ in range(4)]
    assert len(started) == 1
    features = tiny_model.contract.features
    shape = (32, tiny_model.contract.window_frames, features.n_mels)
    windows = np.random.default_rng(0).normal(-60, 10, shape).astype(np.float32)
    alone = machines[0].embed(windows)
    with ThreadPoolExecutor(4) as pool:
        for embedded in pool.map(lambda machine: machine.embed(windows), machines * 4):
            np.testing.assert_array_equal(embedded, alone)
    del machines
    gc.collect()
    load_embedder(tiny_model, engine=engine)
    assert len(started) == 2, "a network nobody runs takes no memory"

"""The model's contract: what it derives, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from edge_asd.contract import LogMelSpec, ModelContract
from edge_asd.errors import DataError
from edge_asd.inference import load_embedder

DEFAULT = ModelContract("a model", "3", LogMelSpec())


def test_the_defaults_are_the_dcase_baselines() -> None:
    spec = LogMelSpec()
    assert (spec.rate_hz, spec.n_fft, spec.hop_samples, spec.n_mels) == (16000, 1024, 512, 128)
    assert (spec.fmin_hz, spec.fmax_hz, spec.mel_scale, spec.power) == (0.0, 8000.0, "slaney", 2.0)


def test_seconds_of_a_window_and_a_step() -> None:
    assert DEFAULT.window_s == pytest.approx((63 * 512 + 1024) / 16000)
    assert DEFAULT.step_s == pytest.approx(32 * 512 / 16000)
    single = dataclasses.replace(DEFAULT, window_frames=1, step_frames=1)
    assert single.window_s == pytest.approx(1024 / 16000)


def test_a_contract_survives_json() -> None:
    contract = ModelContract(
        "other",
        "0.1",
        LogMelSpec(rate_hz=8000, n_fft=512, hop_samples=160, n_mels=40, fmax_hz=4000.0, mel_scale="htk", power=1.0),
        window_frames=10,
        step_frames=10,
        embedding_size=7,
        input_mean="fixed",
        input_offset_db=-30.5,
        input_scale_db=12.0,
        short_clip="reflect",
    )
    assert ModelContract.from_dict(json.loads(json.dumps(contract.to_dict()))) == contract


def test_a_contract_of_two_graphs_survives_json_and_knows_what_they_take() -> None:
    contract = dataclasses.replace(
        DEFAULT,
        window_frames=313,
        inputs=("log-mel", "waveform"),
        scorer_inputs=("embedding", "section"),
        outputs=("equation-9", "ensemble"),
        sections=("fan/00", "fan/01"),
    )
    assert ModelContract.from_dict(json.loads(json.dumps(contract.to_dict()))) == contract
    assert contract.takes_waveform and contract.has_embedder and contract.has_scorer
    assert contract.window_samples == 160_768  # what the 313 centred frames of 10 s were computed from, but a rest
    assert contract.for_section("fan/01").section == "fan/01"
    with pytest.raises(
        DataError, match="section 'fan/02' is none that a model was trained on; it knows fan/00, fan/01"
    ):
        contract.for_section("fan/02")


def test_a_scorer_alone_takes_no_waveform_for_an_embedder_that_is_not_there() -> None:
    flow = dataclasses.replace(
        DEFAULT, embedding_size=0, inputs=("waveform",), scorer_inputs=("log-mel",), outputs=("likelihood",)
    )
    assert not flow.takes_waveform and not flow.has_embedder


def test_what_is_written_for_one_graph_of_log_mel_is_what_older_versions_read() -> None:
    assert set(DEFAULT.to_dict()) == {
        "name",
        "version",
        "features",
        "window_frames",
        "step_frames",
        "embedding_size",
        "input_mean",
        "input_offset_db",
        "input_scale_db",
        "short_clip",
    }


def test_a_whole_number_may_stand_for_a_float() -> None:
    data = DEFAULT.to_dict() | {"input_scale_db": 20}
    assert ModelContract.from_dict(data) == DEFAULT


@pytest.mark.parametrize(
    "change, word",
    [
        ({"mel_scale": "bark"}, "'bark'"),
        ({"power": 3.0}, "3.0"),
        ({"rate_hz": 0}, "rate_hz is 0"),
        ({"n_fft": -2}, "n_fft is -2"),
        ({"hop_samples": 0}, "hop_samples is 0"),
        ({"n_mels": 0}, "n_mels is 0"),
        ({"n_fft": 1023}, "1023"),
        ({"hop_samples": 1025}, "1025"),
        ({"fmax_hz": 8001.0}, "8001"),
        ({"fmin_hz": -1.0}, "-1"),
        ({"fmin_hz": 8000.0}, "8000"),
        ({"n_mels": "128"}, "n_mels: '128'"),
        ({"n_mels": True}, "n_mels: True"),
        ({"n_mels": 128.0}, "n_mels: 128.0"),
        ({"floor_db": math.nan}, "floor_db: nan"),
        ({"loudness": 1}, "unknown key 'loudness'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
def test_a_front_end_that_cannot_be_is_refused_with_the_value(change: dict[str, Any], word: str) -> None:
    data = DEFAULT.to_dict()
    data["features"] |= change
    with pytest.raises(DataError, match=word):
        ModelContract.from_dict(data)


@pytest.mark.parametrize(
    "change, word",
    [
        ({"input_mean": "batch"}, "'batch'"),
        ({"short_clip": "pad"}, "'pad'"),
        ({"window_frames": 0}, "window_frames 0"),
        ({"step_frames": 0}, "step_frames 0"),
        ({"step_frames": 65}, "step_frames 65"),
        ({"embedding_size": -1}, "-1 must be above 0"),
        ({"embedding_size": 0}, "embedding_size is 0 and there is no scorer"),
        ({"inputs": ["log-mel", "sound"]}, "inputs 'sound' is none of log-mel, waveform"),
        ({"inputs": ["embedding"]}, "inputs 'embedding' is none of"),
        ({"inputs": []}, "inputs is empty"),
        ({"inputs": ["waveform", "waveform"]}, "or one twice"),
        ({"inputs": "waveform"}, "inputs: 'waveform' is not a list"),
        ({"inputs": [1]}, "inputs: 1 is not of type str"),
        ({"scorer_inputs": ["log-mel"]}, "scorer_inputs and outputs belong together"),
        ({"outputs": ["likelihood"]}, "scorer_inputs and outputs belong together"),
        ({"scorer_inputs": ["section"], "outputs": ["likelihood"]}, "sections is empty"),
        ({"scorer_inputs": ["embedding"], "outputs": ["x"], "embedding_size": 0}, "but embedding_size is 0"),
        ({"sections": ["fan/00"], "section": "fan/01"}, "section 'fan/01' is none of fan/00"),
        ({"input_scale_db": 0.0}, "input_scale_db is 0.0"),
        ({"input_scale_db": math.inf}, "input_scale_db: inf"),
        ({"name": 5}, "name: 5"),
        ({"features": None}, "features: expected keys and values, found NoneType"),
        ({"quantum": True}, "unknown key 'quantum'; the model was made by a newer edge-asd: upgrade"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
def test_a_contract_that_cannot_be_is_refused_with_the_value(change: dict[str, Any], word: str) -> None:
    with pytest.raises(DataError, match=word):
        ModelContract.from_dict(DEFAULT.to_dict() | change)


@pytest.mark.parametrize("key", ["name", "version", "features"])
def test_a_missing_key_is_named(key: str) -> None:
    data = DEFAULT.to_dict()
    del data[key]
    with pytest.raises(DataError, match=f"key '{key}' is missing"):
        ModelContract.from_dict(data)


@pytest.mark.parametrize("data", [None, [], "contract", 4])
def test_what_is_no_object_is_refused(data: object) -> None:
    with pytest.raises(DataError, match="expected keys and values"):
        ModelContract.from_dict(data)


def test_the_shipped_model_embeds_a_window_by_its_own_contract(shipped_model) -> None:
    contract = shipped_model.contract
    rng = np.random.default_rng(30)
    windows = rng.normal(-50.0, 10.0, (3, contract.window_frames, contract.features.n_mels)).astype(np.float32)
    embeddings = load_embedder(shipped_model).embed(windows)
    assert embeddings.shape == (3, contract.embedding_size)
    assert embeddings.dtype == np.float32
    assert np.isfinite(embeddings).all()
    assert (np.linalg.norm(embeddings, axis=1) > 0.0).all()

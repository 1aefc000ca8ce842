"""Which tensor of a file is which input: by name, whatever a converter adds to it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from edge_asd.errors import DataError
from edge_asd.inference.graph import Ends
from edge_asd.inference.tflite import _name, _shape
from tests.fakes.graphs import DUO_CONTRACT

SHAPES = {"log_mel": [1, 1, 16, 128], "waveform": [1, 8704]}


def tensors(**names: str) -> list[dict[str, Any]]:
    return [{"name": name, "shape": SHAPES[own]} for own, name in names.items()]


def matched(given: list[dict[str, Any]]) -> dict[str, str]:
    ends = Ends.of_embedder(DUO_CONTRACT)
    found = ends.matched(given, lambda tensor: _name(tensor, ends), _shape)
    return {own: tensor["name"] for own, tensor in found.items()}


def test_tflite_inputs_are_found_by_name_and_litert_torchs_by_their_number() -> None:
    expected = {"log-mel": "serving_default_log_mel:0", "waveform": "serving_default_waveform:0"}
    given = tensors(waveform="serving_default_waveform:0", log_mel="serving_default_log_mel:0")
    assert matched(given) == expected
    given = tensors(waveform="serving_default_args_1:0", log_mel="serving_default_args_0:0")
    assert matched(given) == {"log-mel": "serving_default_args_0:0", "waveform": "serving_default_args_1:0"}


@pytest.mark.parametrize(
    "given",
    [
        tensors(log_mel="log_mel", waveform="sound"),
        tensors(log_mel="log_mel"),
        tensors(log_mel="serving_default_args_0:0", waveform="serving_default_args_2:0"),
        [{"name": "log_mel", "shape": [1, 8704]}, {"name": "waveform", "shape": [1, 1, 16, 128]}],
        [{"name": "log_mel", "shape": [4, 1, 16, 128]}, {"name": "waveform", "shape": [1, 8704]}],
    ],
    ids=["another name", "one is missing", "no such number", "swapped shapes", "a batch of four"],
)
def test_inputs_that_do_not_fit_are_refused(given: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match=r"the network's input is .*, its contract says log_mel \[batch, 1, 16, 128\]"):
        matched(given)


def test_a_real_tflite_file_of_two_inputs(tmp_path) -> None:
    pytest.importorskip("ai_edge_litert")
    litert_torch = pytest.importorskip("litert_torch")
    import numpy as np
    import torch

    from edge_asd.inference import load_embedder
    from edge_asd.model_package import Model
    from edge_asd.windows import Windows

    class Two(torch.nn.Module):
        def forward(self, log_mel: torch.Tensor, waveform: torch.Tensor) -> torch.Tensor:
            return torch.cat((log_mel.mean(dim=(1, 2))[:, :8], waveform[:, :4]), dim=1)

    shapes = SHAPES["log_mel"], SHAPES["waveform"]
    litert_torch.convert(Two().eval(), tuple(map(torch.zeros, shapes))).export(str(tmp_path / "two.tflite"))
    contract = dataclasses.replace(DUO_CONTRACT, scorer_inputs=(), outputs=())
    model = Model(contract, "fp32", (tmp_path / "two.tflite").read_bytes(), {}, "tflite")
    rng = np.random.default_rng(1)
    frames, samples = rng.normal(-50, 5, (3, 16, 128)).astype(np.float32), rng.normal(0, 1, (3, 8704))
    found = load_embedder(model, "litert").embed(Windows(frames, samples.astype(np.float32)))
    np.testing.assert_allclose(found[:, 8:], samples[:, :4], rtol=1e-5)
    centred = (frames - frames.mean(axis=(1, 2), keepdims=True)) / 20
    np.testing.assert_allclose(found[:, :8], centred.mean(axis=1)[:, :8], atol=1e-4)

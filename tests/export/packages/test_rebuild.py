"""A network taken back out of its package."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export extra is not installed")
pytest.importorskip("onnx", reason="the export extra is not installed")

from edge_asd.errors import DataError
from edge_asd.inference import load_embedder
from edge_asd.model_package import load_model
from export.packages.rebuild import rebuilt, torch_embeddings


def test_the_shipped_network_comes_back_number_for_number() -> None:
    model = load_model(precision="fp32")
    windows = np.random.default_rng(5).normal(-50, 12, (4, 32, 128)).astype(np.float32)
    found, expected = torch_embeddings(rebuilt(model), model, windows), load_embedder(model).embed(windows)
    assert np.abs(found - expected).max() <= 1e-4
    assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize(
    "settings, problem",
    [
        ({"table": "original", "width": 0.75}, "do not fit its recipe"),
        ({"kind": "frame-vit"}, "cannot be told"),
        ({}, "cannot be told"),
        ({"table": "stgram", "width": 0.75, "activation": "prelu"}, "prelu was rewritten"),
    ],
)
def test_what_cannot_be_rebuilt_is_said(settings: dict[str, object], problem: str) -> None:
    model = dataclasses.replace(load_model(precision="fp32"), provenance={"recipe": {"model": settings}})
    with pytest.raises(DataError, match=problem):
        rebuilt(model)


def test_the_int8_file_holds_no_float_network() -> None:
    with pytest.raises(DataError, match="do not fit"):
        rebuilt(load_model())

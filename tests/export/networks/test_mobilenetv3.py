"""MobileNetV3: the published parameter count, the published names, and weights that load for two channels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from edge_asd.errors import ConfigError, DataError
from export.networks.mobilenetv3 import MobileNetV3, divisible, read_weights
from export.networks.registry import count_parameters


def test_counts_are_those_of_the_published_networks() -> None:
    """timm's, with 1000 classes and three colours."""
    assert count_parameters(MobileNetV3(channels=3, embedding_size=1000)) == 5_483_032
    assert count_parameters(MobileNetV3(channels=3, embedding_size=1000, table="small")) == 2_542_856
    assert count_parameters(MobileNetV3(channels=3, embedding_size=1000, table="small", width=0.5)) == 1_593_224


def test_parts_are_called_as_in_the_published_file() -> None:
    names = set(MobileNetV3(channels=2, embedding_size=8).state_dict())
    assert {
        "conv_stem.weight", "bn1.running_var", "blocks.0.0.conv_dw.weight", "blocks.0.0.bn1.weight",
        "blocks.0.0.conv_pw.weight", "blocks.0.0.bn2.bias", "blocks.2.1.conv_pwl.weight", "blocks.2.1.bn3.weight",
        "blocks.2.2.se.conv_reduce.bias", "blocks.5.2.se.conv_expand.weight", "blocks.6.0.conv.weight",
        "blocks.6.0.bn1.running_mean", "conv_head.bias", "classifier.weight",
    } <= names  # fmt: skip
    assert "blocks.1.0.se.conv_reduce.weight" not in names


@pytest.mark.parametrize(("frames", "mels"), [(313, 128), (17, 32)])
def test_pictures_of_any_size(frames: int, mels: int) -> None:
    network = MobileNetV3(channels=2, embedding_size=24, table="small", width=0.5).eval()
    assert network(torch.zeros(3, 2, frames, mels)).shape == (3, 24)


def published(tmp_path: Path, **wrapped: bool) -> Path:
    torch.manual_seed(1)
    state = MobileNetV3(channels=3, embedding_size=1000, table="small").state_dict()
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": state} if wrapped.get("wrapped") else state, path)
    return path


@pytest.mark.parametrize("wrapped", [False, True])
def test_published_weights_are_taken_over_and_the_stem_hears_both_channels(tmp_path: Path, wrapped: bool) -> None:
    path = published(tmp_path, wrapped=wrapped)
    weights = read_weights(str(path))
    network = MobileNetV3(channels=2, embedding_size=24, table="small")
    network.load_published(weights)
    assert torch.equal(network.blocks[0][0].conv_dw.weight, weights["blocks.0.0.conv_dw.weight"])
    stem = network.conv_stem.weight
    torch.testing.assert_close(stem, weights["conv_stem.weight"][:, :2] * 1.5)
    # A grey picture excites three equal colours' mean and two equal channels about alike in size.
    grey = torch.rand(1, 1, 32, 32)
    three = functional.conv2d(grey.repeat(1, 3, 1, 1), weights["conv_stem.weight"])
    two = functional.conv2d(grey.repeat(1, 2, 1, 1), stem)
    assert 0.5 < float(two.detach().norm() / three.norm()) < 2.0


def test_safetensors_files_are_read(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    weights = torch.load(published(tmp_path))
    safetensors.save_file(weights, tmp_path / "weights.safetensors")
    read = read_weights(str(tmp_path / "weights.safetensors"))
    assert read.keys() == weights.keys()
    assert torch.equal(read["conv_head.weight"], weights["conv_head.weight"])


@pytest.mark.parametrize("name", ["noise.pth", "noise.safetensors"])
def test_a_file_without_weights_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not weights")
    with pytest.raises(DataError, match=name):
        read_weights(str(tmp_path / name))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"a": "b"}, tmp_path / "words.pth")
    with pytest.raises(DataError, match="not a state dict"):
        read_weights(str(tmp_path / "words.pth"))
    small = read_weights(str(published(tmp_path)))
    with pytest.raises(DataError, match=r"not of MobileNetV3 large.*mobilenetv3_large_100"):
        MobileNetV3(channels=2, embedding_size=8, table="large").load_published(small)
    with pytest.raises(DataError, match=r"width 0.5"):
        MobileNetV3(channels=2, embedding_size=8, table="small", width=0.5).load_published(small)
    wrong = {**small, "conv_head.bias": torch.zeros(3)}
    with pytest.raises(DataError, match=r"conv_head.bias is \[3\], expected \[1024\]"):
        MobileNetV3(channels=2, embedding_size=8, table="small").load_published(wrong)


def test_impossible_settings_are_named() -> None:
    with pytest.raises(ConfigError, match=r"model.table 'huge'"):
        MobileNetV3(channels=2, embedding_size=8, table="huge")
    with pytest.raises(ConfigError, match="width 0"):
        MobileNetV3(channels=2, embedding_size=8, width=0.0)


def test_channels_come_in_vector_lanes_and_lose_no_more_than_a_tenth() -> None:
    assert [divisible(x) for x in (4, 16, 36, 44, 88, 184, 200)] == [8, 16, 40, 48, 88, 184, 200]
    assert all(divisible(x) % 8 == 0 and divisible(x) >= 0.9 * x for x in range(1, 500))

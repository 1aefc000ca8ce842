"""ST-gram: the published counts and shapes, the published score, and windows of other lengths for the edge."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from edge_asd.contract import LOG_MEL, WAVEFORM
from edge_asd.errors import ConfigError
from export.networks.losses import ArcFace
from export.networks.mobilefacenet import MobileFaceNet
from export.networks.network import EMBEDDER, SCORER
from export.networks.registry import build_network, count_parameters
from export.networks.stgram import SectionSurprise, Settings, StGram
from export.networks.tgram import TgramNet, stacked
from export.recipe import Recipe
from export.recipes.load import load_recipe

CLIP = 160_000
"""Samples of the challenge's clips of 10 s."""


def published_tgram() -> TgramNet:
    return TgramNet(bands=128, frames=313, n_fft=1024, hop_samples=512)


def network(name: str, **model: object) -> StGram:
    recipe = load_recipe(name)
    recipe = dataclasses.replace(
        recipe,
        model=dataclasses.replace(recipe.model, **model),
        contract=dataclasses.replace(recipe.contract, sections=("fan/00", "fan/01", "fan/02")),
    )
    torch.manual_seed(0)
    built = build_network(recipe).eval()
    assert isinstance(built, StGram)
    return built


def test_the_published_counts() -> None:
    assert count_parameters(published_tgram()) == 280_406
    backbone = MobileFaceNet(window_frames=313, n_mels=128, embedding_size=128, activation="prelu", channels=2)
    assert count_parameters(backbone) == 870_336
    assert count_parameters(network("stgram-mfn", scores=False)) == 1_150_742


def test_the_published_global_convolution_spans_8_by_20() -> None:
    pooling = network("stgram-mfn").backbone.head[1][0]
    assert pooling.kernel_size == (20, 8) and pooling.groups == 512  # time before bands here


def test_ten_seconds_are_313_frames_and_the_convolution_is_the_published_padded_one() -> None:
    tgram = published_tgram()
    clip = torch.randn(2, CLIP)
    waveform = functional.pad(clip, (512, 512))
    assert load_recipe("stgram-mfn").model_contract().window_samples <= waveform.shape[1]
    waveform = waveform[:, : load_recipe("stgram-mfn").model_contract().window_samples]
    assert tgram(waveform).shape == (2, 128, 313)
    padded = functional.conv1d(clip.unsqueeze(1), tgram.filters.weight, stride=512, padding=512)
    torch.testing.assert_close(tgram.filters(waveform.unsqueeze(1)), padded)


def test_the_layers_come_in_the_published_order() -> None:
    kinds = [type(layer).__name__ for layer in published_tgram().refine]
    assert kinds == ["LayerNorm", "LeakyReLU", "Conv1d"] * 3
    norm, leaky, conv = published_tgram().refine[:3]
    assert norm.normalized_shape == (313,) and leaky.negative_slope == 0.2 and conv.bias is None


def test_time_and_bands_of_both_channels_lie_alike() -> None:
    log_mel, tgram = torch.zeros(1, 1, 5, 7), torch.zeros(1, 7, 5)
    log_mel[0, 0, 4, 2] = tgram[0, 2, 4] = 1.0
    both = stacked(log_mel, tgram)
    assert both.shape == (1, 2, 5, 7) and torch.equal(both[:, 0], both[:, 1])


@pytest.mark.parametrize("frames", [16, 40])
def test_the_edge_build_takes_short_windows_and_cares_not_how_loud_they_are(frames: int) -> None:
    tgram = TgramNet(bands=32, frames=313, n_fft=256, hop_samples=128, norm="instance").eval()
    waveform = 0.1 * torch.randn(2, (frames - 1) * 128 + 256)
    torch.testing.assert_close(tgram(waveform), tgram(0.1 * waveform), rtol=2e-2, atol=2e-2)
    assert tgram(waveform).shape == (2, 32, frames)
    assert torch.isfinite(tgram(torch.zeros_like(waveform))).all()


@pytest.mark.parametrize(
    "name", ["stgram-mfn", "stgram-mfn-edge", "stgram-mnv3", "stgram-mnv3-edge", "mfn-dual", "mfn-dual-edge"]
)
def test_each_recipe_gives_its_embedding(name: str) -> None:
    contract = load_recipe(name).model_contract()
    assert contract.inputs == (LOG_MEL, WAVEFORM)
    with torch.no_grad():
        embeddings = network(name)(
            torch.zeros(2, 1, contract.window_frames, 128), torch.randn(2, contract.window_samples)
        )
    assert embeddings.shape == (2, contract.embedding_size)


def test_the_score_is_the_published_one() -> None:
    """-log softmax of s cos(theta + m) for the true section and s cos(theta) for the others."""
    torch.manual_seed(2)
    head = ArcFace(16, 4, scale=30.0, margin=0.7)
    embeddings, sections = torch.randn(50, 16), torch.arange(50) % 4
    embeddings[:25] += 6.0 * head.centres[sections[:25]].detach()
    one_hot = functional.one_hot(sections, 4).float()
    unit = functional.normalize(embeddings.double(), dim=1), functional.normalize(head.centres.double(), dim=1)
    angles = torch.acos((unit[0] @ unit[1].T).clamp(-1.0, 1.0))
    logits = 30.0 * torch.cos(angles + 0.7 * one_hot)
    wanted = -(torch.log_softmax(logits, dim=1) * one_hot).sum(dim=1)
    near = angles.gather(1, sections[:, None])[:, 0] < math.pi - 0.7
    with torch.no_grad():
        scores = SectionSurprise(head.eval())(embeddings, one_hot)
    assert scores.shape == (50, 1) and int(near.sum()) > 40
    torch.testing.assert_close(scores[near, 0].double(), wanted[near], rtol=1e-3, atol=1e-4)
    # In training the same head asks for the same.
    losses = head.train().per_sample(embeddings, sections)
    torch.testing.assert_close(scores[:, 0], losses, rtol=1e-3, atol=1e-4)


def test_scores_of_sounds_quite_their_own_still_differ_and_a_cosine_of_one_is_a_number() -> None:
    head = ArcFace(8, 3, scale=64.0, margin=0.1)
    with torch.no_grad():
        head.centres.copy_(torch.eye(3, 8))
    embeddings = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.01, 0.0], [1.0, 0.02, 0.0]])
    embeddings = functional.pad(embeddings, (0, 5)).requires_grad_()
    scores = SectionSurprise(head)(embeddings, torch.eye(3)[[0, 0, 0]])[:, 0]
    assert 0.0 < scores[0].item() < scores[1].item() < scores[2].item() < 1e-6
    scores.sum().backward()
    assert embeddings.grad is not None and torch.isfinite(embeddings.grad).all()


def test_the_classifier_is_the_scorer_and_its_centres_are_trained() -> None:
    built = network("stgram-mfn-edge")
    head = built.own_head()
    assert head is not None and head.centres.shape == (3, 128)
    assert set(built.graphs()) == {EMBEDDER, SCORER}
    assert any(p is head.centres for p in built.parameters())
    assert network("mfn-dual-edge").own_head() is None and set(network("mfn-dual-edge").graphs()) == {EMBEDDER}


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ConfigError, match=r"model.norm 'batch'"):
        network("stgram-mfn-edge", norm="batch")
    with pytest.raises(ConfigError, match=r"model.backbone 'resnet'"):
        network("stgram-mfn-edge", backbone="resnet")
    with pytest.raises(ConfigError, match=r"model.table 'stgram' is none of large, small"):
        network("stgram-mfn-edge", backbone="mobilenetv3")
    recipe = dataclasses.replace(Recipe("x"), model=Settings())
    with pytest.raises(ConfigError, match=r"needs head.kind arcface"):
        build_network(recipe)


def test_published_weights_are_named_only_where_there_are_some() -> None:
    assert "timm/mobilenetv3_large_100" in network("stgram-mnv3").published["mobilenetv3"]
    assert not network("stgram-mfn-edge").published


def test_the_frame_vit_of_the_report_has_its_size() -> None:
    recipe = load_recipe("vit-knn")
    assert abs(count_parameters(build_network(recipe)) - 21.4e6) < 0.02 * 21.4e6
    assert (recipe.contract.window_frames, recipe.contract.step_frames) == (64, 4)
    windows = np.arange(0, 313 - 64 + 1, recipe.contract.step_frames)
    assert len(windows) == 63
    assert (recipe.head.kind, recipe.head.scale, recipe.head.margin) == ("arcface", 64.0, 0.5)
    assert (recipe.augment.mixup_probability, recipe.augment.mixup_alpha) == (1.0, 0.5)


def test_every_machine_and_section_has_one_network_in_system_3() -> None:
    from export.recipe import section_names

    subsets = load_recipe("vit-knn-3").recordings.subsets
    served: dict[tuple[str, str], str] = {}
    for subset in subsets:
        trained = section_names(subset.sections) or tuple(f"0{i}" for i in range(6))
        for machine, sections in subset.serves.items():
            for section in section_names(sections) or tuple(f"0{i}" for i in range(6)):
                assert section in trained and (machine, section) not in served
                served[machine, section] = subset.name
    assert len(served) == 7 * 6
    assert served["fan", "02"] == "2_5-25" and served["valve", "00"] == "0_3-20" and served["slider", "05"] == "eval-25"

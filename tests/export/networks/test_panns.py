import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from edge_asd.contract import LogMelSpec  # noqa: E402
from edge_asd.errors import ConfigError, DataError, MissingInputError  # noqa: E402
from edge_asd.frontend import mel_weights  # noqa: E402
from export.formats.onnx_export import to_onnx  # noqa: E402
from export.networks.panns import FRONT_END, ResNet38, load_published  # noqa: E402


def small(**changes):
    torch.manual_seed(0)
    return ResNet38(**{"stages": 2, "width": 1 / 16, **changes})


def published(width=1.0, generator=None):
    """A state dict with the names and shapes of the published file, and random values."""
    shapes = {"spectrogram_extractor.stft.conv_real.weight": (513, 1, 4)}

    def norm(name, n):
        shapes.update({f"{name}.{part}": (n,) for part in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.num_batches_tracked"] = ()

    def block(name, n_in, n):
        shapes.update({f"{name}.conv1.weight": (n, n_in, 3, 3), f"{name}.conv2.weight": (n, n, 3, 3)})
        norm(f"{name}.bn1", n)
        norm(f"{name}.bn2", n)

    norm("bn0", 64)
    channels = [round(width * n) for n in (64, 128, 256, 512)]
    block("conv_block1", 1, channels[0])
    for stage, (n, repeats) in enumerate(zip(channels, (3, 4, 6, 3), strict=True), start=1):
        n_in = channels[max(0, stage - 2)]
        for k in range(repeats):
            block(f"resnet.layer{stage}.{k}", n_in if k == 0 else n, n)
        if stage > 1:
            shapes[f"resnet.layer{stage}.0.downsample.1.weight"] = (n, n_in, 1, 1)
            norm(f"resnet.layer{stage}.0.downsample.2", n)
    block("conv_block_after1", channels[-1], 8)
    shapes.update({"fc1.weight": (8, 8), "fc1.bias": (8,), "fc_audioset.weight": (5, 8), "fc_audioset.bias": (5,)})
    generator = generator or torch.Generator().manual_seed(1)
    state = {name: 0.5 + torch.rand(shape, generator=generator) for name, shape in shapes.items()}
    for name in state:
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
    state["logmel_extractor.melW"] = torch.from_numpy(mel_weights(FRONT_END))
    return state


@pytest.fixture
def file(tmp_path):
    def written(held):
        torch.save(held, tmp_path / "weights.pth")
        return tmp_path / "weights.pth"

    return written


def test_all_sixteen_blocks_make_3776_features():
    network = ResNet38()
    assert network.feature_size == 3776 == 3 * 64 + 4 * 128 + 6 * 256 + 3 * 512
    assert sum(len(stage) for stage in network.resnet.children()) == 16
    seen = []
    for stage in network.resnet.children():
        stage[-1].register_forward_hook(lambda module, given, made: seen.append(tuple(made.shape)))
    assert network(torch.full((1, 1, 101, 64), -40.0)).shape == (1, 3776)
    assert seen == [(1, 64, 50, 32), (1, 128, 25, 16), (1, 256, 12, 8), (1, 512, 6, 4)]
    # Convolutions, BatchNorms and shortcuts of the sixteen blocks and the stem, counted by hand from the paper's table.
    convolutions = 9 * (64 + 64 * 64) + 9 * 6 * 64**2 + 9 * (64 * 128 + 7 * 128**2) + 9 * (128 * 256 + 11 * 256**2)
    convolutions += 9 * (256 * 512 + 5 * 512**2) + 64 * 128 + 128 * 256 + 256 * 512
    norms = 2 * (64 + 2 * 64 + 6 * 64 + 9 * 128 + 13 * 256 + 7 * 512)
    assert sum(p.numel() for p in network.parameters()) == convolutions + norms


def test_it_is_the_published_computation():
    """Stem and the first two blocks of the second stage, written out in numpy."""
    network = small(stages=2).double()
    generator = torch.Generator().manual_seed(3)
    network.load_state_dict(
        {
            name: value if value.dtype == torch.int64 else torch.rand(value.shape, generator=generator).double()
            for name, value in network.state_dict().items()
        }
    )
    w = {name: value.numpy() for name, value in network.state_dict().items()}
    heard = np.random.default_rng(0).normal(-40, 10, (12, 64))

    def norm(x, name, axis=0):
        shape = [-1 if i == axis else 1 for i in range(x.ndim)]
        mean, var, weight, bias = (
            w[f"{name}.{part}"].reshape(shape) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / np.sqrt(var + 1e-5) * weight + bias

    def conv(x, name):
        kernel = w[name]
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        cut = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        return np.einsum("chwij,ocij->ohw", cut, kernel)

    def halved(x):
        h, v = x.shape[1] // 2, x.shape[2] // 2
        return x[:, : 2 * h, : 2 * v].reshape(len(x), h, 2, v, 2).mean(axis=(2, 4))

    def two(x, name):
        x = np.maximum(norm(conv(x, f"{name}.conv1.weight"), f"{name}.bn1"), 0)
        return norm(conv(x, f"{name}.conv2.weight"), f"{name}.bn2")

    x = halved(np.maximum(two(norm(heard, "bn0", axis=1)[None], "conv_block1"), 0))
    means = []
    for k in range(3):
        x = np.maximum(two(x, f"resnet.layer1.{k}") + x, 0)
        means.append(x.mean(axis=(1, 2)))
    around = np.einsum("chw,oc->ohw", halved(x), w["resnet.layer2.0.downsample.1.weight"][:, :, 0, 0])
    x = np.maximum(two(halved(x), "resnet.layer2.0") + norm(around, "resnet.layer2.0.downsample.2"), 0)
    means.append(x.mean(axis=(1, 2)))
    given = network(torch.from_numpy(heard)[None, None])[0].numpy()
    expected = np.concatenate(means)
    assert np.allclose(given[: expected.size], expected, rtol=1e-9)


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_published_file_loads_bare_or_as_a_checkpoint(file, wrapped):
    width = 1.0 if wrapped else 1 / 16
    state = published(width)
    sampler = {"indexes": np.arange(3), "pointer": np.int64(2), "rate": np.float64(0.5)}
    path = file({"iteration": 600000, "model": state, "sampler": sampler} if wrapped else state)
    network = ResNet38(width=width)
    load_published(network, path, FRONT_END)
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name])


def test_a_smaller_network_takes_its_stages_from_the_published_file(file):
    network, state = small(stages=1), published(width=1 / 16)
    load_published(network, file(state), FRONT_END)
    assert torch.equal(network.resnet.layer1[2].bn2.bias, state["resnet.layer1.2.bn2.bias"])


def test_a_file_that_is_not_there_says_where_it_is_published(tmp_path):
    with pytest.raises(MissingInputError, match=r"none\.pth") as caught:
        load_published(small(), tmp_path / "none.pth", FRONT_END)
    assert "zenodo" in caught.value.remedy


@pytest.mark.parametrize("kept", [0, 40, 2000])
def test_a_truncated_file_is_named(tmp_path, file, kept):
    path = file(published(width=1 / 16))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"weights\.pth"):
        load_published(small(), path, FRONT_END)


def test_a_file_that_would_run_code_is_refused(file):
    with pytest.raises(DataError, match="no weights can be read"):
        load_published(small(), file({"model": pytest.approx(1)}), FRONT_END)


def test_what_does_not_fit_is_named(file):
    state = published(width=1 / 16)
    with pytest.raises(DataError, match="no state dict"):
        load_published(small(), file([1, 2]), FRONT_END)
    del state["resnet.layer1.1.conv2.weight"]
    state["resnet.layer1.9.conv2.weight"] = torch.zeros(1)
    with pytest.raises(DataError, match=r"layer1\.1\.conv2\.weight missing, resnet\.layer1\.9\.conv2\.weight unknown"):
        load_published(small(), file(state), FRONT_END)
    with pytest.raises(ConfigError, match=r"\[8, 1, 3, 3\].*\[4, 1, 3, 3\]"):
        load_published(small(), file(published(width=1 / 8)), FRONT_END)
    state = published(width=1 / 16)
    state["bn0.bias"][3] = torch.nan
    with pytest.raises(DataError, match=r"bn0\.bias"):
        load_published(small(), file(state), FRONT_END)


def test_weights_for_other_bands_are_refused(file):
    other = LogMelSpec(rate_hz=32000, n_fft=1024, hop_samples=320, n_mels=64, fmin_hz=0.0, fmax_hz=16000.0)
    with pytest.raises(ConfigError, match="other mel bands"):
        load_published(small(), file(published(width=1 / 16)), other)


def test_the_listener_is_frozen_and_random_features_are_of_one_scale():
    network = small(stages=4, width=0.125).train()
    assert not any(module.training for module in network.modules())
    assert not any(p.requires_grad for p in network.parameters())
    features = network(-40.0 + 5.0 * torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(2)))
    assert features.min() >= 0 and 0.1 < float(features.mean()) < 5.0
    assert torch.equal(small().state_dict()["conv_block1.conv1.weight"], small().conv_block1.conv1.weight)


def test_onnx_equals_torch_at_any_batch():
    import onnx
    import onnxruntime

    model = small()
    file = to_onnx(model, 40, 64)
    kinds = {node.op_type for node in onnx.load_from_string(file).graph.node}
    assert "BatchNormalization" not in kinds and "Sqrt" not in kinds
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        windows = np.random.default_rng(batch).normal(-40, 10, (batch, 1, 40, 64)).astype(np.float32)
        expected = model(torch.from_numpy(windows)).numpy()
        assert np.allclose(session.run(None, {"log_mel": windows})[0], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("wrong", [{"stages": 0}, {"stages": 5}, {"width": 0.0}, {"n_mels": 3}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match="stages"):
        small(**wrong)

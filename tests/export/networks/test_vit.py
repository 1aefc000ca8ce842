import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from edge_asd.errors import ConfigError  # noqa: E402
from export.formats.onnx_export import to_onnx  # noqa: E402
from export.networks.registry import count_parameters  # noqa: E402
from export.networks.vit import FrameViT  # noqa: E402


def network(**changes):
    sizes = {
        "window_frames": 64,
        "n_mels": 128,
        "embedding_size": 24,
        "size": 24,
        "depth": 2,
        "heads": 3,
        "mlp_size": 48,
    }
    return FrameViT(**{**sizes, **changes}).eval()


def test_the_reports_network_has_the_parameters_counted_in_it():
    paper = network(embedding_size=384, size=384, depth=12, heads=6, mlp_size=1536)
    assert count_parameters(paper) == 21_369_216  # 21.4 M
    small = network(embedding_size=128, size=192, depth=4, heads=3, mlp_size=768)
    assert count_parameters(small) == pytest.approx(1.84e6, rel=0.005)


@pytest.mark.parametrize("window_frames", [32, 64, 313])
def test_windows_from_one_to_ten_seconds_become_one_embedding(window_frames):
    model = network(window_frames=window_frames, embedding_size=16)
    assert model(torch.zeros(3, 1, window_frames, 128)).shape == (3, 16)


def test_it_is_the_published_computation():
    """One block, one head, written out in numpy."""
    torch.manual_seed(0)
    model = network(window_frames=5, n_mels=8, embedding_size=6, size=6, depth=1, heads=1, mlp_size=12).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.5)
    heard = np.random.default_rng(0).normal(size=(5, 8))
    w = {name: value.detach().numpy() for name, value in model.named_parameters()}

    def linear(x, name):
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    def norm(x, name):
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
        return scaled * w[name + ".weight"] + w[name + ".bias"]

    x = np.concatenate((w["token"][0], linear(heard, "embed"))) + w["positions"][0]
    query, key, value = np.split(linear(norm(x, "blocks.0.before_attention"), "blocks.0.attention.joint"), 3, axis=1)
    attention = np.exp(query @ key.T / np.sqrt(6))
    attention /= attention.sum(axis=1, keepdims=True)
    x = x + linear(attention @ value, "blocks.0.attention.out")
    wide = linear(norm(x, "blocks.0.before_mlp"), "blocks.0.widen")
    erf = torch.erf(torch.from_numpy(wide / np.sqrt(2))).numpy()
    x = x + linear(0.5 * wide * (1 + erf), "blocks.0.narrow")
    with torch.no_grad():
        given = model(torch.from_numpy(heard)[None, None])
        assert np.allclose(given[0], x[0])
        assert np.allclose(model.for_head(given)[0], norm(x[0], "last_norm"))


def test_onnx_equals_torch_at_any_batch():
    import onnxruntime

    torch.manual_seed(1)
    model = network(embedding_size=16)
    session = onnxruntime.InferenceSession(to_onnx(model, 64, 128), providers=["CPUExecutionProvider"])
    for batch in (1, 5):
        windows = np.random.default_rng(batch).normal(size=(batch, 1, 64, 128)).astype(np.float32)
        with torch.no_grad():
            expected = model(torch.from_numpy(windows)).numpy()
        assert np.allclose(session.run(None, {"log_mel": windows})[0], expected, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"heads": 5}, {"depth": 0}, {"mlp_size": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match="multiple of heads"):
        network(**wrong)

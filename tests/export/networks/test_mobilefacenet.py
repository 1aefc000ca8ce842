import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from edge_asd.errors import ConfigError  # noqa: E402
from export.networks.mobilefacenet import MobileFaceNet, scaled  # noqa: E402
from export.networks.registry import count_parameters  # noqa: E402


def network(**changes):
    return MobileFaceNet(**{"window_frames": 64, "n_mels": 128, "embedding_size": 128, **changes})


@pytest.mark.parametrize("table", ["original", "stgram"])
@pytest.mark.parametrize(("window_frames", "n_mels"), [(64, 128), (32, 128), (100, 64), (313, 128)])
def test_any_window_becomes_one_embedding(table, window_frames, n_mels):
    model = network(table=table, window_frames=window_frames, n_mels=n_mels, width=0.25).eval()
    assert model(torch.zeros(3, 1, window_frames, n_mels)).shape == (3, 128)


def test_parameter_counts_are_those_of_the_published_networks():
    # ST-gram's variant is given as 0.87 M with PReLU and a (8, 20) pooling kernel over 313 frames.
    assert count_parameters(network(table="stgram", window_frames=313)) == pytest.approx(0.87e6, rel=0.02)
    # The paper's network has 0.99 M with 112 x 112 faces.
    assert count_parameters(network(table="original")) == pytest.approx(0.99e6, rel=0.04)


def test_width_scales_channels_in_steps_of_eight():
    assert [scaled(c, 0.65) for c in (64, 128, 512)] == [40, 80, 336]
    assert scaled(64, 0.01) == 8
    assert count_parameters(network(width=0.5)) < 0.4 * count_parameters(network(width=1.0))


def test_nothing_but_relu6_stands_between_convolutions():
    kinds = {type(m).__name__ for m in network(width=0.25).modules() if not list(m.children())}
    assert kinds == {"Conv2d", "BatchNorm2d", "ReLU6", "Flatten"}


@pytest.mark.parametrize(
    "wrong", [{"table": "resnet"}, {"activation": "swish"}, {"width": 0.0}, {"window_frames": 8}, {"embedding_size": 0}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=str(next(iter(wrong.values())))):
        network(**wrong)

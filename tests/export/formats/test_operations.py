import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")
pytest.importorskip("onnx", reason="the export extra is not installed")

from export.formats.onnx_export import to_onnx  # noqa: E402
from export.formats.operations import onnx_macs, torch_macs  # noqa: E402
from export.networks.mobilefacenet import MobileFaceNet  # noqa: E402
from export.networks.vit import FrameViT  # noqa: E402
from export.quantising.quantise import Quantiser  # noqa: E402


@pytest.mark.parametrize(
    "network",
    [
        MobileFaceNet(window_frames=32, n_mels=32, embedding_size=8, width=0.125),
        FrameViT(window_frames=32, n_mels=32, embedding_size=8, size=16, depth=2, heads=2, mlp_size=32),
    ],
    ids=["convolutions", "attention"],
)
def test_torch_its_file_and_its_int8_file_count_alike(network):
    window = torch.randn(1, 1, 32, 32)
    counted = torch_macs(network, [window])
    exported = to_onnx(network.eval(), 32, 32)
    assert counted == onnx_macs(exported) > 10_000
    int8 = Quantiser(exported, np.random.default_rng(0).normal(size=(4, 1, 32, 32)).astype(np.float32))
    assert onnx_macs(int8.static()) == counted and onnx_macs(int8.dynamic()) == counted


def test_a_layer_is_counted_by_hand():
    assert torch_macs(torch.nn.Conv2d(3, 8, 3, padding=1), [torch.zeros(1, 3, 10, 20)]) == 10 * 20 * 8 * 3 * 9
    assert torch_macs(torch.nn.Linear(5, 7), [torch.zeros(4, 5)]) == 4 * 5 * 7

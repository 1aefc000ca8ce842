import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from edge_asd.errors import DataError  # noqa: E402
from export.formats.onnx_export import to_onnx  # noqa: E402
from export.networks.mobilefacenet import MobileFaceNet  # noqa: E402
from export.networks.rewrite import clamp_slopes, without_prelu  # noqa: E402


@pytest.fixture
def network():
    torch.manual_seed(0)
    model = MobileFaceNet(window_frames=32, n_mels=64, embedding_size=8, width=0.125, activation="prelu").eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.PReLU):
                module.weight.uniform_(0.0, 1.0)
                module.weight[0], module.weight[1] = 0.0, 1.0
    return model


def test_the_rewritten_network_is_the_same_function_bit_for_bit(network):
    windows = torch.randn(4, 1, 32, 64)
    rewritten = without_prelu(network)
    assert not any(isinstance(module, torch.nn.PReLU) for module in rewritten.modules())
    assert any(isinstance(module, torch.nn.PReLU) for module in network.modules())
    with torch.no_grad():
        assert torch.equal(rewritten(windows), network(windows))


def test_no_prelu_reaches_the_onnx_file(network):
    import onnx
    import onnxruntime

    file = to_onnx(network, 32, 64)
    kinds = {node.op_type for node in onnx.load_from_string(file).graph.node}
    assert "PRelu" not in kinds and "Max" in kinds
    windows = np.random.default_rng(0).normal(size=(3, 1, 32, 64)).astype(np.float32)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = network(torch.from_numpy(windows)).numpy()
    assert np.allclose(session.run(None, {"log_mel": windows})[0], expected, atol=1e-4)


@pytest.mark.parametrize("slope", [-0.1, 1.5])
def test_a_slope_max_cannot_stand_for_is_refused_by_name(network, slope):
    with torch.no_grad():
        network.blocks[0][2].weight[3] = slope
    with pytest.raises(DataError, match=r"PReLU blocks\.0\.2: slopes of .*0 to 1"):
        without_prelu(network)
    clamp_slopes(network)
    without_prelu(network)

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")
onnx = pytest.importorskip("onnx", reason="the export extra is not installed")

from edge_asd.errors import ConfigError, DataError  # noqa: E402
from edge_asd.inference.onnx import OnnxEmbedder  # noqa: E402
from edge_asd.model_package import load_model  # noqa: E402
from export.formats.integer_ops import onnx_integer_ops, require_integer  # noqa: E402
from export.formats.onnx_export import to_onnx  # noqa: E402
from export.networks.registry import build_network  # noqa: E402
from export.packages.package import write_package  # noqa: E402
from export.quantising.quantise import Quantiser  # noqa: E402

N_WINDOWS = 24


@pytest.fixture(scope="module")
def windows():
    """Normalised inputs, float32 [n, 1, 64, 128]."""
    return np.random.default_rng(1).normal(0, 0.5, (N_WINDOWS, 1, 64, 128)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tiny_recipe):
    """A network whose BatchNorms have statistics of their own: fresh ones would hide a wrong folding."""
    torch.manual_seed(0)
    model = build_network(tiny_recipe)
    model.train()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.2, 0.2)
        for _ in range(4):
            model(torch.randn(16, 1, 64, 128) * 0.5)
    return model.eval()


@pytest.fixture(scope="module")
def network(model):
    return to_onnx(model, 64, 128)


def embedding_cosines(contract, one, other, windows):
    a, b = (OnnxEmbedder(network, contract).embed(windows) for network in (one, other))
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def run(network, inputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    return session.run(["embedding"], {"log_mel": inputs})[0]


@pytest.mark.parametrize("batch", [1, N_WINDOWS])
def test_onnx_equals_torch_at_any_batch(model, network, windows, batch):
    with torch.no_grad():
        expected = model(torch.from_numpy(windows[:batch])).numpy()
    assert np.allclose(run(network, windows[:batch]), expected, atol=1e-4)


def test_no_batchnorm_is_left(network):
    assert "BatchNormalization" not in {node.op_type for node in onnx.load_from_string(network).graph.node}


def test_every_convolution_becomes_integer_and_hardly_moves(network, windows, tiny_recipe):
    int8 = Quantiser(network, windows).static()
    count = onnx_integer_ops(int8)
    assert count.integer == count.all == onnx_integer_ops(network).all > 10
    assert onnx_integer_ops(network).integer == 0
    contract = tiny_recipe.model_contract()
    cosines = embedding_cosines(contract, network, int8, contract.input_scale_db * windows[:, 0])
    assert cosines.mean() > 0.95  # random weights on white noise; the shipped network is held to more below


def test_weights_keep_to_seven_bits(network, windows):
    """Without it a processor that lacks VNNI overflows and gives other embeddings."""
    import onnx
    from onnx import numpy_helper

    weights = [
        numpy_helper.to_array(t)
        for t in onnx.load_from_string(Quantiser(network, windows).static()).graph.initializer
        if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4
    ]
    assert weights and all(np.abs(w.astype(int)).max() <= 64 for w in weights)


def test_first_and_last_convolutions_can_stay_float(network, windows):
    quantiser = Quantiser(network, windows)
    count = onnx_integer_ops(quantiser.static(quantiser.ends(1, 2)))
    assert count.integer == count.all - 3
    with pytest.raises(ConfigError, match="leave nothing"):
        quantiser.ends(20, 20)


@pytest.mark.parametrize("level", [0.0, np.nan])
def test_silent_calibration_is_refused(network, level):
    with pytest.raises(DataError, match="calibration"):
        Quantiser(network, np.full((4, 1, 64, 128), level, np.float32))


def test_a_written_package_loads_and_runs(network, windows, tiny_recipe, tmp_path):
    contract = tiny_recipe.model_contract()
    int8 = Quantiser(network, windows).static()
    write_package(tmp_path / "m", contract, {("onnx", "int8"): int8, ("onnx", "fp32"): network}, {"made": "in a test"})
    for precision, expected in (("int8", int8), ("fp32", network)):
        loaded = load_model(tmp_path / "m", precision)
        assert (loaded.network, loaded.contract, loaded.provenance) == (expected, contract, {"made": "in a test"})
        assert OnnxEmbedder(loaded.network, loaded.contract).embed(windows[:, 0]).shape == (N_WINDOWS, 16)
    wrong = dataclasses.replace(contract, embedding_size=17)
    with pytest.raises(DataError, match="17"):
        OnnxEmbedder(network, wrong)


def test_the_shipped_package_is_whole_small_and_integer():
    int8, fp32 = load_model(), load_model(precision="fp32")
    assert int8.contract == fp32.contract
    assert (int8.contract.window_frames, int8.contract.features.n_mels, int8.contract.embedding_size) == (32, 128, 128)
    assert len(int8.network) <= 1_000_000
    floats = int8.provenance["recipe"]["quantise"]
    count = onnx_integer_ops(int8.network)
    assert count.integer == count.all - floats["float_first"] - floats["float_last"] > 0.8 * count.all
    require_integer(count, "shipped")
    with pytest.raises(DataError, match="shipped: a float model passed as int8: 0 of 23"):
        require_integer(onnx_integer_ops(fp32.network), "shipped")
    rng = np.random.default_rng(3)
    coloured = np.cumsum(rng.normal(0, 2, (32, 1, 128)), axis=2) + rng.normal(-40, 5, (32, 32, 128))
    cosines = embedding_cosines(int8.contract, fp32.network, int8.network, coloured.astype(np.float32))
    assert cosines.mean() > 0.995


def test_the_shipped_package_says_how_it_was_made():
    provenance = load_model().provenance
    assert {"recipe", "data", "teacher", "tools", "final_losses", "int8_cosine_to_fp32"} <= set(provenance)
    text = json.dumps(provenance)
    assert "/" + "work" not in text and "no recordings" in text

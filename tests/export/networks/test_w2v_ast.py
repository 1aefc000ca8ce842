import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")
transformers = pytest.importorskip("transformers", reason="the systems extra is not installed")
pytest.importorskip("onnx", reason="the export extra is not installed")

from edge_asd.errors import ConfigError, DataError, MissingInputError  # noqa: E402
from export.networks.kaldi import KaldiFilterBank, frames_in  # noqa: E402
from export.networks.w2v_ast import AttentiveStatistics, Settings, SubSystem, W2vAst, build  # noqa: E402
from export.recipe import ContractSettings, Recipe  # noqa: E402

SIZES = {"size": 32, "embedding_size": 32, "depth": 1, "heads": 2, "mlp_size": 32, "channels": 8}
TINY = Settings(**SIZES, ast_frames=208, attention_size=8, fusion_channels=4)
SAMPLES = 63 * 512 + 1024


@pytest.fixture(scope="module")
def recipe():
    return Recipe(name="tiny-w2v", contract=ContractSettings(window_frames=64), model=TINY)


@pytest.fixture(scope="module")
def network(recipe):
    torch.manual_seed(3)
    return build(recipe).eval()


@pytest.fixture(scope="module")
def sounds():
    return (0.1 * np.random.default_rng(7).standard_normal((3, SAMPLES))).astype(np.float32)


@pytest.mark.parametrize("samples", [16000, 20555])
def test_the_filter_bank_is_what_the_transformer_was_trained_on(samples):
    rng = np.random.default_rng(0)
    sound = (0.1 * rng.standard_normal(samples) + 0.05).astype(np.float32)
    extractor = transformers.ASTFeatureExtractor(max_length=112)
    theirs = extractor(sound, sampling_rate=16000, return_tensors="np")["input_values"][0]
    ours = KaldiFilterBank(128, 112)(torch.from_numpy(sound)[None])[0].numpy()
    assert ours.shape == theirs.shape == (112, 128)
    np.testing.assert_allclose(ours, theirs, atol=5e-5)


def test_silence_has_an_energy_too():
    ours = KaldiFilterBank(128, 10)(torch.zeros(1, 16000))
    assert ours.shape == (1, 10, 128) and torch.isfinite(ours).all()


def test_a_ten_second_clip_fits_the_published_1024_frames():
    assert frames_in(160_768) == 1003 <= Settings().ast_frames


def test_pooling_is_the_formula_of_the_paper():
    torch.manual_seed(0)
    pooling = AttentiveStatistics(5, 3)
    h = torch.randn(2, 7, 5)
    w, b, v, k = (p.detach().numpy().astype(np.float64) for p in pooling.parameters())
    frames = h.numpy().astype(np.float64)
    e = np.tanh(frames @ w.T + b) @ v[0] + k
    alpha = np.exp(e) / np.exp(e).sum(axis=1, keepdims=True)
    mu = (alpha[..., None] * frames).sum(axis=1)
    sigma = np.sqrt((alpha[..., None] * frames**2).sum(axis=1) - mu**2)
    np.testing.assert_allclose(pooling(h).detach().numpy(), np.stack((mu, sigma), axis=1), atol=1e-5)


def test_frames_all_alike_have_no_deviation_and_a_gradient():
    h = torch.full((1, 50, 5), 3.3, requires_grad=True)
    pooled = AttentiveStatistics(5, 3)(h)
    pooled.sum().backward()
    assert pooled[0, 1].abs().max() < 1e-2
    assert torch.isfinite(h.grad).all()


def test_stack_and_embedding_have_the_published_shapes():
    """768 numbers at the published size; one layer of each transformer is enough to see it."""
    settings = Settings(depth=1, channels=8)
    sub_system = SubSystem(settings).eval()
    with torch.no_grad():
        assert sub_system.stacked(torch.randn(1, 16000)).shape == (1, 3, 768)
        assert sub_system(torch.randn(2, 16000)).shape == (2, 768)


def test_embedding_is_the_weighted_mean_of_the_sub_systems(network, sounds):
    with torch.no_grad():
        first, second = network.both(torch.from_numpy(sounds))
        mixed = network(torch.from_numpy(sounds))
    assert not torch.allclose(first, second)
    torch.testing.assert_close(mixed, 0.38 * first + 0.62 * second)


def test_loudness_is_heard_by_one_transformer_only(network):
    quiet = torch.randn(1, SAMPLES) * 0.01
    with torch.no_grad():
        one, other = network.first.stacked(quiet), network.first.stacked(10 * quiet)
    assert (one - other)[:, :2].abs().max() < 1e-2 * (one - other)[:, 2].abs().max()


def test_onnx_gives_what_torch_gives(network, recipe, sounds):
    import onnxruntime

    from export.formats.onnx_export import graphs_to_onnx

    exported = graphs_to_onnx(network, recipe.model_contract())["embedder"]
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    assert [(i.name, i.shape[1:]) for i in session.get_inputs()] == [("waveform", [SAMPLES])]
    with torch.no_grad():
        wanted = network(torch.from_numpy(sounds)).numpy()
    np.testing.assert_allclose(session.run(None, {"waveform": sounds})[0], wanted, atol=2e-5)


def test_published_directories_load_into_both_sub_systems(network, recipe, tmp_path):
    """As they are published: wav2vec 2.0 with its pre-training heads, the other as a classifier."""
    torch.manual_seed(11)
    theirs = {
        "wav2vec2": transformers.Wav2Vec2ForPreTraining(network.first.wav2vec2.config),
        "ast": transformers.ASTForAudioClassification(network.first.ast.config),
    }
    for name, model in theirs.items():
        model.save_pretrained(tmp_path / name)
    fresh = build(recipe)
    said = []
    fresh.load_published({name: tmp_path / name for name in theirs}, said.append)
    assert len(said) == 2
    for sub_system in (fresh.first, fresh.second):
        for ours, original in (
            (sub_system.wav2vec2, theirs["wav2vec2"].wav2vec2),
            (sub_system.ast, theirs["ast"].audio_spectrogram_transformer),
        ):
            wanted = original.state_dict()
            assert all(torch.equal(value, wanted[key]) for key, value in ours.state_dict().items())


def test_weights_that_are_not_there_or_of_another_size_are_named(network, recipe, tmp_path):
    with pytest.raises(MissingInputError, match=r"wav2vec2: .*no config.json.*facebook/wav2vec2-base"):
        network.load_published({"wav2vec2": tmp_path / "none"}, print)
    larger = dataclasses.replace(TINY, size=48, embedding_size=48)
    W2vAst(larger).first.ast.save_pretrained(tmp_path / "larger")
    with pytest.raises(DataError, match="hidden_size is 48, this recipe's network has 32"):
        network.load_published({"ast": tmp_path / "larger"}, print)
    network.first.ast.save_pretrained(tmp_path / "torn")
    (tmp_path / "torn" / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"weights ast: .*torn"):
        network.load_published({"ast": tmp_path / "torn"}, print)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"embedding_size": 12}, "embedding_size 12 must be size"),
        ({"heads": 5}, "multiple of heads 5"),
        ({"share": 1.5}, "share is 1.5"),
        ({"ast_frames": 100}, "a window has 206 frames of 10 ms"),
    ],
)
def test_impossible_settings_are_refused(recipe, change, words):
    with pytest.raises(ConfigError, match=words):
        build(dataclasses.replace(recipe, model=dataclasses.replace(TINY, **change)))

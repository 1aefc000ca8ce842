"""Choosing what to quantise: the probe, the choice, sensitivity, fine-tuning, .ort files."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from edge_asd.errors import DataError  # noqa: E402
from edge_asd.inference.embedder import normalised  # noqa: E402
from edge_asd.inference.onnx import OnnxEmbedder  # noqa: E402
from edge_asd.model_package import load_model  # noqa: E402
from export.formats.integer_ops import OpCount, onnx_integer_ops, require_integer  # noqa: E402
from export.formats.onnx_export import to_onnx  # noqa: E402
from export.formats.ort_format import as_ort, start_ms  # noqa: E402
from export.networks.registry import build_network  # noqa: E402
from export.networks.rewrite import folded  # noqa: E402
from export.packages.make import Source, int8_network  # noqa: E402
from export.quantising.calibration import recorded_windows, simulated_windows, with_cut_bands  # noqa: E402
from export.quantising.choice import CLOSE_ENOUGH, Candidate, Limits, Scheme, chosen, sensitivity  # noqa: E402
from export.quantising.probe import Probe, ProbeMachine, ScoreLoss, recorded_probe, simulated_probe  # noqa: E402
from export.quantising.qat import Rounded, fine_tuned, weights_seen  # noqa: E402
from export.quantising.quantise import Quantiser  # noqa: E402
from export.recipe import ModelSettings, QuantiseSettings  # noqa: E402

GOOD, BAD = ScoreLoss(0.999, 0.99, 0.001, 0.005, 0.1), ScoreLoss(0.97, 0.9, 0.01, 0.05, 1.0)


@pytest.fixture(scope="module")
def windows():
    """Coloured noise in dB, float32 [n, 64, 128]."""
    rng = np.random.default_rng(0)
    return (rng.normal(-40, 6, (48, 64, 128)) + 20 * rng.normal(size=(48, 1, 1)) * np.linspace(-1, 1, 128)).astype("f4")


@pytest.fixture(scope="module")
def small_recipe(tiny_recipe):
    return dataclasses.replace(tiny_recipe, model=dataclasses.replace(tiny_recipe.model, width=0.125))


@pytest.fixture(scope="module")
def model(small_recipe):
    """Random weights, but BatchNorms that know the windows, so that embeddings differ from sound to sound."""
    torch.manual_seed(0)
    model = build_network(small_recipe)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    rng = np.random.default_rng(1)
    for _ in range(3):
        tilts = 10 * rng.normal(size=(32, 1, 1, 1)) * np.linspace(-1, 1, 128)
        model(torch.from_numpy(((rng.normal(0, 6, (32, 1, 64, 128)) + tilts) / 20).astype("f4")))
    return model.eval()


@pytest.fixture(scope="module")
def probe(small_recipe, windows):
    """Two machines: the first 12 windows enrol, 6 clips of 2 windows test, the last three of them anomalous."""
    clips, anomalous = np.repeat(np.arange(6), 2), np.repeat((False, True), 3)
    machines = [ProbeMachine(slice(s, s + 12), slice(s + 12, s + 24), clips, anomalous) for s in (0, 24)]
    return Probe(small_recipe.model_contract(), windows, machines)


@pytest.fixture(scope="module")
def source(small_recipe, model):
    settings = QuantiseSettings(calibration_windows=16, qat_steps=3)
    return Source(small_recipe.model_contract(), model, to_onnx(model, 64, 128), settings, {"made": "in a test"})


@pytest.fixture(scope="module")
def quantiser(source, windows):
    return Quantiser(source.network, normalised(windows, source.contract))


def test_a_network_against_itself_loses_nothing(probe, source):
    same = probe.embeddings(source.network)
    loss = probe.loss(same, same)
    assert loss == ScoreLoss(pytest.approx(1.0), pytest.approx(1.0), 0.0, 0.0, 0.0)


def test_the_probe_counts_lost_auc_the_plain_way(probe):
    """Embeddings of one number beside the first axis: distances are known."""

    def embeddings(distances):
        rows = np.tile([1.0, 0.0], (48, 1))
        for start in (12, 36):
            angles = np.arccos(1.0 - np.repeat(distances, 2))
            rows[start : start + 12] = np.stack((np.cos(angles), np.sin(angles)), axis=1)
        return rows

    before = embeddings([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])  # AUC 1
    after = embeddings([0.1, 0.2, 0.45, 0.4, 0.5, 0.6])  # one of nine pairs swapped
    loss = probe.loss(before, after)
    assert (loss.auc_loss_mean, loss.auc_loss_worst) == (pytest.approx(1 / 9), pytest.approx(1 / 9))
    assert loss.score_shift == pytest.approx(0.15 / 6 / np.std([0.1, 0.2, 0.3]))
    assert loss.cosine_min == pytest.approx(np.cos(np.arccos(0.55) - np.arccos(0.7)))


def candidate(cpu_ms, loss):
    return Candidate(Scheme(), b"", loss, cpu_ms, Limits().hold(loss))


def test_the_fastest_that_holds_is_chosen():
    slow, fast, broken = candidate(2.0, GOOD), candidate(1.0, GOOD), candidate(0.5, BAD)
    assert chosen([slow, fast, broken]) is fast
    better = candidate(1.0 * CLOSE_ENOUGH - 0.01, dataclasses.replace(GOOD, cosine_min=0.995))
    assert chosen([fast, better]) is better
    worse = candidate(0.5, dataclasses.replace(BAD, score_shift=2.0))
    assert chosen([broken, worse]) is broken


@pytest.mark.parametrize(
    "beyond",
    [{"auc_loss_mean": 0.0021}, {"auc_loss_worst": 0.011}, {"cosine_mean": 0.9949}],
    ids=lambda d: next(iter(d)),
)
def test_each_limit_counts(beyond):
    assert Limits().hold(GOOD) and not Limits().hold(dataclasses.replace(GOOD, **beyond))


def test_sensitivity_names_every_layer_and_what_it_costs(source, probe, quantiser):
    everything, effects = sensitivity(source.network, quantiser, probe)
    assert [effect.layer for effect in effects] == quantiser.layers and len(effects) > 10
    assert everything.cosine_mean < max(effect.loss.cosine_mean for effect in effects) < 1.0
    some = quantiser.static([quantiser.layers[3]])
    original = probe.embeddings(source.network)
    assert effects[3].loss == probe.loss(original, probe.embeddings(some))


def test_a_scheme_is_chosen_and_told(source, probe, windows):
    lines: list[str] = []
    made = int8_network(source, windows[:16], probe, note=lines.append, limits=Limits(1.0, 1.0, 0.5))
    assert made.qat_steps == 0 and made.result.holds and len(lines) == len(made.considered) == 9
    require_integer(made.count, "made")
    assert made.network == made.scheme.apply(
        Quantiser(source.network, normalised(with_cut_bands(windows[:16], -100.0, 1), source.contract))
    )
    assert made.provenance("x", "y")["int8"]["integer_operations"] == [made.count.integer, made.count.all]


def test_fine_tuning_comes_where_nothing_holds(source, probe, windows):
    lines: list[str] = []
    made = int8_network(source, windows[:16], probe, note=lines.append, limits=Limits(1.0, 1.0, 1.1))
    assert any("fine-tuning for 3 steps" in line for line in lines) and "warning: no scheme holds" in lines[-1]
    assert len(made.considered) == 9 + 9 + 1  # before, after, and 16 bits


def test_the_recipes_own_scheme_is_kept(source, probe, windows):
    fixed = dataclasses.replace(source, settings=QuantiseSettings(float_first=1, float_last=2, choose=False))
    made = int8_network(fixed, windows[:16], probe)
    assert made.scheme == Scheme(1, 2) and made.count.integer == made.count.all - 3


def test_sixteen_bit_activations_are_nearer(source, windows, quantiser):
    original = OnnxEmbedder(source.network, source.contract).embed(windows)
    errors = [
        np.abs(OnnxEmbedder(quantiser.static(activation_bits=bits), source.contract).embed(windows) - original).mean()
        for bits in (8, 16)
    ]
    assert errors[1] < 0.6 * errors[0]


def test_transformers_quantise_statically_and_as_they_run(small_recipe, windows):
    torch.manual_seed(3)
    vit = ModelSettings(kind="frame-vit", embedding_size=16, size=32, depth=2, heads=2, mlp_size=64)
    recipe = dataclasses.replace(small_recipe, model=vit)
    contract, model = recipe.model_contract(), build_network(recipe).eval()
    network = to_onnx(model, 64, 128)
    quantiser = Quantiser(network, normalised(windows, contract))
    expected = OnnxEmbedder(network, contract).embed(windows)
    for int8 in (quantiser.static(), quantiser.dynamic()):
        count = onnx_integer_ops(int8)
        assert count.integer == count.all == 1 + 2 * 4 + 1
        given = OnnxEmbedder(int8, contract).embed(windows)
        cosines = (given * expected).sum(1) / np.linalg.norm(given, axis=1) / np.linalg.norm(expected, axis=1)
        assert cosines.mean() > 0.99


def test_rounded_weights_are_those_of_int8():
    weight = torch.tensor([[[[1.0, -0.51]]], [[[0.02, 0.0]]]], requires_grad=True)
    seen = weights_seen(weight)
    assert seen[0, 0, 0].tolist() == pytest.approx([1.0, -32 / 63])
    assert seen[1, 0, 0].tolist() == pytest.approx([0.02, 0.0])
    seen.sum().backward()
    assert torch.equal(weight.grad, torch.ones_like(weight))


def test_fine_tuning_brings_rounding_nearer_to_the_float_network(model, windows, small_recipe):
    fed = normalised(windows, small_recipe.model_contract())

    def distance(network):
        """Mean cosine distance to the float network where every layer sees rounded weights."""
        rounded = folded(network)
        for module in rounded.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.data = weights_seen(module.weight.data)
        with torch.no_grad():
            inputs = torch.from_numpy(fed)
            return float(1 - torch.cosine_similarity(rounded(inputs), model(inputs)).mean())

    coarse = pytest.MonkeyPatch()
    coarse.setattr("export.quantising.qat.WEIGHT_STEPS", 7)  # four bits, so that a few steps have something to win
    try:
        losses: list[float] = []
        tuned = fine_tuned(model, fed, steps=24, seed=1, at_step=lambda step, loss: losses.append(loss))
        assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
        assert not any(isinstance(module, Rounded) for module in tuned.modules())
        assert distance(tuned) < 0.8 * distance(model)
    finally:
        coarse.undo()


def test_a_float_network_does_not_pass_for_int8(source):
    count = onnx_integer_ops(source.network)
    with pytest.raises(DataError, match="m: a float model passed as int8: 0 of 23"):
        require_integer(count, "m")
    require_integer(OpCount(3, 4), "m")
    with pytest.raises(DataError, match="not an ONNX network"):
        onnx_integer_ops(b"\x08 nothing of the kind")


def test_an_ort_file_gives_the_same_embeddings(source, windows, quantiser):
    int8 = quantiser.static()
    ort = as_ort(int8)
    assert ort[4:8] == b"ORTM"
    one, other = (OnnxEmbedder(network, source.contract).embed(windows) for network in (int8, ort))
    assert np.allclose(one, other, atol=1e-5)
    assert all(ms > 0 for ms in start_ms([int8, ort], source.contract))


def test_simulated_windows_are_of_the_contracts_shape_and_seeded(small_recipe):
    contract = small_recipe.model_contract()
    one, other = simulated_windows(contract, 5, 1), simulated_windows(contract, 5, 1)
    assert one.shape == (5, 64, 128) and np.array_equal(one, other) and one.std(axis=(1, 2)).min() > 1.0


def test_calibration_on_recordings_leaves_silence_out_and_refuses_nothing_but(tmp_path, small_recipe):
    import soundfile

    contract = small_recipe.model_contract()
    soundfile.write(tmp_path / "silent.wav", np.zeros(48000), 16000)
    with pytest.raises(DataError, match="calibration audio is silent"):
        recorded_windows(tmp_path, contract, 8, 1)
    soundfile.write(tmp_path / "noise.wav", 0.1 * np.random.default_rng(0).standard_normal(48000), 16000)
    heard = recorded_windows(tmp_path, contract, 8, 1)
    assert heard.shape == (4, 64, 128) and heard.std(axis=(1, 2)).min() > 1.0


def test_bands_are_cut_to_the_floor_in_half_as_many_more(windows):
    more = with_cut_bands(windows, -100.0, 1)
    assert len(more) == len(windows) + len(windows) // 2 and np.array_equal(more[: len(windows)], windows)
    for window in more[len(windows) :]:
        assert np.ptp(window[:, -1]) == 0 and -100.0 <= window[0, -1] <= window.min() + 1e-3


def test_the_shipped_model_holds_its_score_on_simulated_machines():
    fp32, int8 = (load_model(precision=precision, formats=("onnx",)) for precision in ("fp32", "int8"))
    probe = simulated_probe(fp32.contract, 3)
    loss = probe.loss(probe.embeddings(fp32.network), probe.embeddings(int8.network))
    assert loss.cosine_mean > 0.995 and loss.auc_loss_mean < 0.005 and loss.auc_loss_worst < 0.03


def test_a_probe_of_recordings_hears_the_cases(tmp_path, small_recipe, source):
    import soundfile

    rng = np.random.default_rng(0)
    rows = ["case,role,path,label,domain,group"]
    for i in range(6):
        soundfile.write(tmp_path / f"{i}.wav", 0.1 * rng.standard_normal(40000), 16000)
        role, label = ("enrol", "normal") if i < 2 else ("test", "anomaly" if i > 3 else "normal")
        rows.append(f"fan,{role},{i}.wav,{label},,{i}")
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n")
    probe = recorded_probe(tmp_path / "cases.csv", small_recipe.model_contract())
    assert len(probe.machines) == 1 and probe.machines[0].anomalous.tolist() == [False, False, True, True]
    same = probe.embeddings(source.network)
    assert probe.loss(same, same).auc_loss_mean == 0.0

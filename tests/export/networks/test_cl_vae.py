import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from edge_asd.errors import ConfigError  # noqa: E402
from export.networks.cl_vae import OUTPUTS, ClVae  # noqa: E402


def small(**changes):
    torch.manual_seed(0)
    return ClVae(**{"feature_size": 20, "n_sections": 3, "hidden_size": 16, "latent_size": 8, **changes})


def clips(n=12, seed=1):
    rng = np.random.default_rng(seed)
    features = torch.from_numpy(rng.uniform(0, 1, (n, 20)).astype(np.float32))
    return features, torch.eye(3)[torch.arange(n) % 3]


def test_the_report_s_network_has_the_layers_of_table_1():
    network = ClVae(feature_size=3776, n_sections=6)
    linear = [(m.in_features, m.out_features) for m in network.modules() if isinstance(m, torch.nn.Linear)]
    down = [(3776, 1024), (1024, 1024), (1024, 1024), (1024, 512)]
    up = [(512, 512), (512, 1024), (1024, 1024), (1024, 1024), (1024, 3776)]
    assert sorted(linear) == sorted([*down, *up, (512, 512), (512, 512)])
    assert isinstance(network.decoder[-1], torch.nn.ReLU)
    assert network.centres.shape == (6, 512)
    norms = 2 * (3 * 1024 + 512) + 2 * (512 + 3 * 1024 + 3776)
    assert sum(p.numel() for p in network.parameters()) == sum(n * m + m for n, m in linear) + norms


def test_the_scores_are_equations_9_and_10_and_their_ensemble():
    network = small(centre_weight=150.0).eval()
    with torch.no_grad():
        network.centres.normal_()
        features, sections = clips()
        encoded = network.encoder(features).numpy()
        mean = network.mean(torch.from_numpy(encoded))
        log_variance = network.log_variance(torch.from_numpy(encoded)).numpy()
        heard = network.decoder(mean).numpy()
        scores = network(features, sections).numpy()
    mean = mean.numpy()
    variance = np.exp(log_variance)
    l_rec = ((features.numpy() - heard) ** 2).mean(axis=1)
    l_kld = -0.5 * (1 + np.log(variance) - mean**2 - variance).sum(axis=1)
    centres = network.centres.numpy()[np.arange(len(features)) % 3]
    l_c = 0.5 * ((encoded - centres) ** 2).sum(axis=1)
    expected = np.stack((l_rec + l_kld, l_rec + l_kld + 150 * l_c), axis=1)
    assert OUTPUTS == ("equation-9", "equation-10", "ensemble")
    assert np.allclose(scores[:, :2], expected, rtol=1e-4)
    assert np.allclose(scores[:, 2], expected[:, 0] + 0.01 * expected[:, 1], rtol=1e-4)
    assert np.array_equal(scores, network(features, sections).detach().numpy())  # nothing is drawn


def test_the_loss_is_equation_8_and_draws_its_latent_vector():
    network = small().train()
    features, sections = clips()
    one, other = (small().train() for _ in range(2))
    losses = network.loss(features, sections)
    parts = losses["reconstruction"] + losses["divergence"] + 150 * losses["centre"]
    assert torch.isclose(losses["total"], parts)
    torch.manual_seed(5)
    first = one.loss(features, sections)["reconstruction"]
    assert first != other.loss(features, sections)["reconstruction"]


def test_centres_move_by_equations_4_and_5_and_take_no_gradient():
    network = small(centre_step=0.5).train()
    with torch.no_grad():
        network.centres.normal_()
    before = network.centres.numpy().copy()
    features, _ = clips(4)
    sections = torch.eye(3)[torch.tensor([0, 0, 0, 2])]
    encoded = network.encoder(features).detach().numpy()
    losses = network.loss(features, sections)
    losses["total"].backward()
    expected = before.copy()
    expected[0] -= 0.5 * (3 * before[0] - encoded[:3].sum(axis=0)) / (1 + 3)
    expected[2] -= 0.5 * (before[2] - encoded[3]) / (1 + 1)
    assert np.allclose(network.centres.numpy(), expected, atol=1e-6)
    assert np.array_equal(network.centres.numpy()[1], before[1])  # not heard, not moved
    moved = network.centres.clone()
    network.eval().loss(features, sections)
    assert torch.equal(network.centres, moved)  # validation leaves them alone


def test_training_gathers_sections_and_strange_clips_score_higher():
    network = small().train()
    rng = np.random.default_rng(0)
    own = rng.uniform(0, 2, (3, 20))
    labels = np.arange(120) % 3
    features = torch.from_numpy((own[labels] + rng.normal(0, 0.1, (120, 20))).clip(0).astype(np.float32))
    sections = torch.eye(3)[torch.from_numpy(labels)]
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    first = None
    for _ in range(80):
        losses = network.loss(features, sections)
        first = first or float(losses["total"].detach())
        optimiser.zero_grad()
        losses["total"].backward()
        optimiser.step()
    assert float(losses["total"].detach()) < 0.1 * first
    network.eval()
    with torch.no_grad():
        normal = network(features, sections)
        strange = network(torch.rand(120, 20) * 2, sections)
    assert (strange.median(dim=0).values > normal.quantile(0.9, dim=0)).all()


@pytest.mark.parametrize(
    "wrong", [{"hidden_size": 0}, {"n_sections": 0}, {"centre_step": 0.0}, {"centre_weight": -1.0}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match="model"):
        small(**wrong)

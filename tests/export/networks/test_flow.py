import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from edge_asd.errors import ConfigError  # noqa: E402
from export.networks.flow import Flow, Made  # noqa: E402


def small(scrambled=True, **changes):
    """A flow in double precision; `scrambled`: with weights everywhere, so that a missing mask would show."""
    torch.manual_seed(0)
    sizes = {"n_mels": 3, "n_sections": 2, "stacked_frames": 2, "n_blocks": 3, "hidden_size": 15, "hidden_layers": 2}
    flow = Flow(**{**sizes, **changes}).double()
    if scrambled:
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.normal_(0.0, 0.35)
    return flow


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("hidden_size", [4, 40])
def test_each_number_depends_on_those_before_it_only(backwards, hidden_size):
    torch.manual_seed(1)
    made = Made(7, 2, hidden_size, 2, backwards).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    section = torch.eye(2).double()[:1]
    jacobians = torch.autograd.functional.jacobian(lambda x: made(x[None, None], section), torch.randn(7).double())
    order = np.arange(7)[::-1] if backwards else np.arange(7)
    for jacobian in jacobians:
        in_order = jacobian.reshape(7, 7).numpy()[np.ix_(order, order)]
        assert np.array_equal(np.triu(in_order), np.zeros((7, 7)))
        if hidden_size == 40:
            assert (in_order[np.tril_indices(7, -1)] != 0).all()


@pytest.mark.parametrize("hidden_layers", [1, 2])
def test_every_number_depends_on_the_section_the_first_as_well(hidden_layers):
    torch.manual_seed(1)
    made = Made(5, 2, 10, hidden_layers, False).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    x = torch.randn(1, 1, 5).double()
    for one, other in zip(*(made(x, section[None]) for section in torch.eye(2).double()), strict=True):
        assert (one != other).all()


def test_the_log_determinant_is_that_of_autograd_s_jacobian():
    flow = small()
    section = torch.eye(2).double()[1:]
    for seed in range(3):
        x = torch.randn(6, generator=torch.Generator().manual_seed(seed)).double()
        u, given = flow.transformed(x[None, None], section)
        jacobian = torch.autograd.functional.jacobian(lambda v: flow.transformed(v[None, None], section)[0][0, 0], x)
        sign, expected = torch.linalg.slogdet(jacobian)
        assert sign == 1 and torch.isclose(given[0, 0], expected, atol=1e-10)
        density = torch.distributions.MultivariateNormal(torch.zeros(6).double(), torch.eye(6).double())
        assert torch.isclose(flow.log_density(x[None, None], section)[0, 0], density.log_prob(u[0, 0]) + expected)


@pytest.mark.parametrize("section", [0, 1])
def test_the_density_integrates_to_one(section):
    flow = small(n_mels=2, stacked_frames=1, n_blocks=2)
    axis = torch.linspace(-30, 30, 601).double()
    points = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=2).flatten(0, 1)[None]
    with torch.no_grad():
        density = flow.log_density(points, torch.eye(2).double()[section][None]).exp()
    assert float(density.sum()) * 0.1**2 == pytest.approx(1.0, abs=1e-3)
    assert float(density.max()) < 100.0  # wide enough for the grid to see it


def test_what_was_drawn_comes_back():
    """Block by block from the last to the first, one number after another: what a flow that samples would do."""
    flow = small()
    section = torch.eye(2).double()[:1]
    u = torch.randn(1, 4, 6).double()
    x = u
    with torch.no_grad():
        for block in reversed(flow.blocks):
            given = x
            for _ in range(6):
                mean, alpha = block(x, section)
                x = given * torch.exp(alpha) + mean
        assert torch.allclose(flow.transformed(x, section)[0], u, atol=1e-9)
    assert not torch.allclose(x, u)


def test_points_are_runs_of_neighbouring_frames_and_the_score_their_mean():
    flow = small()
    window = torch.arange(12.0).double().reshape(1, 1, 4, 3)
    points = flow.points(window)
    assert points.tolist() == [[[0, 1, 2, 3, 4, 5], [3, 4, 5, 6, 7, 8], [6, 7, 8, 9, 10, 11]]]
    section = torch.eye(2).double()[:1]
    expected = -flow.log_density(points, section).mean()
    assert flow(window, section).shape == (1, 1) and torch.isclose(flow(window, section)[0, 0], expected)


def test_a_fresh_flow_is_the_normal_distribution():
    flow = small(scrambled=False)
    x = torch.randn(2, 5, 6).double()
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(dim=2)
    assert torch.allclose(flow.log_density(x, torch.eye(2).double()), expected)


def test_sizes_are_those_asked_for():
    flow = Flow(n_mels=128, n_sections=6)
    made = 640 * 512 + 512 + 6 * 512 + 2 * (512 * 640 + 640)
    assert sum(p.numel() for p in flow.parameters()) == 4 * made == 3_951_616
    with pytest.raises(ConfigError, match="n_blocks 0"):
        small(n_blocks=0)


def test_without_masks_it_computes_the_same():
    from export.networks.flow import MaskedLinear

    flow = small()
    plain = flow.without_masks()
    assert any(isinstance(m, MaskedLinear) for m in flow.modules())
    assert not any(isinstance(m, MaskedLinear) for m in plain.modules())
    window = torch.randn(3, 1, 5, 3).double()
    section = torch.eye(2).double()[[0, 1, 0]]
    assert torch.allclose(plain(window, section), flow(window, section))


def test_training_learns_a_density_and_tells_sections_apart():
    flow = small(scrambled=False, n_mels=2, stacked_frames=1, n_blocks=2, hidden_size=16).float()
    rng = np.random.default_rng(0)
    labels = np.arange(256) % 2
    heard = rng.normal(0, 0.3, (256, 1, 4, 2)) + np.array([-1.0, 1.0])[labels][:, None, None, None]
    windows, sections = torch.from_numpy(heard.astype(np.float32)), torch.eye(2)[torch.from_numpy(labels)]
    optimiser = torch.optim.Adam(flow.parameters(), 1e-2)
    for _ in range(120):
        loss = flow(windows, sections).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    entropy = 2 * 0.5 * np.log(2 * np.pi * np.e * 0.3**2)
    with torch.no_grad():
        own, swapped = flow(windows, sections), flow(windows, sections.flip(1))
    assert float(own.mean()) == pytest.approx(entropy, abs=0.1)
    assert float(swapped.min()) > float(own.max())

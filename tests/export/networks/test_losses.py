import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from edge_asd.errors import ConfigError  # noqa: E402
from export.networks.losses import AdaCos, ArcFace, SubClusterAdaCos, build_head, distillation_loss, relation_loss  # noqa: E402
from export.recipe import HeadSettings  # noqa: E402


def vectors(n, d, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, d)))


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_distillation_is_the_mean_cosine_distance():
    a, b = vectors(6, 5, 1), vectors(6, 5, 2)
    expected = np.mean(1 - (unit(a.numpy()) * unit(b.numpy())).sum(axis=1))
    assert distillation_loss(a, b).item() == pytest.approx(expected)
    assert distillation_loss(3.0 * a, a).item() == pytest.approx(0.0, abs=1e-12)


def test_relation_compares_what_is_left_without_the_group_mean():
    student, teacher = vectors(6, 4, 1), vectors(6, 4, 2)
    numerator = denominator = 0.0
    for rows in (slice(0, 3), slice(3, 6)):
        s, t = unit(student[rows].numpy()), unit(teacher[rows].numpy())
        s, t = s - s.mean(axis=0), t - t.mean(axis=0)
        for x, y in zip(s, t, strict=True):
            weight = np.linalg.norm(y)
            numerator += weight * (1 - x @ y / np.linalg.norm(x) / weight)
            denominator += weight
    assert relation_loss(student, teacher, 3).item() == pytest.approx(numerator / denominator)


def test_relation_does_not_see_a_shift_of_a_whole_group():
    teacher = torch.from_numpy(unit(vectors(4, 8, 3).numpy()))
    turned = teacher.roll(1, dims=1)
    assert relation_loss(teacher, teacher, 4).item() == pytest.approx(0.0, abs=1e-9)
    assert relation_loss(turned, teacher, 4).item() > 0.5


@pytest.mark.parametrize("group_size", [1, 4])
def test_relation_refuses_groups_that_do_not_fit(group_size):
    with pytest.raises(ValueError, match="6 rows"):
        relation_loss(vectors(6, 4), vectors(6, 4), group_size)


def test_sub_cluster_adacos_is_the_plain_formula():
    torch.manual_seed(0)
    loss = SubClusterAdaCos(5, n_classes=3, sub_clusters=2).double()
    embeddings, labels = vectors(4, 5), torch.tensor([0, 1, 2, 1])
    scale = math.sqrt(2) * math.log(3 * 2 - 1)
    centres = unit(loss.centres.detach().numpy())
    expected = []
    for row, label in zip(unit(embeddings.numpy()), labels.tolist(), strict=True):
        powers = np.exp(scale * centres @ row)
        expected.append(-math.log(powers[2 * label : 2 * label + 2].sum() / powers.sum()))
    assert loss(embeddings, labels).item() == pytest.approx(np.mean(expected))


def test_centres_are_trained():
    loss = SubClusterAdaCos(5, n_classes=3)
    loss(vectors(4, 5).float(), torch.tensor([0, 1, 2, 0])).backward()
    assert loss.centres.grad.abs().sum() > 0


def test_too_few_classes_have_no_scale():
    with pytest.raises(ValueError, match="too few"):
        SubClusterAdaCos(5, n_classes=1, sub_clusters=2)


def test_arcface_is_the_plain_formula_and_has_no_margin_in_validation():
    torch.manual_seed(0)
    loss = ArcFace(5, n_classes=4, scale=10.0, margin=0.3).double()
    embeddings, labels = vectors(6, 5), torch.tensor([0, 1, 2, 3, 0, 1])
    angles = np.arccos(unit(embeddings.numpy()) @ unit(loss.centres.detach().numpy()).T)
    assert (angles[np.arange(6), labels] < math.pi - 0.3).all()
    for training, margin in ((True, 0.3), (False, 0.0)):
        turned = angles.copy()
        turned[np.arange(6), labels] += margin
        powers = np.exp(10.0 * np.cos(turned))
        expected = -np.log(powers[np.arange(6), labels] / powers.sum(axis=1))
        loss.train(training)
        assert loss.per_sample(embeddings, labels).tolist() == pytest.approx(expected)
        assert loss(embeddings, labels).item() == pytest.approx(expected.mean())


def test_arcface_falls_all_the_way_and_has_finite_slopes_at_both_ends():
    loss = ArcFace(2, n_classes=2, scale=8.0, margin=0.5).double()
    loss.centres.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    angles = torch.linspace(math.pi, 0.0, 60, dtype=torch.float64)
    rows = torch.stack((angles.cos(), -angles.sin()), dim=1).requires_grad_()
    labels = torch.zeros(60, dtype=torch.long)
    cosines = rows.detach()[:, :1]
    wins = -loss.per_sample(rows, labels)
    assert torch.isfinite(torch.autograd.grad(wins.sum(), rows)[0]).all()
    true = -torch.log(torch.expm1(-wins.detach())) / 8.0 + (rows.detach() @ loss.centres.detach()[1])
    assert (torch.diff(true) > 0).all(), cosines  # the margin's cosine rises as the angle closes, without a bump


def test_adacos_follows_its_published_scale():
    torch.manual_seed(1)
    loss = AdaCos(5, n_classes=4).double()
    embeddings, labels = vectors(7, 5, 4), torch.tensor([0, 1, 2, 3, 0, 1, 2])
    scale = math.sqrt(2) * math.log(3)
    assert loss.scale.item() == pytest.approx(scale)
    cosines = unit(embeddings.numpy()) @ unit(loss.centres.detach().numpy()).T
    true = cosines[np.arange(7), labels]
    wrong = np.exp(scale * cosines)
    wrong[np.arange(7), labels] = 0.0
    angle = np.sort(np.arccos(true))[3]
    expected_scale = math.log(wrong.sum(axis=1).mean()) / math.cos(min(math.pi / 4, angle))
    powers = np.exp(expected_scale * cosines)
    expected = -np.log(powers[np.arange(7), labels] / powers.sum(axis=1))
    assert loss(embeddings, labels).item() == pytest.approx(expected.mean())
    assert loss.scale.item() == pytest.approx(expected_scale)
    loss.eval()
    loss(embeddings, labels)
    assert loss.scale.item() == pytest.approx(expected_scale)


@pytest.mark.parametrize("kind", ["arcface", "adacos", "sub-cluster-adacos"])
def test_a_mixture_weighs_both_classes(kind):
    torch.manual_seed(2)
    head = build_head(HeadSettings(kind=kind), 5, 4).double().eval()
    embeddings, own, other = vectors(3, 5), torch.tensor([0, 1, 2]), torch.tensor([3, 3, 0])
    shares = torch.tensor([1.0, 0.25, 0.5], dtype=torch.float64)
    expected = shares * head.per_sample(embeddings, own) + (1 - shares) * head.per_sample(embeddings, other)
    assert head(embeddings, own, other, shares).item() == pytest.approx(expected.mean().item())
    head.train()(embeddings, own, other, shares).backward()
    assert head.centres.grad.abs().sum() > 0


def test_unknown_heads_and_too_few_classes_are_one_line():
    with pytest.raises(ConfigError, match="softmax"):
        build_head(HeadSettings(kind="softmax"), 5, 4)
    with pytest.raises(ConfigError, match="2 classes are too few"):
        build_head(HeadSettings(kind="adacos"), 5, 2)

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from export.losses import SubClusterAdaCos, distillation_loss, relation_loss  # noqa: E402


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

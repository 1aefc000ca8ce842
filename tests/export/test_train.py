import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from edge_asd.errors import ConfigError, DataError  # noqa: E402
from export.train import Batches, TeacherSpace, learning_rate, run_key, train  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def weights(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


def test_one_seed_is_one_result_and_a_stop_does_not_show(tiny_recipe, tiny_data, tmp_path):
    whole, losses = train(tiny_recipe, tiny_data, tmp_path / "a.pt", run_key="k")
    assert np.isfinite(list(losses.values())).all()
    train(tiny_recipe, tiny_data, tmp_path / "b.pt", run_key="k", stop_after=3)
    torch.manual_seed(999)
    resumed, _ = train(tiny_recipe, tiny_data, tmp_path / "b.pt", run_key="k")
    assert torch.equal(weights(whole), weights(resumed))
    other, _ = train(dataclasses.replace(tiny_recipe, seed=6), tiny_data, tmp_path / "c.pt", run_key="k")
    assert not torch.equal(weights(whole), weights(other))


def test_training_lowers_the_distance_to_the_teacher(tiny_recipe, tiny_data, tmp_path):
    longer = dataclasses.replace(
        tiny_recipe, train=dataclasses.replace(tiny_recipe.train, steps=40, warmup_steps=5, learning_rate=5e-3)
    )
    _, losses = train(longer, tiny_data, tmp_path / "a.pt", run_key="k")
    assert losses["distil"] < 0.6


def test_a_finished_run_is_not_run_again(tiny_recipe, tiny_data, tmp_path):
    first, _ = train(tiny_recipe, tiny_data, tmp_path / "a.pt", run_key="k")
    lines = []
    again, losses = train(tiny_recipe, tiny_data, tmp_path / "a.pt", run_key="k", progress=lines.append)
    assert torch.equal(weights(first), weights(again))
    assert losses == train(tiny_recipe, tiny_data, tmp_path / "b.pt", run_key="k")[1]
    assert not any("step" in line for line in lines)


def test_a_checkpoint_of_other_settings_or_a_damaged_one_is_refused(tiny_recipe, tiny_data, tmp_path):
    path = tmp_path / "a.pt"
    train(tiny_recipe, tiny_data, path, run_key="k", stop_after=1)
    with pytest.raises(DataError, match="other settings"):
        train(tiny_recipe, tiny_data, path, run_key="else")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match="not a checkpoint"):
        train(tiny_recipe, tiny_data, path, run_key="k")


def test_run_key_changes_with_what_shapes_the_weights_only(tiny_recipe):
    key = run_key(tiny_recipe, "d")
    assert key == run_key(dataclasses.replace(tiny_recipe, name="renamed"), "d")
    reflecting = dataclasses.replace(tiny_recipe.contract, short_clip="reflect")
    assert key == run_key(dataclasses.replace(tiny_recipe, contract=reflecting), "d")
    scaled = dataclasses.replace(tiny_recipe.contract, input_scale_db=10.0)
    assert key != run_key(dataclasses.replace(tiny_recipe, contract=scaled), "d")
    assert key != run_key(tiny_recipe, "e")
    assert key != run_key(dataclasses.replace(tiny_recipe, train=dataclasses.replace(tiny_recipe.train, steps=7)), "d")


def test_batches_hold_whole_groups_and_each_epoch_all_of_them(tiny_recipe, tiny_data):
    targets = tiny_data.teacher[..., :16]
    batches = Batches(tiny_recipe, tiny_recipe.model_contract(), tiny_data, targets)
    machines = []
    for step in range(2):
        inputs, _, states = batches[step]
        assert inputs.shape == (12, 1, 64, 128)
        assert inputs.mean(dim=(1, 2, 3)).abs().max() < 1e-4
        by_group = (states // 2).reshape(4, 3)
        assert (by_group == by_group[:, :1]).all()
        machines += by_group[:, 0].tolist()
    assert sorted(machines) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_batches_larger_than_the_data_are_refused(tiny_recipe, tiny_data):
    greedy = dataclasses.replace(tiny_recipe, train=dataclasses.replace(tiny_recipe.train, windows_per_group=5))
    with pytest.raises(ConfigError, match="5 windows need more data"):
        Batches(greedy, greedy.model_contract(), tiny_data, tiny_data.teacher)


def test_teacher_space_keeps_cosines_when_it_keeps_every_axis():
    features = np.random.default_rng(0).normal(3, 1, (300, 32)).astype(np.float32)
    space = TeacherSpace.fit(features, 32)
    turned, centred = space.apply(features), features - features.mean(axis=0)
    assert space.kept == pytest.approx(1.0)
    assert np.allclose(turned @ turned.T, centred @ centred.T, atol=1e-3)
    variances = turned.var(axis=0)
    assert (np.diff(variances) <= 1e-4).all()
    with pytest.raises(ConfigError, match="33"):
        TeacherSpace.fit(features, 33)


def test_learning_rate_rises_then_falls_to_nothing(tiny_recipe):
    rates = [learning_rate(step, tiny_recipe) for step in range(tiny_recipe.train.steps + 1)]
    assert rates[0] < rates[1] and np.all(np.diff(rates[1:]) < 0) and rates[-1] == 0.0

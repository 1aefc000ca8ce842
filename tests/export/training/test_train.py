import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from edge_asd.errors import ConfigError, DataError, MissingInputError  # noqa: E402
from export.recipe import AugmentSettings, HeadSettings, ModelSettings, Recipe  # noqa: E402
from export.recipes.load import as_yaml  # noqa: E402
from export.sound.batches import GeneratedBatches  # noqa: E402
from export.teacher.space import TeacherSpace  # noqa: E402
from export.training.run_folder import load_state  # noqa: E402
from export.training.train import learning_rate, run_key, train  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def weights(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


def taught(recipe, data):
    """Batches with the first axes of the fixture's targets as the teacher's embeddings."""
    return GeneratedBatches(recipe, data, data.teacher[..., : recipe.model.embedding_size], {"data": "of a test"})


def changed(recipe, **settings):
    return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, **settings))


def untaught(recipe, **settings):
    return changed(recipe, distil_weight=0.0, relation_weight=0.0, identity_weight=1.0, **settings)


def files(folder):
    """Every file of a run but the checkpoint, whose archive is not bound to be the same bytes."""
    found = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.suffix != ".pt"}
    assert found
    return found


def test_one_seed_is_one_result_and_a_stop_does_not_show(tiny_recipe, tiny_data, tmp_path):
    recipe = changed(tiny_recipe, validation_share=0.2, groups_per_batch=3)
    batches = taught(recipe, tiny_data)
    whole, summary = train(recipe, batches, tmp_path / "a", key="k")
    assert np.isfinite(list(summary["final_losses"].values())).all()
    train(recipe, batches, tmp_path / "b", key="k", stop_after=3)
    torch.manual_seed(999)
    resumed, _ = train(recipe, batches, tmp_path / "b", key="k")
    assert torch.equal(weights(whole), weights(resumed))
    other, _ = train(dataclasses.replace(recipe, seed=6), batches, tmp_path / "c", key="k")
    assert not torch.equal(weights(whole), weights(other))


KILLED = """
    import os, signal, sys, numpy as np, torch
    from pathlib import Path
    from export.sound.batches import GeneratedBatches
    from export.generated.generate import Dataset
    from export.recipes.load import load_recipe
    from export.training.train import train
    import export.training.run_folder
    folder, kill_at, moment = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(1)
    recipe = load_recipe(folder.parent / "recipe.yaml")
    held = np.load(folder.parent / "data.npz")
    data = Dataset(held["windows"], held["teacher"], held["states"])
    batches = GeneratedBatches(recipe, data, data.teacher[..., :16], {"data": "of a test"})
    def die():
        os.kill(os.getpid(), signal.SIGKILL)
    if moment == "before checkpoint":
        save = export.training.run_folder.RunFolder.save
        def killed(self, learnt, optimiser, state):
            if state.step == kill_at:
                die()
            save(self, learnt, optimiser, state)
        export.training.run_folder.RunFolder.save = killed
    def at_step(step, losses):
        if moment == "in a step" and step == kill_at:
            die()
    train(recipe, batches, folder, key="k", at_step=at_step)
"""


@pytest.mark.parametrize(("kill_at", "moment"), [(3, "in a step"), (4, "before checkpoint")])
def test_kill_minus_nine_does_not_show(kill_at, moment, tiny_recipe, tiny_data, tmp_path):
    """Killed in the middle of a step, and after metrics and best were written but not the checkpoint."""
    recipe = changed(tiny_recipe, validation_share=0.2, groups_per_batch=3)
    (tmp_path / "recipe.yaml").write_text(as_yaml(recipe))
    np.savez(tmp_path / "data.npz", **vars(tiny_data))
    code = textwrap.dedent(KILLED)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "killed"), str(kill_at), moment],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    resumed, _ = train(recipe, taught(recipe, tiny_data), tmp_path / "killed", key="k")
    whole, _ = train(recipe, taught(recipe, tiny_data), tmp_path / "whole", key="k")
    assert torch.equal(weights(resumed), weights(whole))
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    steps = [json.loads(line)["step"] for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 6]


def test_training_lowers_the_distance_to_the_teacher(tiny_recipe, tiny_data, tmp_path):
    longer = changed(tiny_recipe, steps=40, warmup_steps=5, learning_rate=5e-3)
    _, summary = train(longer, taught(longer, tiny_data), tmp_path / "a", key="k")
    assert summary["final_losses"]["distil"] < 0.6


def test_a_finished_run_is_not_run_again(tiny_recipe, tiny_data, tmp_path):
    batches = taught(tiny_recipe, tiny_data)
    first, summary = train(tiny_recipe, batches, tmp_path / "a", key="k")
    steps = []
    again, same = train(tiny_recipe, batches, tmp_path / "a", key="k", at_step=lambda step, losses: steps.append(step))
    assert torch.equal(weights(first), weights(again)) and summary == same
    assert steps == []


def test_a_checkpoint_of_other_settings_or_a_damaged_one_is_refused(tiny_recipe, tiny_data, tmp_path):
    batches = taught(tiny_recipe, tiny_data)
    train(tiny_recipe, batches, tmp_path, key="k", stop_after=1)
    with pytest.raises(DataError, match="other settings"):
        train(tiny_recipe, batches, tmp_path, key="else")
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match="not a checkpoint"):
        train(tiny_recipe, batches, tmp_path, key="k")


def test_run_key_changes_with_what_shapes_the_weights_only(tiny_recipe):
    key = run_key(tiny_recipe, "d")
    assert key == run_key(dataclasses.replace(tiny_recipe, name="renamed"), "d")
    reflecting = dataclasses.replace(tiny_recipe.contract, short_clip="reflect")
    assert key == run_key(dataclasses.replace(tiny_recipe, contract=reflecting), "d")
    scaled = dataclasses.replace(tiny_recipe.contract, input_scale_db=10.0)
    assert key != run_key(dataclasses.replace(tiny_recipe, contract=scaled), "d")
    assert key != run_key(tiny_recipe, "e")
    assert key != run_key(changed(tiny_recipe, steps=7), "d")
    assert key != run_key(dataclasses.replace(tiny_recipe, head=HeadSettings(kind="arcface")), "d")


def test_runs_begun_before_a_setting_existed_can_be_gone_on_with():
    """The keys were written down before there were epochs, schedules, objectives and published weights."""
    recipe = Recipe("x")
    transformer = changed(Recipe("x", model=ModelSettings(kind="frame-vit")), steps=7)
    assert run_key(recipe, "d") == "311eebcfe802" and run_key(transformer, "d") == "eb8e66301e45"
    assert run_key(changed(recipe, schedule="constant"), "d") != "311eebcfe802"
    assert run_key(recipe, "d", {"panns": "0" * 64}) != "311eebcfe802"


def test_a_checkpoint_of_before_there_were_objectives_is_taken(tiny_recipe, tiny_data, tmp_path):
    batches = taught(tiny_recipe, tiny_data)
    whole, _ = train(tiny_recipe, batches, tmp_path / "whole", key="k")
    train(tiny_recipe, batches, tmp_path / "old", key="k", stop_after=2)
    path = tmp_path / "old" / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    state["learnt"] = {name.removeprefix("objective."): value for name, value in state["learnt"].items()}
    torch.save(state, path)
    resumed, _ = train(tiny_recipe, batches, tmp_path / "old", key="k")
    assert torch.equal(weights(whole), weights(resumed))


@pytest.mark.parametrize("kind", ["arcface", "adacos", "sub-cluster-adacos"])
def test_a_head_alone_learns_to_tell_states_apart(kind, tiny_recipe, tiny_data, tmp_path):
    recipe = untaught(tiny_recipe, steps=16, learning_rate=5e-3)
    head = dataclasses.replace(tiny_recipe.head, kind=kind, scale=16.0, margin=0.2)
    recipe = dataclasses.replace(recipe, head=head)
    _, summary = train(recipe, GeneratedBatches(recipe, tiny_data, None, {}), tmp_path, key="k")
    lines = [json.loads(line)["train"]["identity"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1] < lines[0]
    assert set(summary["final_losses"]) == {"identity", "total"}


def test_a_transformer_trains_in_the_same_loop_with_mixup_and_stripes(tiny_recipe, tiny_data, tmp_path):
    recipe = dataclasses.replace(
        untaught(tiny_recipe, validation_share=0.2, groups_per_batch=3),
        model=ModelSettings(kind="frame-vit", embedding_size=16, size=16, depth=1, heads=2, mlp_size=16),
        augment=AugmentSettings(mixup_probability=0.5, time_masks=1, mel_masks=1),
    )
    model, summary = train(recipe, GeneratedBatches(recipe, tiny_data, None, {}), tmp_path, key="k")
    assert summary["best"]["validation"]["accuracy"] >= 0.0
    with torch.no_grad():
        assert model(torch.zeros(2, 1, 64, 128)).shape == (2, 16)


def test_patience_ends_a_training_that_gets_no_better(tiny_recipe, tiny_data, tmp_path):
    recipe = changed(
        tiny_recipe, steps=40, validation_share=0.2, groups_per_batch=3, patience=2, learning_rate=1e-9, warmup_steps=40
    )
    lines: list[str] = []
    _, summary = train(recipe, taught(recipe, tiny_data), tmp_path, key="k", note=lines.append)
    assert summary["stopped_early"] and summary["steps"] < 40
    assert any("no better validation since step" in line for line in lines)
    assert summary["best"]["step"] == summary["steps"] - 2 * recipe.train.checkpoint_steps


def test_the_best_state_is_the_one_given_back_and_kept(tiny_recipe, tiny_data, tmp_path):
    recipe = changed(tiny_recipe, validation_share=0.2, groups_per_batch=3)
    model, summary = train(recipe, taught(recipe, tiny_data), tmp_path, key="k")
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert summary["best"] == min(lines, key=lambda line: line["validation"]["total"])
    kept, loaded_recipe, metrics = load_state(tmp_path)
    assert torch.equal(weights(kept), weights(model)) and not kept.training
    assert loaded_recipe == recipe and metrics["provenance"] == {"data": "of a test"}
    last, _, _ = load_state(tmp_path / "last")
    assert torch.equal(weights(last), weights(model)) == (summary["best"]["step"] == 6)


def test_a_state_with_parts_missing_or_damaged_says_which(tiny_recipe, tiny_data, tmp_path):
    train(changed(tiny_recipe, steps=1), taught(tiny_recipe, tiny_data), tmp_path, key="k")
    metrics, recipe, weights_file = (tmp_path / "best" / name for name in ("metrics.json", "recipe.yaml", "weights.pt"))
    metrics.write_text("{")
    with pytest.raises(DataError, match=r"metrics\.json: not valid JSON"):
        load_state(tmp_path)
    metrics.unlink()
    assert load_state(tmp_path)[2] == {}
    weights_file.write_bytes(weights_file.read_bytes()[:900])
    with pytest.raises(DataError, match=r"not the weights of this recipe: [^.]*; train again$"):
        load_state(tmp_path)
    recipe.unlink()
    with pytest.raises(MissingInputError, match=r"recipe\.yaml is missing"):
        load_state(tmp_path)


def test_a_loss_that_is_no_number_is_one_line(tiny_recipe, tiny_data, tmp_path):
    broken = dataclasses.replace(tiny_data, teacher=np.full_like(tiny_data.teacher, np.nan))
    with pytest.raises(DataError, match=r"fell apart at step 0.*learning_rate"):
        train(tiny_recipe, taught(tiny_recipe, broken), tmp_path, key="k")


def test_batches_hold_whole_groups_and_each_epoch_all_of_them(tiny_recipe, tiny_data):
    batches = taught(tiny_recipe, tiny_data)
    machines = []
    for step in range(2):
        batch = batches[step]
        assert batch.inputs[0].shape == (12, 1, 64, 128)
        assert batch.inputs[0].mean(dim=(1, 2, 3)).abs().max() < 1e-4
        by_group = (batch.labels // 2).reshape(4, 3)
        assert (by_group == by_group[:, :1]).all()
        machines += by_group[:, 0].tolist()
    assert sorted(machines) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_what_is_kept_for_validation_is_never_trained_on(tiny_recipe, tiny_data):
    recipe = changed(tiny_recipe, validation_share=0.4, groups_per_batch=2, windows_per_group=4)
    batches = taught(recipe, tiny_data)
    kept = np.concatenate([batch.inputs[0].numpy() for batch in batches.validation()])
    trained = np.concatenate([batches[step].inputs[0].numpy() for step in range(4)])
    assert len(kept) == 3 * 4
    assert not {window.tobytes() for window in kept} & {window.tobytes() for window in trained}
    labels = set(np.concatenate([batch.labels.numpy() for batch in batches.validation()]).tolist())
    assert labels <= set(np.concatenate([batches[step].labels.numpy() for step in range(4)]).tolist())


def test_batches_larger_than_the_data_are_refused(tiny_recipe, tiny_data):
    with pytest.raises(ConfigError, match="5 windows need more data"):
        taught(changed(tiny_recipe, windows_per_group=5), tiny_data)


def cosines(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def test_teacher_space_keeps_cosines_when_it_keeps_every_axis():
    features = np.random.default_rng(0).normal(3, 1, (300, 1, 32)).astype(np.float32)
    space = TeacherSpace.fit(features, 32, centred=True)
    turned, centred = space.apply(features), (features - features.mean(axis=0))[:, 0]
    assert space.kept == pytest.approx(1.0)
    assert np.allclose(cosines(turned), cosines(centred), atol=1e-3)
    variances = turned.var(axis=0)
    assert (np.diff(variances) <= 1e-4).all()
    with pytest.raises(ConfigError, match="33"):
        TeacherSpace.fit(features, 33, centred=True)


def test_teacher_space_keeps_the_mean_where_it_is_not_taken_off():
    features = np.random.default_rng(0).normal(3, 1, (300, 1, 32)).astype(np.float32)
    turned = TeacherSpace.fit(features, 32, centred=False).apply(features)
    assert np.allclose(cosines(turned), cosines(features[:, 0]), rtol=1e-4)


def test_hearings_have_the_same_power_in_the_teacher_space():
    rng = np.random.default_rng(0)
    features = rng.normal(3, 1, (300, 2, 8)).astype(np.float32) * np.array([[1.0], [50.0]], np.float32)
    turned = TeacherSpace.fit(features, 16, centred=True).apply(features)
    one, other = (cosines((features - features.mean(axis=0))[:, i]) for i in (0, 1))
    apart = ~np.eye(300, dtype=bool)
    for part in (one, other):
        assert np.corrcoef(cosines(turned)[apart], part[apart])[0, 1] == pytest.approx(0.7, abs=0.1)


def test_learning_rate_rises_then_falls_to_nothing(tiny_recipe):
    rates = [learning_rate(step, tiny_recipe) for step in range(tiny_recipe.train.steps + 1)]
    assert rates[0] < rates[1] and np.all(np.diff(rates[1:]) < 0) and rates[-1] == 0.0
    constant = changed(tiny_recipe, schedule="constant")
    assert [learning_rate(step, constant) for step in (0, 1, 5)] == [1e-3, 2e-3, 2e-3]

"""The objectives of models that score by themselves: "likelihood" and "cl-vae"."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from edge_asd.contract import LogMelSpec  # noqa: E402
from edge_asd.errors import ConfigError, DataError  # noqa: E402
from export.networks import flow, panns_clvae  # noqa: E402
from export.networks.panns import FRONT_END  # noqa: E402
from export.networks.registry import build_network  # noqa: E402
from export.objectives.cl_vae import CACHE  # noqa: E402
from export.objectives.registry import build_objective  # noqa: E402
from export.recipe import AugmentSettings, ContractSettings, ObjectiveSettings, Recipe, TrainSettings  # noqa: E402
from export.recipes.load import load_recipe  # noqa: E402
from export.sound.batches import Batch  # noqa: E402

SECTIONS = ("fan/00", "fan/01", "fan/02")
CLIPS, WINDOWS = 10, 2


class Recordings:
    """Ten clips of three sections, two windows each, the first number of a window telling which it is."""

    n_classes, sections, described, provenance = 3, SECTIONS, "ten clips", {"data": "ten clips"}

    def __init__(self, named=True):
        self._named, self.heard = named, 0

    def _batch(self, clips):
        rows = np.repeat(clips, WINDOWS)
        sound = np.random.default_rng(0).normal(-40, 8, (CLIPS, WINDOWS, 8, 16))[clips].reshape(-1, 1, 8, 16)
        sections = torch.from_numpy(rows % 3) if self._named else None
        return Batch((torch.from_numpy(sound.astype(np.float32)),), torch.from_numpy(rows % 3), sections=sections)

    def once(self):
        for clips in np.array_split(np.arange(CLIPS - 2), 3):
            self.heard += 1
            yield self._batch(clips)

    def validation(self):
        yield self._batch(np.arange(CLIPS - 2, CLIPS))


def recipe(own, kind, **changes):
    """Settings of a kind; `changes` win."""
    settings = {
        "name": "tiny",
        "features": LogMelSpec(n_mels=16),
        "contract": ContractSettings(
            window_frames=8, step_frames=4, input_mean="fixed", input_scale_db=1.0, sections=SECTIONS
        ),
        "model": own,
        "objective": ObjectiveSettings(kind=kind),
        "train": TrainSettings(groups_per_batch=4, windows_per_group=WINDOWS),
    }
    return Recipe(**{**settings, **changes})


def vae_recipe(**changes):
    sizes = {"stages": 1, "width": 1 / 16, "embedding_size": 12, "hidden_size": 16, "latent_size": 8}
    return recipe(panns_clvae.Settings(**sizes), "cl-vae", **changes)


def flow_recipe(**changes):
    return recipe(flow.Settings(stacked_frames=2, n_blocks=2, hidden_size=8), "likelihood", **changes)


def built(settings):
    torch.manual_seed(0)
    network = build_network(settings)
    return network, build_objective(settings, network, 3)


def test_likelihood_is_the_score_s_mean_and_its_total_a_number_s_share():
    network, objective = built(flow_recipe())
    batch = next(Recordings().once())
    losses = objective(network, batch)
    expected = network(*batch.inputs, torch.eye(3)[batch.sections]).mean()
    assert torch.isclose(losses["negative-log-likelihood"], expected)
    assert torch.isclose(losses["total"], expected / 32)


@pytest.mark.parametrize("settings", [flow_recipe(), vae_recipe()])
def test_recordings_without_sections_are_refused(settings, tmp_path):
    network, objective = built(settings)
    with pytest.raises(DataError, match="name no sections"):
        batches = objective.prepared(network, Recordings(named=False), tmp_path)
        objective(network, next(batches.once()))


def test_every_recording_is_heard_once_and_remembered(tmp_path):
    settings = vae_recipe()
    network, objective = built(settings)
    sound = Recordings()
    notes = []
    batches = objective.prepared(network, sound, tmp_path, notes.append)
    assert sound.heard == 3 and len(notes) == 1 and (tmp_path / CACHE).is_file()
    expected = torch.cat([network(*batch.inputs) for batch in Recordings().once()])
    (whole,) = batches.once()
    assert torch.allclose(whole.inputs[0], expected) and whole.inputs[0].shape == (16, 12)
    epoch = [batches[step] for step in (0, 1)]
    rows = torch.cat([batch.inputs[0] for batch in epoch])
    assert sorted(rows.tolist()) == sorted(expected.tolist())  # all of them, in another order
    assert not torch.equal(rows, expected)
    for batch in epoch:
        for features, section in zip(batch.inputs[0], batch.sections, strict=True):
            assert whole.sections[(whole.inputs[0] == features).all(dim=1)] == section
    (kept,) = batches.validation()
    assert len(kept.labels) == 2 * WINDOWS

    again = objective.prepared(network, sound, tmp_path)
    assert sound.heard == 3  # not a second time
    assert torch.equal(again[5].inputs[0], batches[5].inputs[0])


def test_other_ears_and_a_damaged_memory_hear_again(tmp_path):
    settings = vae_recipe()
    network, objective = built(settings)
    sound = Recordings()
    objective.prepared(network, sound, tmp_path)
    whole = (tmp_path / CACHE).read_bytes()
    (tmp_path / CACHE).write_bytes(whole[: len(whole) // 2])
    objective.prepared(network, sound, tmp_path)
    assert sound.heard == 6
    with torch.no_grad():
        network.listener.conv_block1.conv1.weight.mul_(2.0)
    objective.prepared(network, sound, tmp_path)
    assert sound.heard == 9


def test_the_vae_s_loss_is_what_is_trained_and_the_listener_is_not(tmp_path):
    network, objective = built(vae_recipe())
    batches = objective.prepared(network, Recordings(), tmp_path)
    batch = batches[0]
    network.eval()
    losses = objective(network, batch)
    expected = network.vae.loss(batch.inputs[0], torch.eye(3)[batch.sections])
    assert losses.keys() == expected.keys() and all(torch.equal(losses[name], expected[name]) for name in losses)
    sound = next(Recordings().once())
    unprepared = objective(network, sound)["total"]  # as a plan's timing does
    assert torch.isclose(unprepared, network.vae.loss(network(*sound.inputs), torch.eye(3)[sound.sections])["total"])
    losses["total"].backward()
    assert all(p.grad is None for p in network.listener.parameters())
    assert all(p.grad is not None for p in network.vae.parameters())


def test_settings_that_do_not_go_together_are_refused():
    for objective, other in ((flow_recipe, vae_recipe), (vae_recipe, flow_recipe)):
        settings = dataclasses.replace(objective(), model=other().model)
        with pytest.raises(ConfigError, match="needs model"):
            built(settings)
    with pytest.raises(ConfigError, match="mixup"):
        built(flow_recipe(augment=AugmentSettings(mixup_probability=0.5)))
    with pytest.raises(ConfigError, match="augment"):
        built(vae_recipe(augment=AugmentSettings(speed_spread=0.1)))
    with pytest.raises(ConfigError, match="12 features"):
        built(vae_recipe(model=dataclasses.replace(vae_recipe().model, embedding_size=13)))
    with pytest.raises(ConfigError, match="plain dB"):
        built(vae_recipe(contract=ContractSettings(window_frames=8, step_frames=4)))
    with pytest.raises(ConfigError, match="embedding_size is 5"):
        built(flow_recipe(model=flow.Settings(embedding_size=5)))
    with pytest.raises(ConfigError, match="stacked_frames 9"):
        built(flow_recipe(model=flow.Settings(stacked_frames=9)))


@pytest.mark.parametrize("name", ["panns-clvae", "panns-clvae-edge", "maf", "maf-edge"])
def test_shipped_recipes_build(name):
    settings = load_recipe(name)
    network = build_network(settings)
    contract = settings.model_contract()
    assert build_objective(settings, network, 6)
    assert contract.outputs and set(network.graphs()) == {
        graph for graph, there in (("embedder", contract.embedding_size), ("scorer", True)) if there
    }
    window = torch.full((1, 1, min(64, contract.window_frames), contract.features.n_mels), -1.0)
    given = window if name.startswith("maf") else network(window)
    assert network.graphs()["scorer"].eval()(given, torch.ones(1, 1)).shape == (1, len(contract.outputs))


def test_the_report_s_sizes_are_the_defaults():
    settings = load_recipe("panns-clvae")
    assert settings.features == FRONT_END
    assert settings.model.embedding_size == 3776
    assert (settings.train.epochs, settings.train.groups_per_batch, settings.train.learning_rate) == (300, 512, 1e-3)
    assert settings.scoring.percentile == 90

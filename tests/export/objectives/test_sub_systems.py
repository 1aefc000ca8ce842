import dataclasses

import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")
pytest.importorskip("transformers", reason="the systems extra is not installed")

from edge_asd.errors import ConfigError  # noqa: E402
from export.networks.registry import build_network  # noqa: E402
from export.objectives.registry import build_objective  # noqa: E402
from export.objectives.sub_systems import machine_types  # noqa: E402
from export.recipes.load import load_recipe  # noqa: E402
from export.sound.batches import Batch  # noqa: E402

SECTIONS = ("fan/00", "fan/01", "valve/00")


@pytest.fixture(scope="module")
def recipe():
    recipe = load_recipe("w2v-ast-bank-edge")
    model = dataclasses.replace(recipe.model, size=32, embedding_size=32, depth=1, heads=2, mlp_size=32, channels=8)
    contract = dataclasses.replace(recipe.contract, sections=SECTIONS)
    return dataclasses.replace(recipe, model=model, contract=contract)


@pytest.fixture(scope="module")
def network(recipe):
    torch.manual_seed(0)
    return build_network(recipe)


def batch(**change):
    made = Batch((torch.randn(4, 33280),), torch.tensor([0, 1, 2, 3]), sections=torch.tensor([0, 1, 2, 2]))
    return dataclasses.replace(made, **change)


def test_machine_types_come_from_the_names_of_sections():
    machines, of_section = machine_types(("valve/00", "fan/00", "fan/01"))
    assert machines == ["fan", "valve"]
    assert of_section.tolist() == [1, 0, 0]


def test_each_half_learns_its_own_classes(recipe, network):
    objective = build_objective(recipe, network, 4).train()
    assert len(objective.machines.centres) == 2 and len(objective.classes.centres) == 4
    losses = objective(network, batch())
    torch.testing.assert_close(losses["total"], losses["machines"] + losses["classes"])
    losses["machines"].backward()
    assert all(parameter.grad is None for parameter in network.second.parameters())
    assert network.first.fusion[0].weight.grad.abs().sum() > 0
    network.zero_grad()


def test_validation_tells_how_often_machine_and_class_are_right(recipe, network):
    objective = build_objective(recipe, network, 4).eval()
    with torch.no_grad():
        first, _ = network.eval().both(*batch().inputs)
        objective.machines.centres.copy_(first[[0, 2]])
        losses = objective(network, batch())
    assert losses["machine-accuracy"] >= 0.5 and 0 <= losses["accuracy"] <= 1


def test_what_has_no_machines_or_mixes_them_is_refused(recipe, network):
    objective = build_objective(recipe, network, 4)
    with pytest.raises(ConfigError, match="do not say which machine"):
        objective(network, batch(sections=None))
    mixed = dataclasses.replace(recipe, augment=dataclasses.replace(recipe.augment, mixup_probability=0.5))
    with pytest.raises(ConfigError, match="mixup_probability must be 0"):
        build_objective(mixed, network, 4)
    vit = build_network(load_recipe("vit-192"))
    with pytest.raises(ConfigError, match="has none"):
        build_objective(recipe, vit, 4)

import pytest

pytest.importorskip("yaml")

from export.recipes.load import RECIPES
from export.reproduce.published import measured_figures, published_systems


def systems():
    return {published.system: published for published in published_systems()}


@pytest.mark.parametrize(
    ("system", "percent"),
    [
        ("vit-knn, system 3", 67.7),
        ("maf", 68.9),
        ("stgram-mfn", 56.4),
        ("stgram-mnv3", 53.8),
        ("w2v-ast-bank, system 1", 56.68),
    ],
)
def test_tables_give_the_scores_the_systems_are_known_by(system, percent):
    assert 100 * systems()[system].figures.all == pytest.approx(percent, abs=0.05)


@pytest.mark.parametrize(
    ("system", "means"),
    [
        ("panns-clvae, system 1", (77.39, 71.45, 66.20, 63.68)),
        ("panns-clvae, system 2", (80.14, 73.47, 68.18, 65.40)),
    ],
)
def test_sections_were_typed_in_right(system, means):
    """The report prints arithmetic means over its 21 sections."""
    import yaml

    from export.reproduce.published import TABLES

    entry = next(e for e in yaml.safe_load(TABLES.read_text("utf-8")) if e["system"] == system)
    rows = list(entry["rows"].values())
    assert len(rows) == 21
    for column, mean in zip(zip(*rows, strict=True), means, strict=True):
        assert sum(column) / 21 == pytest.approx(mean, abs=0.011)


def test_every_system_has_a_recipe_and_seven_machines():
    assert len(systems()) == 13
    for published in systems().values():
        assert (RECIPES / f"{published.recipe}.yaml").is_file(), published.recipe
        assert len(published.figures.rows) == 7


def test_measured_sections_become_machines_as_the_year_means_them():
    def case(machine, *values):
        return {"machine": machine, "components": dict(zip(("auc_source", "auc_target", "pauc"), values, strict=True))}

    made = measured_figures(
        {
            "datasets": [{"year": 2022}],
            "cases": [
                case("fan", 0.5, 0.6, 0.5),
                case("fan", 1.0, 0.6, 0.5),
                case("valve", 0.9, 0.9, 0.9),
                {"machine": "slider", "components": {}},
            ],
        }
    )
    assert made.columns == ("auc_source", "auc_target", "pauc")
    assert list(made.rows) == ["fan", "valve"]
    assert made.rows["fan"] == pytest.approx((2 / 3, 0.6, 0.5))
    assert made.official["fan"] == pytest.approx(6 / (2 + 1 + 2 / 0.6 + 4))
    assert made.all == pytest.approx(9 / (2 + 1 + 2 / 0.6 + 4 + 3 / 0.9))

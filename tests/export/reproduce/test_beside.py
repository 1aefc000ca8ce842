import pytest

pytest.importorskip("yaml")

from types import SimpleNamespace

from edge_asd.cli.evaluate_published import published_table
from export.reproduce.beside import beside

PARTS = {"auc_source": 0.8, "auc_target": 0.7, "pauc": 0.6}


def evaluation(n_clips=8, components=PARTS):
    case = {"machine": "fan", "components": components, "n_normal": n_clips // 2, "n_anomaly": n_clips // 2}
    return {"datasets": [{"year": 2022, "name": "DCASE 2022"}], "cases": [case]}


@pytest.mark.parametrize(("recipe", "more"), [("vit-knn", []), ("vit-knn-edge", ["vit-knn"])])
def test_a_reports_table_stands_beside_ours(recipe, more):
    lines = beside([recipe, *more], evaluation()).splitlines()
    assert lines[0].startswith("vit-knn, system 1, as published (") and f"measured here by {recipe}" in lines[0]
    assert lines[1].split() == ["published", "ours"]
    (fan,) = (line.split() for line in lines if line.startswith("fan"))
    assert fan == ["fan", "73.92", "63.80", "56.94", "64.15", "80.00", "70.00", "60.00", "69.04"]
    assert "not the report's data (DCASE 2022 development set)" in lines[-1]


def test_there_is_nothing_to_say_of_other_recipes_and_of_no_figure():
    assert beside(["mfn-128"], evaluation()) == ""
    assert beside(["vit-knn"], evaluation(components={})) == ""


def test_evaluate_asks_by_the_recipe_its_bundles_tell():
    def plan(*recipes):
        return SimpleNamespace(
            listeners=[SimpleNamespace(model=SimpleNamespace(provenance={"recipe": r} if r else {})) for r in recipes]
        )

    assert "as published" in published_table(plan({"name": "maf"}, {"name": "maf"}), evaluation())
    assert published_table(plan({"name": "maf"}, {"name": "vit-knn"}), evaluation()) == ""
    assert "by mine, which extends maf," in published_table(plan({"name": "mine", "lineage": ["maf"]}), evaluation())
    assert published_table(plan(None), evaluation()) == ""
    assert published_table(plan("maf"), evaluation()) == ""

import pytest

pytest.importorskip("torch", reason="the export extra is not installed")

from edge_asd.errors import UsageError
from export.reproduce.command import chosen_systems


def test_recipes_are_chosen_by_name_edge_form_or_for_a_system():
    chosen = chosen_systems("maf-edge, vit-knn,stgram-mfn=mine.yaml")
    assert [(published.recipe, name) for published, name in chosen] == [
        ("maf", "maf-edge"),
        ("vit-knn", "vit-knn"),
        ("stgram-mfn", "mine.yaml"),
    ]
    assert len(chosen_systems(None)) == 13


@pytest.mark.parametrize("text", ["vit-kn", "mfn-128", "maf="])
def test_a_recipe_of_no_system_names_the_nearest(text):
    with pytest.raises(UsageError, match="is no recipe of a published system; did you mean"):
        chosen_systems(text)

import textwrap

import pytest

pytest.importorskip("torch", reason="the export extra is not installed")

from edge_asd.errors import ConfigError, EdgeAsdError, MissingInputError
from export.recipe import ModelSettings, Recipe, ScoringSettings, Subset, section_names
from export.recipes.load import RECIPES, as_yaml, load_recipe


def written(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


def test_the_shipped_recipe_loads_by_name():
    recipe = load_recipe("mfn-128")
    assert recipe.name == "mfn-128"
    assert recipe.model_contract().embedding_size == 128


def test_keys_left_out_take_defaults_and_given_ones_win(tmp_path):
    text = "name: x\ntrain: {steps: 7, learning_rate: 1}\ndata: {fault_level_db: [-3, 4]}\n"
    recipe = load_recipe(written(tmp_path, text))
    assert (recipe.train.steps, recipe.train.learning_rate, recipe.data.fault_level_db) == (7, 1.0, (-3.0, 4.0))
    assert recipe.model == Recipe("x").model


def test_unknown_key_names_the_nearest_known_one(tmp_path):
    with pytest.raises(ConfigError, match=r"train: unknown key 'step'; the nearest known key is 'steps'") as caught:
        load_recipe(written(tmp_path, "name: x\ntrain: {step: 7}\n"))
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\n", "'name' is missing"),
        ("name: x\nseed: one\n", "'one' is not of type int"),
        ("name: x\nseed: true\n", "True is not of type int"),
        ("name: x\nquantise: {float_first: 1.5}\n", "1.5 is not of type int"),
        ("name: x\ndata: {noise_snr_db: [5, 1]}\n", r"\[5, 1\] is not \[lowest, highest\]"),
        ("name: x\ntrain: 5\n", "expected keys and values, found int"),
        ("name: x\ncontract: {short_clip: loop}\n", "'loop' is neither"),
        ("name: x\nfeatures: {mel_scale: bark}\n", "'bark' is neither"),
        ("name: [\n", "not YAML"),
        ("", "expected keys and values, found NoneType"),
    ],
)
def test_wrong_recipes_say_where_and_what(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said) as caught:
        load_recipe(written(tmp_path, text))
    assert "recipe.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_recipe_is_answered_with_the_known_names():
    with pytest.raises(MissingInputError, match=r"did you mean 'mfn-classes'\?.*mfn-128, mfn-classes"):
        load_recipe("mfn-clases")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_is_right_and_reads_back(path, tmp_path):
    recipe = load_recipe(path.stem)
    assert recipe.name == path.stem
    assert load_recipe(written(tmp_path, as_yaml(recipe))) == recipe


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: {kind: mobilefacenets}", "did you mean 'mobilefacenet'"),
        ("head: {kind: arcfaces}", "did you mean 'arcface'"),
        ("train: {validation_share: 0.9}", "validation_share is 0.9, must be 0 to 0.5"),
        ("augment: {room_probability: 1.5}", "room_probability is 1.5, must be 0 to 1"),
        ("train: {steps: 0}", "steps is 0, must be above 0"),
        ("train: {patience: -1}", "patience is -1, must be at least 0"),
        ("train: {patience: 3}", "patience needs a validation_share"),
        ("train: {windows_per_group: 1}", "relation_weight needs windows_per_group"),
        ("train: {distil_weight: 0, relation_weight: 0, identity_weight: 0}", "every loss has a weight of 0"),
        ("augment: {mixup_probability: 0.5}", "never heard the mixture"),
        ("augment: {speed_spread: 0.9}", "speed_spread is 0.9, must be 0 to 0.5"),
        ("quantise: {activation_bits: 4}", "activation_bits is 4, must be 8 or 16"),
        ("scoring: {scorer: 'embedding:knnn'}", "scoring.scorer: .*did you mean 'knn'"),
        (
            "scoring: {machines: {fan: 'scores:column'}}",
            "machines.fan: scorer scores:column: x gives no scores",
        ),
        ("extends: maf\nscoring: {scorer: 'scores:column,i=1'}", "the model gives 1 scores, counted from 0"),
        ("extends: maf\nscoring: {scorer: 'embedding:knn'}", "x gives no embedding"),
    ],
)
def test_values_no_training_could_use_are_refused(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said) as caught:
        load_recipe(written(tmp_path, f"name: x\n{text}\n"))
    assert "recipe.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_recipe_extends_another_key_by_key(tmp_path):
    (tmp_path / "base.yaml").write_text("name: base\nextends: vit-192\ntrain: {steps: 9}\n")
    recipe = load_recipe(written(tmp_path, "extends: base.yaml\nname: mine\nmodel: {depth: 2}\ntrain: {epochs: 3}\n"))
    assert (recipe.name, recipe.model.depth, recipe.model.size) == ("mine", 2, 192)
    assert (recipe.train.steps, recipe.train.epochs, recipe.train.learning_rate) == (9, 3, 0.0003)
    assert recipe.lineage == ["base", "vit-192"]
    assert load_recipe(written(tmp_path, as_yaml(recipe))) == recipe
    assert load_recipe("vit-192").lineage == []
    assert "lineage" not in repr(recipe)  # results are kept by it


def test_another_kind_of_network_takes_nothing_from_the_base(tmp_path):
    recipe = load_recipe(written(tmp_path, "extends: vit-192\nname: mine\nmodel: {kind: mobilefacenet}\n"))
    assert recipe.model == ModelSettings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends: recipe.yaml", "leads back to itself"),
        ("extends: 5", "5 is no recipe's name or path"),
        ("extends: vit-193", "did you mean 'vit-192'"),
        ("recordings: {sections: 0-3}", "neither all, dev, eval nor numbers such as 0_3"),
        ("recordings: {classes: [machin]}", "'machin' is none of machine, section"),
        ("recordings: {classes: machine}", "'machine' is not a list"),
        ("recordings: {domains: [near]}", "neither source nor target"),
        ("recordings: {models: each}", "'each' is none of all, machine"),
        ("recordings: {subsets: [{name: a}, {name: a}]}", "not different names"),
        ("recordings: {models: machine, subsets: [{name: a}]}", "do not go together"),
        ("scoring: {percentile: 100}", "percentile is 100.0, must lie between"),
        ("scoring: {machines: [fan]}", "not a table"),
        ("objective: {kind: classify}", "did you mean 'classification'"),
        ("data: {teacher_hears: [clip, rom]}", "must be one or several of clip, room, machine"),
        ("train: {schedule: linear}", "'linear' is none of cosine, constant"),
    ],
)
def test_wrong_sections_kinds_and_bases_are_refused(tmp_path, text, said):
    with pytest.raises(EdgeAsdError, match=said) as caught:
        load_recipe(written(tmp_path, f"name: x\n{text}\n"))
    assert "\n" not in str(caught.value)


def test_subsets_and_scoring_are_read(tmp_path):
    text = """
        name: x
        recordings: {subsets: [{name: dev, sections: dev, epochs: 3, serves: {"*": dev, fan: "0_3"}}]}
        scoring: {scorer: "embedding:knn", machines: {fan: "embedding:gmm"}, aggregation: mean, percentile: 90}
        weights: {panns: a.pth}
    """
    recipe = load_recipe(written(tmp_path, textwrap.dedent(text)))
    assert recipe.recordings.subsets == (Subset("dev", "dev", epochs=3, serves={"*": "dev", "fan": "0_3"}),)
    assert recipe.scoring == ScoringSettings("embedding:knn", {"fan": "embedding:gmm"}, "mean", 90.0)
    assert load_recipe(written(tmp_path, as_yaml(recipe))) == recipe
    assert section_names("0_3") == ("00", "03") and section_names("all") is None

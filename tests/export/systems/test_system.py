"""The commands on a small generated set: from a recipe to bundles that score."""

import dataclasses
import json
import shutil
import textwrap

import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")
pytest.importorskip("onnx", reason="the export extra is not installed")

from edge_asd.bundle.bundle import load_bundle  # noqa: E402
from edge_asd.cli import main  # noqa: E402
from edge_asd.model_package import load_model  # noqa: E402
from edge_asd.simulator.dataset_folder import write_dcase2022  # noqa: E402
from edge_asd.simulator.dcase2022 import Counts  # noqa: E402

RECIPE = """
    extends: vit-192
    name: tiny
    contract: {window_frames: 16, step_frames: 8}
    model: {embedding_size: 16, size: 16, depth: 1, heads: 2, mlp_size: 32}
    recordings: {years: [2022], domains: [source], classes: [machine, section]}
    train: {epochs: 12, groups_per_batch: 4, windows_per_group: 2, warmup_steps: 2, validation_share: 0, patience: 0,
            checkpoint_steps: 5, learning_rate: 0.01}
    scoring: {scorer: "embedding:knn", machines: {valve: "embedding:gmm"}, aggregation: mean, percentile: 90}
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "dcase2022"
    write_dcase2022(folder, machines=("fan", "valve"), sections=("00", "03"), counts=Counts(5, 2, 2))
    return folder


def recipe(folder, extra=""):
    path = folder / "tiny.yaml"
    path.write_text(textwrap.dedent(RECIPE) + textwrap.dedent(extra))
    return str(path)


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("system")
    code = main(["train", "--recipe", recipe(folder), "--data", str(dataset), "--out", str(folder / "run")])
    assert code == 0
    return folder / "run"


def test_a_system_is_a_model_and_a_bundle_for_every_machines_section(run):
    model = load_model(run / "model", "fp32")
    assert model.contract.name == "tiny" and (run / "best" / "weights.pt").is_file()
    bundles = {path.name: load_bundle(path) for path in (run / "bundles").iterdir()}
    assert sorted(bundles) == ["fan_00.asd", "fan_03.asd", "valve_00.asd", "valve_03.asd"]
    fan, valve = bundles["fan_00.asd"], bundles["valve_03.asd"]
    assert [str(spec) for spec in fan.normal.specs] == ["embedding:knn"]
    assert [str(spec) for spec in valve.normal.specs] == ["embedding:gmm"]
    assert fan.aggregation.top_share == 1.0 and fan.clip_calibration.percentile == 90.0
    assert fan.enrolment["pieces"] == 7 and fan.enrolment["target_windows"] > 0
    assert fan.model.network == model.network


@pytest.mark.parametrize("named", ["bundles", "."])
def test_its_bundles_are_evaluated_by_the_directory(run, dataset, named, tmp_path, capsys):
    flags = ["--bundle", str(run / named), "--jobs", "1", "--cache", str(tmp_path), "--json"]
    assert main(["evaluate", str(dataset), *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {case["case"] for case in found["cases"]} == {"fan_00", "fan_03", "valve_00", "valve_03"}


def test_again_it_trains_nothing_and_enrols_only_what_is_missing(run, dataset, capsys):
    bundles = run / "bundles"
    before = {path.name: path.read_bytes() for path in bundles.iterdir()}
    (bundles / "fan_00.asd").unlink()
    (bundles / "fan_03.asd").write_bytes(b"cut off by a kill")
    flags = ["--recipe", recipe(run.parent), "--data", str(dataset), "--out", str(run), "--json"]
    assert main(["train", *flags]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["bundles"]) == 4 and told["networks"]["tiny"]["steps"] == told["networks"]["tiny"]["of_steps"]
    assert (bundles / "valve_00.asd").read_bytes() == before["valve_00.asd"]
    assert load_bundle(bundles / "fan_00.asd").enrolment["pieces"] == 7
    load_bundle(bundles / "fan_03.asd")


def test_another_way_to_score_trains_nothing_and_enrols_all_anew(run, dataset, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(run, out)
    recipe(tmp_path)
    other = "extends: tiny.yaml\nname: tiny\nscoring: {scorer: 'embedding:lof', machines: {vlave: 'embedding:gmm'}}\n"
    (tmp_path / "other.yaml").write_text(other)
    assert main(["train", "--recipe", str(tmp_path / "other.yaml"), "--data", str(dataset), "--out", str(out)]) == 0
    told = capsys.readouterr().err
    assert "scoring.machines names 'vlave', which the data has not: there are fan, valve" in told
    assert "goes on from step" in told
    specs = {path.name: str(load_bundle(path).normal.specs[0]) for path in (out / "bundles").iterdir()}
    assert specs["fan_00.asd"] == "embedding:lof" and specs["valve_00.asd"] == "embedding:gmm"


def test_several_networks_have_directories_of_their_own(dataset, tmp_path):
    extra = """
        extends: tiny.yaml
        name: two
        recordings: {subsets: [{name: first, sections: "0", serves: {"*": "0"}},
                               {name: second, sections: "3", steps: 3, serves: {"*": "3"}}]}
    """
    recipe(tmp_path)
    (tmp_path / "two.yaml").write_text(textwrap.dedent(extra))
    out = tmp_path / "run"
    assert main(["train", "--recipe", str(tmp_path / "two.yaml"), "--data", str(dataset), "--out", str(out)]) == 0
    first, second = (load_model(out / "model" / name, "fp32") for name in ("first", "second"))
    assert load_bundle(out / "bundles" / "fan_00.asd").model.network == first.network != second.network
    assert load_bundle(out / "bundles" / "valve_03.asd").model.network == second.network
    assert json.loads((out / "second" / "summary.json").read_text())["steps"] == 3


def test_the_plan_names_networks_operations_and_hours(dataset, tmp_path, capsys):
    assert main(["train", "--recipe", recipe(tmp_path), "--data", str(dataset), "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["steps"] == 12 * (20 // 4) and plan["bundles"] == 4 and plan["classes"] == 4
    assert plan["macs_per_window"] > 10_000 and plan["training_hours"] >= 0.0 and plan["step_seconds"] > 0.0
    assert plan["scorer"].startswith("embedding:knn; valve: embedding:gmm")
    assert main(["train", "--recipe", recipe(tmp_path), "--data", str(dataset), "--dry-run"]) == 0
    assert "training hours" in capsys.readouterr().out


def test_what_the_recipe_is_not_made_for_is_refused_before_anything_is_trained(dataset, tmp_path, capsys):
    given = ["--data", str(dataset), "--out", str(tmp_path / "run")]
    wrong_year = recipe(tmp_path).replace("tiny.yaml", "year.yaml")
    (tmp_path / "year.yaml").write_text("extends: tiny.yaml\nname: year\nrecordings: {years: [2020]}\n")
    assert main(["train", "--recipe", wrong_year, *given]) == 65
    assert "made for 2020" in capsys.readouterr().err
    assert main(["train", "--recipe", recipe(tmp_path), "--weights", "panns=a.pth", *given]) == 78
    assert "starts from no such" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_its_bundles_become_int8_for_a_board_and_rank_the_same_clips_alike(run, dataset, tmp_path):
    from export.systems.bundles import bundles_in, in_int8

    paths, lines = bundles_in(run), []
    assert [path.name for path in paths] == ["fan_00.asd", "fan_03.asd", "valve_00.asd", "valve_03.asd"]
    made = in_int8(paths[:2], None, lines.append)
    for path, bundle in made.items():
        before = load_bundle(path)
        assert (before.model.precision, bundle.model.precision) == ("fp32", "int8"), lines
        assert bundle.enrolment["pieces"] == before.enrolment["pieces"] and bundle.aggregation == before.aggregation
        assert bundle.clip_calibration.percentile == before.clip_calibration.percentile
    assert sum(line.startswith("embedder: int8, ") for line in lines) == 1  # two bundles of one network, one choice
    assert sum("rank with a correlation of" in line for line in lines) == 2


def test_a_bundle_whose_sound_is_gone_stays_float_and_says_what_it_needs(run, tmp_path):
    from export.systems.bundles import in_int8

    alone = tmp_path / "fan_00.asd"
    alone.write_bytes((run / "bundles" / "fan_00.asd").read_bytes())
    lines = []
    assert in_int8([alone], None, lines.append)[alone].model.precision == "fp32"
    assert lines == [
        "fan_00.asd stays float: int8 needs the sound it was enrolled with; give its data set with --enroll DIR"
    ]


@pytest.mark.parametrize("times", [1, 2])
def test_a_bundle_that_was_added_to_is_not_made_int8_without_that_sound(run, tmp_path, capsys, monkeypatch, times):
    own, more = tmp_path / "run", tmp_path / "more"
    shutil.copytree(run, own)
    write_dcase2022(more, machines=("fan",), sections=("00", "03"), counts=Counts(20, 2, 2), seed=7)
    bundle = own / "bundles" / "fan_00.asd"
    for section in ("00", "03")[:times]:
        clips = map(str, sorted((more / "fan" / "train").glob(f"section_{section}_*.wav")))
        assert main(["enroll", "--append", str(bundle), *clips]) == 0
    capsys.readouterr()
    added_s = sum(entry["seconds"] for entry in load_bundle(bundle).enrolment["appended"])
    monkeypatch.setattr("export.systems.bundles.int8_graphs", None)  # refused before any work
    assert main(["export", "--bundle", str(own), "--target", "x86-64", "--out", str(tmp_path / "dist")]) == 65
    said = capsys.readouterr().err
    assert f"{bundle}: {added_s:.0f} s of sound were added" in said and "--precision fp32" in said
    assert (f"edge-asd enroll --undo {bundle}" in said) == (times == 1)  # it takes back the last addition alone
    assert not list((tmp_path / "dist").iterdir())


def test_a_data_set_with_fewer_clips_than_a_bundle_was_enrolled_with_is_refused(run, dataset, tmp_path):
    from edge_asd.errors import DataError
    from export.systems.bundles import bundles_in, in_int8

    fewer = tmp_path / "fewer"
    shutil.copytree(dataset, fewer)
    sorted((fewer / "fan" / "train").glob("section_00_source_*.wav"))[0].unlink()
    with pytest.raises(DataError, match=r"fan_00\.asd: enrolled with 7 clips, .* now has 6: .*--enroll DIR.*fp32"):
        in_int8(bundles_in(run)[:2], fewer)


def test_a_board_that_cannot_keep_up_is_refused_with_numbers(run, capsys):
    from edge_asd.errors import UsageError
    from export.targets.budget import check_budget, load_of
    from export.targets.target import load_target

    model, board = load_bundle(run / "bundles" / "fan_00.asd").model, load_target("pi4")
    load = load_of(model)
    assert load.windows_per_s == pytest.approx(1 / 0.256) and set(load.macs) == {"fp32"}
    assert check_budget(model, board, "fan_00.asd") == pytest.approx(
        load.macs["fp32"] / 3.0e9 * load.windows_per_s, rel=1e-6
    )
    slow = dataclasses.replace(board, gmacs={"fp32": 0.8e-9 * load.macs["fp32"] * load.windows_per_s})
    with pytest.raises(
        UsageError, match=r"fan_00\.asd: .* GMAC a window, 3.91 windows a second.*125 % of pi4's.*--force"
    ):
        check_budget(model, slow, "fan_00.asd")
    lines = []
    check_budget(model, slow, "fan_00.asd", force=True, note=lines.append)
    assert lines[0].startswith("warning: fan_00.asd") and "jetson-orin" in lines[0]

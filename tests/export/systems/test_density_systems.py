"""panns-clvae and maf by the commands, on a generated set: trained, evaluated, made int8, run live."""

import json
import textwrap

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")
pytest.importorskip("onnx", reason="the export extra is not installed")

from edge_asd.bundle.bundle import load_bundle, save_bundle  # noqa: E402
from edge_asd.cli import main  # noqa: E402
from edge_asd.simulator.dataset_folder import write_dcase2022  # noqa: E402
from edge_asd.simulator.dcase2022 import Counts  # noqa: E402
from export.systems.bundles import bundles_in, in_int8  # noqa: E402

TINY = {
    "maf": """
        extends: maf-edge
        name: tiny
        features: {n_mels: 32}
        contract: {window_frames: 16, step_frames: 8}
        model: {hidden_size: 64}
        train: {epochs: 0, steps: 100, groups_per_batch: 30, windows_per_group: 2, warmup_steps: 5,
                learning_rate: 0.002, checkpoint_steps: 100}
        """,
    # On random weights: nobody's published file is at hand in a test.
    "panns-clvae": """
        extends: panns-clvae-edge
        name: tiny
        contract: {window_frames: 80, step_frames: 40}
        model: {width: 0.25, embedding_size: 176, hidden_size: 128, latent_size: 64}
        train: {epochs: 0, steps: 120, groups_per_batch: 30, windows_per_group: 1, learning_rate: 0.002,
                checkpoint_steps: 120}
        """,
}
SECTIONS = ("00", "01", "02")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """120 normal and 120 anomalous test clips; that loudness tells nothing is tested with the simulator."""
    folder = tmp_path_factory.mktemp("data") / "dcase2022"
    write_dcase2022(folder, machines=("fan", "valve"), sections=SECTIONS, counts=Counts(16, 4, 10))
    return folder


@pytest.fixture(scope="module", params=sorted(TINY))
def system(request, dataset, tmp_path_factory):
    """(name, RUN of its training)."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "tiny.yaml").write_text(textwrap.dedent(TINY[request.param]))
    code = main(["train", "--recipe", str(folder / "tiny.yaml"), "--data", str(dataset), "--out", str(folder / "run")])
    assert code == 0
    return request.param, folder / "run"


@pytest.fixture(scope="module")
def in_integers(system, tmp_path_factory):
    """(name, directory of the same bundles in int8)."""
    name, run = system
    folder = tmp_path_factory.mktemp("int8")
    for path, bundle in in_int8(bundles_in(run), None).items():
        save_bundle(bundle, folder / path.name)
    return name, folder


def test_it_finds_the_faults_of_the_generated_set_in_int8_as_in_float(system, in_integers, dataset, tmp_path, capsys):
    found = []
    for _, bundles in (system, in_integers):
        flags = ["--bundle", str(bundles), "--jobs", "1", "--cache", str(tmp_path), "--json"]
        assert main(["evaluate", str(dataset), *flags]) == 0
        found.append(json.loads(capsys.readouterr().out))
    before, after = found
    for count in ("n_normal", "n_anomaly"):
        assert sum(case[count] for case in before["cases"]) == 120
    assert before["mean"]["auc"] >= 0.8
    assert abs(after["mean"]["auc"] - before["mean"]["auc"]) <= 0.01


def test_every_graph_becomes_int8_or_says_why_not(in_integers):
    name, folder = in_integers
    model = load_bundle(folder / "fan_00.asd").model
    graphs = {"maf": {"scorer"}, "panns-clvae": {"embedder", "scorer"}}[name]
    assert set(model.graphs) == graphs and model.graphs["scorer"].precision == "int8"
    for graph, network in model.graphs.items():
        said = "int8" if network.precision == "int8" else "stays float"
        assert model.provenance["int8_graphs"][graph].startswith(said)


def test_a_machine_has_one_model_and_each_section_its_bundle(system):
    name, run = system
    assert sorted(path.name for path in (run / "model").iterdir()) == ["fan", "valve"]
    fan, other = (load_bundle(run / "bundles" / f"{place}.asd") for place in ("fan_01", "valve_01"))
    contract = fan.model.contract
    assert contract.sections == tuple(f"fan/{section}" for section in SECTIONS) and contract.section == "fan/01"
    assert {graph: network.data for graph, network in fan.model.graphs.items()} != other.model.graphs
    assert set(fan.model.graphs) == ({"scorer"} if name == "maf" else {"embedder", "scorer"})
    assert fan.clip_calibration.percentile == 90.0 and fan.aggregation.top_share == 1.0
    assert [str(spec) for spec in fan.normal.specs] == [
        {"maf": "scores:column", "panns-clvae": "scores:column,i=2"}[name]
    ]


def test_it_scores_a_stream_as_it_comes(in_integers, dataset, tmp_path, capsys):
    import soundfile

    _, folder = in_integers
    medians = {}
    for label in ("normal", "anomaly"):
        clips = sorted((dataset / "valve" / "test").glob(f"section_00_*_{label}_*.wav"))
        sound = np.concatenate([soundfile.read(str(clip), dtype="int16")[0] for clip in clips])
        soundfile.write(str(tmp_path / f"{label}.wav"), sound, 16000)
        command = ["run", "--bundle", str(folder / "valve_00.asd"), "--fast", "--json"]
        assert main([*command, "--input", str(tmp_path / f"{label}.wav")]) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        scores = [line["score"] for line in lines if line.get("score") is not None]
        assert len(scores) > 10 and np.isfinite(scores).all()
        medians[label] = np.median(scores)
    assert medians["anomaly"] > medians["normal"]


def test_without_published_weights_a_warning_says_so(dataset, tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(textwrap.dedent(TINY["panns-clvae"]))
    given = ["train", "--recipe", str(tmp_path / "tiny.yaml"), "--data", str(dataset), "--dry-run", "--json"]
    assert main(given) == 0
    said = capsys.readouterr()
    plan = json.loads(said.out)
    assert plan["hearing_hours"] >= 0 and plan["frozen_parameters"] == 86_864 and plan["parameters"] == 142_608
    assert "ResNet38_mAP=0.434.pth" in said.err and "random weights" in said.err
    assert main([*given, "--weights", f"panns={tmp_path}/none.pth"]) == 66
    assert "none.pth" in capsys.readouterr().err

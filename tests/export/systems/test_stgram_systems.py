"""vit-knn, stgram-mfn, stgram-mnv3 and mfn-dual by the commands, on a generated set: trained, evaluated, in eight bits,
run live. Small sizes of each recipe; the published sizes are `benchmarks.systems`'s."""

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

FEATURES = "features: {n_mels: 64}"
STEPS = "groups_per_batch: 15, windows_per_group: 2, warmup_steps: 20, checkpoint_steps: 500"
TINY = {
    "vit-knn": f"""
        extends: vit-knn-edge
        {FEATURES}
        contract: {{window_frames: 24, step_frames: 1}}
        model: {{embedding_size: 48, size: 48, depth: 2, heads: 2, mlp_size: 96}}
        train: {{epochs: 12, {STEPS}}}
        """,
    "mfn-dual": f"""
        extends: mfn-dual-edge
        {FEATURES}
        contract: {{window_frames: 24, step_frames: 1}}
        model: {{width: 0.25, embedding_size: 64}}
        train: {{epochs: 60, learning_rate: 0.002, {STEPS}}}
        """,
    "stgram-mfn": f"""
        extends: stgram-mfn-edge
        {FEATURES}
        contract: {{window_frames: 24, step_frames: 1}}
        model: {{width: 0.25, embedding_size: 64}}
        train: {{epochs: 70, learning_rate: 0.002, {STEPS}}}
        """,
    # Untrained on pictures, it takes a smaller margin to learn anything in seconds.
    "stgram-mnv3": f"""
        extends: stgram-mnv3-edge
        {FEATURES}
        contract: {{window_frames: 24, step_frames: 1}}
        model: {{width: 0.5, embedding_size: 64}}
        head: {{margin: 0.3, scale: 16}}
        train: {{epochs: 50, learning_rate: 0.003, {STEPS}}}
        """,
}
SCORERS = {
    "vit-knn": {"embedding:knn"},
    "mfn-dual": {"embedding:lof", "embedding:gmm", "embedding:centres,k=1,t=1"},
    "stgram-mfn": {"scores:column"},
    "stgram-mnv3": {"scores:column"},
}
CLIPS = Counts(8, 2, 5)
"""Of six machines' sections: 60 normal and 60 anomalous test clips. That loudness tells nothing is tested with the
simulator."""


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """One machine of many sections, for a classifier a machine; three machines of two, for one over all."""
    folder = tmp_path_factory.mktemp("data")
    write_dcase2022(folder / "sections", machines=("valve",), counts=CLIPS)
    write_dcase2022(folder / "machines", machines=("ToyTrain", "fan", "valve"), sections=("00", "01"), counts=CLIPS)
    return folder


@pytest.fixture(scope="module", params=sorted(TINY))
def system(request, datasets, tmp_path_factory):
    """(name, RUN of its training, data)."""
    folder = tmp_path_factory.mktemp(request.param)
    data = datasets / ("sections" if request.param.startswith("stgram") else "machines")
    (folder / "tiny.yaml").write_text(textwrap.dedent(TINY[request.param]) + f"name: tiny-{request.param}\n")
    words = ["train", "--recipe", str(folder / "tiny.yaml"), "--data", str(data), "--out", str(folder / "run")]
    assert main(words) == 0
    return request.param, folder / "run", data


@pytest.fixture
def evaluated(tmp_path, capsys):
    """A function (data, directory of bundles) -> the evaluation's document."""

    def evaluate(data, bundles):
        words = ["--bundle", str(bundles), "--jobs", "1", "--cache", str(tmp_path / "cache"), "--json"]
        assert main(["evaluate", str(data), *words]) == 0
        return json.loads(capsys.readouterr().out)

    return evaluate


def test_it_finds_the_faults_and_ranks_alike_in_eight_bits(system, evaluated, tmp_path):
    _, run, data = system
    found = evaluated(data, run)
    assert sum(case["n_normal"] for case in found["cases"]) == sum(case["n_anomaly"] for case in found["cases"]) == 60
    assert found["mean"]["auc"] >= 0.8
    for path, bundle in in_int8(bundles_in(run), data).items():
        assert bundle.model.graphs["embedder"].precision == "int8"
        save_bundle(bundle, tmp_path / path.name)
    assert evaluated(data, tmp_path)["mean"]["auc"] >= found["mean"]["auc"] - 0.01


def test_each_machine_is_scored_as_the_recipe_says(system):
    name, run, _ = system
    bundles = [load_bundle(path) for path in bundles_in(run)]
    assert {str(spec) for bundle in bundles for spec in bundle.normal.specs} == SCORERS[name]
    assert all(bundle.aggregation.top_share == 1.0 for bundle in bundles)
    if name == "mfn-dual":
        of = {path.stem.split("_")[0]: str(load_bundle(path).normal.specs[0]) for path in bundles_in(run)}
        assert (of["ToyTrain"], of["fan"]) == ("embedding:lof", "embedding:gmm")
    if name.startswith("stgram"):
        assert {bundle.contract.section for bundle in bundles} == {f"valve/0{i}" for i in range(6)}
        assert set(bundles[0].model.graphs) == {"embedder", "scorer"}


def test_it_scores_a_stream_as_it_comes(system, tmp_path, capsys):
    import soundfile

    _, run, data = system
    medians = {}
    for label in ("normal", "anomaly"):
        clips = sorted((data / "valve" / "test").glob(f"section_00_*_{label}_*.wav"))
        sound = np.concatenate([soundfile.read(str(clip), dtype="int16")[0] for clip in clips])
        soundfile.write(str(tmp_path / f"{label}.wav"), sound, 16000)
        words = ["run", "--bundle", str(run / "bundles" / "valve_00.asd"), "--fast", "--json"]
        assert main([*words, "--input", str(tmp_path / f"{label}.wav")]) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        scores = [line["score"] for line in lines if line.get("score") is not None]
        assert len(scores) > 10 and np.isfinite(scores).all()
        medians[label] = np.median(scores)
    assert medians["anomaly"] > medians["normal"]


def test_without_pretrained_weights_a_warning_says_so(datasets, tmp_path, capsys):
    given = ["train", "--recipe", "stgram-mnv3-edge", "--data", str(datasets / "sections"), "--dry-run"]
    assert main(given) == 0
    said = capsys.readouterr()
    assert "mobilenetv3_small_100" in said.err and "random weights" in said.err
    assert main([*given, "--weights", f"mobilenetv3={tmp_path}/none.pth"]) == 66

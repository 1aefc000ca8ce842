"""wav2vec 2.0 + AST by the commands, at a size of seconds, on a generated set where loudness tells nothing."""

import contextlib
import io
import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export extra is not installed")
pytest.importorskip("onnx", reason="the export extra is not installed")
pytest.importorskip("transformers", reason="the systems extra is not installed")

from edge_asd.audio.files import read_clip
from edge_asd.bundle.bundle import load_bundle, save_bundle
from edge_asd.cli import main
from edge_asd.evaluation.metrics import roc_auc
from edge_asd.simulator.dataset_folder import write_dcase2022
from edge_asd.simulator.dcase2022 import Counts
from export.systems.bundles import bundles_in, in_int8

RECIPE = """
extends: w2v-ast-bank-edge
name: tiny-w2v
contract: {window_frames: 32, step_frames: 16}
model: {embedding_size: 32, size: 32, depth: 1, heads: 2, mlp_size: 48, channels: 12, ast_frames: 104,
        attention_size: 8, fusion_channels: 8}
recordings: {domains: []}
train: {epochs: 0, steps: 40, groups_per_batch: 18, learning_rate: 0.003, warmup_steps: 5, checkpoint_steps: 40}
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("w2v") / "dcase2022"
    machines = ("fan", "gearbox", "valve")
    write_dcase2022(folder, machines=machines, sections=("00", "01", "02"), counts=Counts(8, 2, 3), clip_s=1.1)
    return folder


@pytest.fixture(scope="module")
def run(dataset):
    (dataset.parent / "tiny.yaml").write_text(RECIPE)
    folder = dataset.parent / "run"
    recipe = ["--recipe", str(dataset.parent / "tiny.yaml")]
    assert main(["train", *recipe, "--data", str(dataset), "--out", str(folder)]) == 0
    return folder


def evaluated(dataset, bundles, cache):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        flags = ["--bundle", str(bundles), "--jobs", "1", "--cache", str(cache), "--json"]
        assert main(["evaluate", str(dataset), *flags]) == 0
    return json.loads(out.getvalue())


@pytest.fixture(scope="module")
def measured(run, dataset, tmp_path_factory):
    return evaluated(dataset, run, tmp_path_factory.mktemp("cache"))


def test_it_tells_normal_from_anomalous_where_loudness_does_not(measured, dataset):
    cases = measured["cases"]
    assert sum(case["n_normal"] for case in cases) >= 50 <= sum(case["n_anomaly"] for case in cases)
    assert measured["mean"]["auc"] >= 0.8
    loudness = {label: [] for label in ("normal", "anomaly")}
    for path in sorted(dataset.glob("*/test/*.wav")):
        levels = loudness["anomaly" if "_anomaly_" in path.name else "normal"]
        levels.append(float(np.square(read_clip(path, rate_hz=16000)).mean()))
    assert 0.4 <= roc_auc(np.array(loudness["normal"]), np.array(loudness["anomaly"])) <= 0.6


def test_a_bundle_holds_centres_of_the_source_and_all_of_the_target(run):
    bundle = load_bundle(run / "bundles" / "fan_00.asd")
    assert bundle.model.contract.inputs == ("waveform",)
    assert [str(spec) for spec in bundle.normal.specs] == ["embedding:centres"]
    (scorer,) = bundle.normal.scorers
    assert scorer.measure.centres.shape == (16, 32) or len(scorer.measure.centres) <= 16
    assert len(scorer.measure.memory) == bundle.enrolment["target_windows"] > 0


def test_it_runs_live_on_a_file(run, dataset, capsys):
    sound = next(iter(sorted(dataset.glob("fan/test/*section_00*anomaly*.wav"))))
    flags = ["--bundle", str(run / "bundles" / "fan_00.asd"), "--input", str(sound), "--fast", "--json"]
    assert main(["run", *flags]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert any(record.get("score") is not None for record in records)


def test_int8_ranks_as_float_does_or_stays_float_for_a_reason(run, dataset, measured, tmp_path):
    said = []
    made = in_int8(bundles_in(run), dataset, said.append)
    (precision,) = {bundle.model.precision for bundle in made.values()}
    assert precision == "int8" or any("stays float" in line for line in said), said
    for path, bundle in made.items():
        save_bundle(bundle, tmp_path / path.name)
    after = evaluated(dataset, tmp_path, tmp_path / "cache")
    assert abs(after["mean"]["auc"] - measured["mean"]["auc"]) <= 0.01

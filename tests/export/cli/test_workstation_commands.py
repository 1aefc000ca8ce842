"""`edge-asd train` and `edge-asd export --model`, as a user runs them."""

import json

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="the export extra is not installed")

import export.extra  # noqa: E402
from edge_asd.cli import main  # noqa: E402
from edge_asd.inference import load_embedder  # noqa: E402
from edge_asd.model_package import leading, load_model, read_manifest  # noqa: E402

RECIPE = """
name: tiny
contract: {window_frames: 32, step_frames: 16}
model: {width: 0.125, embedding_size: 16}
head: {sub_clusters: 2}
train: {steps: 4, groups_per_batch: 3, windows_per_group: 2, warmup_steps: 1, checkpoint_steps: 2,
        distil_weight: 0, relation_weight: 0, identity_weight: 1, validation_share: 0.25}
quantise: {calibration_windows: 8, float_last: 2, choose: false}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a recipe, recordings of two machines in `data`, and cases."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "recipe.yaml").write_text(RECIPE)
    rng = np.random.default_rng(0)
    rows = ["case,role,path,label,domain,group"]
    for name in ("fan", "pump"):
        for i in range(4):
            path = folder / "data" / name / f"{i}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            tone = np.sin(np.arange(24000) * (0.1 if name == "fan" else 0.3))
            soundfile.write(path, 0.1 * tone + 0.02 * rng.standard_normal(24000), 16000)
            role, label = ("enrol", "normal") if i < 2 else ("test", "anomaly" if i == 3 else "normal")
            rows.append(f"{name},{role},data/{name}/{i}.wav,{label},,{i}")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder


def training(place):
    return ["train", "--recipe", str(place / "recipe.yaml"), "--data", str(place / "data")]


@pytest.fixture(scope="module")
def run_dir(place):
    out = place / "run"
    assert (
        main(["train", "--recipe", str(place / "recipe.yaml"), "--data", str(place / "data"), "--out", str(out)]) == 0
    )
    return out


def test_training_leaves_best_last_metrics_and_a_summary(run_dir, capsys):
    assert {p.name for p in run_dir.iterdir()} >= {"best", "last", "metrics.jsonl", "summary.json", "recipe.yaml"}
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4] and {"identity", "accuracy", "total"} <= set(
        lines[0]["validation"]
    )
    summary = json.loads((run_dir / "summary.json").read_text())
    assert summary["steps"] == 4 and summary["data"].startswith("8 recordings of 2 classes")


def test_the_same_command_again_says_the_same_at_once(place, run_dir, capsys):
    assert main([*training(place), "--out", str(run_dir), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == json.loads((run_dir / "summary.json").read_text())
    assert "goes on from step 4" in said.err


def test_a_dry_run_shows_the_plan_and_writes_nothing(place, tmp_path, capsys):
    words = [
        "train",
        "--recipe",
        str(place / "recipe.yaml"),
        "--data",
        str(place / "data"),
        "--out",
        str(tmp_path / "r"),
    ]
    assert main([*words, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["classes"], plan["steps"], plan["windows_per_step"], plan["head_parameters"]) == (2, 4, 6, 64)
    assert plan["losses"] == {"identity": 1.0} and plan["window_s"] == 1.056 and plan["parameters"] > 10_000
    assert not (tmp_path / "r").exists()
    assert main(["train", "--recipe", "vit-384", "--dry-run"]) == 0
    assert "21369216" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"--recipe": "mfn-129"}, 66, "mfn-128"),
        ({"--data": "absent"}, 66, "absent"),
        ({"--recipe": "mfn-128"}, 78, "follows a teacher"),
        ({"--seed": "one"}, 2, "'one' is no seed"),
        ({"--steps": "7"}, 2, "unknown flag --steps"),
    ],
)
def test_bad_input_is_one_line(changes, code, said, place, tmp_path, capsys):
    flags = {
        "--recipe": str(place / "recipe.yaml"),
        "--data": str(place / "data"),
        "--out": str(tmp_path / "r"),
        **changes,
    }
    assert main(["train", *[part for pair in flags.items() for part in pair]]) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 1 and said in lines[0]


def test_a_missing_teacher_and_augmentation_that_needs_recordings_are_told(tmp_path, capsys):
    assert main(["train", "--recipe", "mfn-128", "--out", str(tmp_path)]) == 66
    assert "--teacher" in capsys.readouterr().err
    assert main(["train", "--recipe", "mfn-classes", "--out", str(tmp_path)]) == 78
    assert "--data" in capsys.readouterr().err


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--recipe", "mfn-128", "--out", "{files}/r"], 66, "follows a teacher and none is given; give --teacher"),
        (["--recipe", "mfn-128", "--teacher", "nope", "--out", "{files}/r"], 66, "teacher 'nope' does not exist"),
        (["--recipe", "mfn-classes", "--out", "{files}/r"], 78, "give recordings with --data"),
        (["--recipe", "vit-384", "--out", "{files}/fan.asd"], 2, "fan.asd is a file; name a directory"),
        (["--recipe", "vit-384", "--out", "{files}/fan.asd/r"], 2, "fan.asd is a file; name a directory"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(words, code, said, dry, tmp_path, capsys):
    (tmp_path / "fan.asd").write_bytes(b"a bundle")
    assert main(["train", *(word.format(files=tmp_path) for word in words), *dry]) == code
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["fan.asd"]


def test_without_the_extra_the_one_install_is_named(monkeypatch, capsys, tmp_path):
    real = export.extra.importlib.util.find_spec
    monkeypatch.setattr(
        export.extra.importlib.util, "find_spec", lambda name, *more: None if name == "torch" else real(name, *more)
    )
    for words in (["train", "--recipe", "mfn-128"], ["export", "--model", str(tmp_path)]):
        assert main([*words, "--out", str(tmp_path / "o")]) == 69
        assert capsys.readouterr().err == "edge-asd: torch not installed; pip install 'edge-asd[export]'\n"


@pytest.mark.parametrize("missing", [("litert_torch",), ("torch", "onnx", "ai_edge_quantizer")])
def test_the_tflite_export_names_its_own_extra_before_it_works(missing, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("export.extra.importlib.util.find_spec", lambda name: None if name in missing else True)
    assert main(["export", "--model", str(tmp_path), "--format", "tflite", "--out", str(tmp_path / "o")]) == 69
    said = capsys.readouterr().err
    assert said == f"edge-asd: {', '.join(missing)} not installed; pip install 'edge-asd[tflite-export]'\n"


def test_a_package_is_made_of_a_run_one_twin_at_a_time(place, run_dir, tmp_path, capsys):
    words = ["export", "--model", str(run_dir / "best"), "--out", str(tmp_path / "m")]
    recordings = ["--calibration", str(place / "data"), "--cases", str(place / "cases.csv")]
    assert main([*words, *recordings, "--sensitivity", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["scheme"] == "static, float layers 0 first 2 last"
    assert report["integer_operations"] == report["operations"] - 2 == 21
    assert report["measured_on"] == "2 cases of recordings" and report["calibration"] == "8 windows of recordings"
    assert len(report["sensitivity"]) == 23
    assert main([*words, "--precision", "fp32"]) == 0
    capsys.readouterr()
    assert main([*words, *recordings, "--format", "ort", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["start_ms"] > 0
    manifest = read_manifest(tmp_path / "m")
    assert {name: sorted(held) for name, held in leading(manifest).items()} == {
        "onnx": ["fp32", "int8"],
        "ort": ["int8"],
    }
    assert manifest["provenance"]["data"].startswith("8 recordings of 2 classes")
    windows = np.random.default_rng(0).normal(-40, 10, (3, 32, 128)).astype(np.float32)
    onnx, ort = (load_embedder(load_model(tmp_path / "m", "int8", (f,))).embed(windows) for f in ("onnx", "ort"))
    fp32 = load_embedder(load_model(tmp_path / "m", "fp32")).embed(windows)
    assert onnx.shape == (3, 16) and not np.array_equal(onnx, fp32) and np.allclose(onnx, ort, atol=1e-5)
    # and from the package again, into a table for people
    again = ["export", "--model", str(tmp_path / "m"), "--out", str(tmp_path / "n"), *recordings, "--float-first", "1"]
    assert main(again) == 0
    assert "static, float layers 1 first 0 last; 22 of 23 layers in integers" in capsys.readouterr().out


def test_another_models_package_is_not_added_to(run_dir, tmp_path, capsys):
    assert main(["export", "--model", str(run_dir), "--precision", "fp32", "--out", str(tmp_path / "m")]) == 0
    path = tmp_path / "m" / "model.json"
    path.write_text(path.read_text().replace('"weights": "', '"weights": "0'))
    capsys.readouterr()
    assert main(["export", "--model", str(run_dir), "--precision", "fp32", "--out", str(tmp_path / "m")]) == 65
    assert "another model" in capsys.readouterr().err


def test_what_cannot_be_exported_is_one_line(run_dir, tmp_path, capsys):
    def refused(code, said, *words):
        assert main(["export", *words]) == code
        lines = capsys.readouterr().err.splitlines()
        assert said in lines[-1], lines

    out = ["--out", str(tmp_path / "o")]
    bare = tmp_path / "network.onnx"
    bare.write_bytes(load_model(formats=("onnx",)).network)
    refused(65, "a network without a contract", "--model", str(bare), *out)
    refused(66, "no such directory", "--model", str(tmp_path / "absent"), *out)
    (tmp_path / "networks").mkdir()
    bare.rename(tmp_path / "networks" / "int8.onnx")
    refused(65, "a network without a contract", "--model", str(tmp_path / "networks"), *out)
    refused(66, "no trained model there", "--model", str(tmp_path), *out)
    refused(2, "give one of", *out)
    refused(2, "nowhere to write to", "--model", str(run_dir))
    refused(2, "--sensitivity belongs to int8", "--model", str(run_dir), *out, "--precision", "fp32", "--sensitivity")
    refused(2, "'few' is no count of layers", "--model", str(run_dir), *out, "--float-first", "few")
    soundfile.write(tmp_path / "silent.wav", np.zeros(48000), 16000)
    silent = ("--calibration", str(tmp_path))
    refused(65, "calibration audio is silent", "--model", str(run_dir), *out, *silent)
    assert not (tmp_path / "o").exists()


def test_a_float_network_in_an_int8_file_is_refused(tmp_path, capsys):
    from export.packages.package import write_package

    fp32 = load_model(precision="fp32", formats=("onnx",))
    write_package(tmp_path / "m", fp32.contract, {("onnx", p): fp32.network for p in ("int8", "fp32")}, {})
    assert main(["export", "--model", str(tmp_path / "m"), "--out", str(tmp_path / "o")]) == 65
    said = capsys.readouterr().err
    assert "a float model passed as int8: 0 of 23" in said and said.count("\n") == 1

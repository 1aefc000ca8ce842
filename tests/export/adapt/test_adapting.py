"""Adaptation from end to end: a small network of the real kind, quantised, enrolled, adapted and judged."""

import dataclasses
import json
import multiprocessing
import os
import shutil
import signal

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the export extra is not installed")
torch = pytest.importorskip("torch", reason="the export extra is not installed")
sf = pytest.importorskip("soundfile")

from edge_asd.bundle.bundle import load_bundle, save_bundle  # noqa: E402
from edge_asd.cli import main  # noqa: E402
from edge_asd.enrolment.enrol import Enrolment  # noqa: E402
from edge_asd.errors import DataError, UnavailableError, UsageError  # noqa: E402
from edge_asd.inference import load_embedder  # noqa: E402
from edge_asd.model_package import load_model  # noqa: E402
from edge_asd.scorers import parse_scorers  # noqa: E402
from export.adapt import jobs  # noqa: E402
from export.adapt.adapting import Judge, Target, adapt  # noqa: E402
from export.adapt.evidence import Evidence, FoldEvidence  # noqa: E402
from export.adapt.pretenders import Pretenders  # noqa: E402
from export.adapt.sound import FOLDS, MachineSound, cut  # noqa: E402
from export.adapt.start import float_source  # noqa: E402
from export.adapt.tune import TuneSettings, tuned  # noqa: E402
from export.cli.adapt import _bundle_paths  # noqa: E402
from export.formats.onnx_export import to_onnx  # noqa: E402
from export.networks.mobilefacenet import MobileFaceNet  # noqa: E402
from export.networks.rewrite import folded  # noqa: E402
from export.packages.package import write_package  # noqa: E402
from export.quantising.quantise import Quantiser  # noqa: E402

RATE_HZ = 16000
FEW = TuneSettings(steps=3, batch=9, anchors=3, simulated=6)
RUINOUS = TuneSettings(steps=6, batch=9, anchors=3, simulated=6, learning_rate=1.0, anchor_weight=0.0, clip_norm=1e6)
"""Steps so large that nothing is left of what the network could hear."""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def package(tmp_path_factory, tiny_recipe):
    """A package of a MobileFaceNet with random weights, float and int8."""
    contract, settings = tiny_recipe.model_contract(), {"kind": "mobilefacenet", "table": "stgram", "width": 0.125}
    torch.manual_seed(3)
    network = MobileFaceNet(
        window_frames=contract.window_frames, n_mels=128, embedding_size=16, table="stgram", width=0.125
    )
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):  # equal biases would be one tensor in the file
            torch.nn.init.normal_(layer.bias, std=0.3)
    exported = to_onnx(network.eval(), contract.window_frames, 128)
    quantiser = Quantiser(exported, np.random.default_rng(0).normal(0, 1, (32, 1, 64, 128)).astype(np.float32))
    folder = tmp_path_factory.mktemp("package")
    provenance = {"recipe": {"model": settings}, "int8": {"scheme": "static, float layers 2 first 2 last"}}
    networks = {("onnx", "fp32"): exported, ("onnx", "int8"): quantiser.static(quantiser.ends(2, 2))}
    write_package(folder, contract, networks, provenance)
    return folder


def machine(name, samples):
    return MachineSound(name, tuple(cut(samples, RATE_HZ, f"{name}.wav")), RATE_HZ)


def bundle_of(package, sound, scorer="embedding:knn", precision="int8"):
    model = load_model(package, precision)
    enrolment = Enrolment(model, load_embedder(model), parse_scorers(scorer), strict=False)
    for clip in sound.clips:
        enrolment.add_samples(clip.samples, clip.name, start_s=clip.start_s)
    return enrolment.finish({"created": "2026-01-01T00:00:00Z"})


@pytest.fixture(scope="module")
def sound(steady_sound):
    return machine("fan", steady_sound(30.0, seed=1))


def fold(before, after, alarms=(0, 0)):
    return FoldEvidence(10, {"fault": before}, {"fault": after}, *alarms)


def test_evidence_asks_for_more_than_the_folds_differ_and_for_no_further_alarm():
    steady = Evidence("fan", (fold(0.70, 0.80), fold(0.72, 0.81), fold(0.75, 0.86)))
    assert steady.supports and steady.against == ""
    assert steady.gain == pytest.approx(0.10) and steady.error < 0.01
    uneven = Evidence("fan", (fold(0.70, 0.95), fold(0.72, 0.70), fold(0.75, 0.74)))
    assert uneven.gain > 0.05 and not uneven.supports and "errors" in uneven.against
    worse = Evidence("fan", (fold(0.80, 0.70), fold(0.81, 0.72), fold(0.86, 0.75)))
    assert not worse.supports
    same = Evidence("fan", (fold(0.8, 0.8), fold(0.8, 0.8), fold(0.8, 0.8)))
    assert not same.supports
    louder = Evidence("fan", (fold(0.70, 0.80), fold(0.72, 0.81, (1, 3)), fold(0.75, 0.86)))
    assert not louder.supports and "3 instead of 1 of 30" in louder.against
    shown = louder.to_dict()
    assert shown["kept"] is False and shown["false_alarms"] == {"before": 1, "after": 3, "clips": 30}
    assert json.dumps(shown) and "1 -> 3 of 30" in louder.table()


def test_one_seed_gives_one_network_and_the_first_blocks_and_the_old_network_stay(package, sound):
    source = float_source(bundle_of(package, sound), package)
    anchors = np.random.default_rng(0).normal(-40, 10, (6, 64, 128)).astype(np.float32)
    before = {name: value.clone() for name, value in source.model.state_dict().items()}
    first, second = (tuned(source.model, source.contract, [sound], anchors, FEW, 7) for _ in range(2))
    other = tuned(source.model, source.contract, [sound], anchors, FEW, 8)
    for name, value in source.model.state_dict().items():
        assert torch.equal(value, before[name])
    moved = {name for name, value in first.state_dict().items() if not torch.equal(value, before[name])}
    assert moved and not any(name.startswith(f"blocks.{i}.") for i in range(FEW.kept) for name in moved)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_the_anchor_holds_the_network(package, sound):
    source = float_source(bundle_of(package, sound), package)
    anchors = np.random.default_rng(0).normal(-40, 10, (6, 64, 128)).astype(np.float32)
    probe = torch.randn(16, 1, 64, 128, generator=torch.Generator().manual_seed(1))

    def cosine(weight):
        settings = dataclasses.replace(FEW, steps=8, learning_rate=3e-3, anchor_weight=weight)
        network = tuned(source.model, source.contract, [sound], anchors, settings, 7)
        with torch.no_grad():
            return float(torch.nn.functional.cosine_similarity(network(probe), source.model(probe)).mean())

    assert cosine(100.0) > cosine(0.0)


def nearly_deaf(model):
    """The network with all but one patch of the window taken out of its sight."""
    network = onnx.load_from_string(model.network)
    hidden = next(tensor for tensor in network.graph.initializer if tensor.name == "hidden")
    weights = onnx.numpy_helper.to_array(hidden).copy()
    weights[1:] = 0.0
    hidden.CopyFrom(onnx.numpy_helper.from_array(weights, "hidden"))
    return dataclasses.replace(model, network=network.SerializeToString())


def test_the_judge_keeps_a_network_that_hears_better_and_refuses_one_that_hears_worse(tiny_model, steady_sound):
    sound = machine("fan", steady_sound(90.0, seed=1))
    enrolment = Enrolment(tiny_model, load_embedder(tiny_model), parse_scorers("embedding:knn"), strict=False)
    for clip in sound.clips:
        enrolment.add_samples(clip.samples, clip.name)
    hearing, deaf = enrolment.finish({}), nearly_deaf(tiny_model)
    deaf_bundle = dataclasses.replace(hearing, model=deaf)

    def judged(bundle, other):
        judge = Judge(Target(bundle, sound, ""), [sound], Pretenders(RATE_HZ, 1))
        return Evidence("fan", tuple(judge.fold(held, other) for held in range(FOLDS)))

    worse, better = judged(hearing, deaf), judged(deaf_bundle, tiny_model)
    assert worse.gain < -0.1 and not worse.supports and "gain" in worse.against
    assert better.gain == pytest.approx(-worse.gain) and better.gain > 2 * better.error
    assert better.supports == (worse.alarms[0] <= worse.alarms[1])


def test_jobs_give_the_same_in_processes_of_their_own_and_tell_each_step(package, sound):
    bundle = bundle_of(package, sound)
    anchors = np.random.default_rng(0).normal(-40, 10, (6, 64, 128)).astype(np.float32)
    source = float_source(bundle, package)
    work = [jobs.Job(source, (sound,), anchors, FEW, None, seed) for seed in (1, 2)]
    steps: list[int] = []
    beside = [done.network for done in jobs.run_jobs(work, 2, steps.append)]
    assert steps == list(range(1, 2 * FEW.steps + 1))
    assert beside == [done.network for done in jobs.run_jobs(work, 1)] and beside[0] != beside[1]


def test_a_process_that_is_killed_or_fails_is_told_and_the_others_end(package, sound, monkeypatch):
    source = float_source(bundle_of(package, sound), package)
    anchors = np.random.default_rng(0).normal(-40, 10, (6, 64, 128)).astype(np.float32)
    long = dataclasses.replace(FEW, steps=100_000)
    started = []
    begin = jobs._started

    def noted(job):
        started.append(begin(job))
        return started[-1]

    monkeypatch.setattr(jobs, "_started", noted)
    running = jobs.run_jobs(
        [jobs.Job(source, (sound,), anchors, long, None, seed) for seed in (1, 2)],
        2,
        lambda done: os.kill(started[0][1].pid, signal.SIGKILL) if done == 1 else None,
    )
    with pytest.raises(UnavailableError, match="-9"):
        next(running)
    assert not any(process.is_alive() for _, process in started)


def test_ctrl_c_ends_the_processes_and_leaves_nothing(files, package, monkeypatch, capsys):
    def interrupted(self, share, text):
        if text.startswith("step"):
            raise KeyboardInterrupt

    monkeypatch.setattr("export.cli.adapt.Progress.at", interrupted)
    monkeypatch.setattr("export.adapt.adapting.TuneSettings", lambda: dataclasses.replace(FEW, steps=100_000))
    command = [
        "train",
        "--adapt",
        str(files / "fan.asd"),
        "--data",
        str(files / "data" / "fan"),
        "--model",
        str(package),
    ]
    assert main(command) == 130
    assert not multiprocessing.active_children()
    assert sorted(path.name for path in files.iterdir()) == ["data", "fan.asd", "pump.asd"]


def write_machine(folder, name, samples):
    (folder / name).mkdir(parents=True)
    sf.write(folder / name / "normal.wav", samples, RATE_HZ)


@pytest.fixture(scope="module")
def machines(tmp_path_factory, package, steady_sound):
    """Two bundles of one network, fan.asd and pump.asd, and half a minute of sound of each machine in data/."""
    folder = tmp_path_factory.mktemp("machines")
    for seed, name in enumerate(("fan", "pump")):
        samples = steady_sound(31.0, seed=seed, tone_hz=700.0 * (seed + 1))
        save_bundle(bundle_of(package, machine(name, samples[: 20 * RATE_HZ])), folder / f"{name}.asd")
        write_machine(folder / "data", name, samples)
    return folder


@pytest.fixture
def files(machines, tmp_path):
    """The same, to write beside."""
    return shutil.copytree(machines, tmp_path, dirs_exist_ok=True)


@pytest.fixture(autouse=True)
def little(monkeypatch):
    monkeypatch.setattr("export.adapt.pretenders.VARIANTS", 1)
    monkeypatch.setattr("export.adapt.sound.LEAST_S", 30.0)


def test_the_command_keeps_what_evidence_supports_and_says_where_it_came_from(files, package, monkeypatch, capsys):
    monkeypatch.setattr("export.adapt.adapting.TuneSettings", lambda: FEW)
    monkeypatch.setattr(Evidence, "against", "")
    parent = (files / "fan.asd").read_bytes()
    command = ["train", "--adapt", str(files / "fan.asd"), "--adapt", str(files / "pump.asd"), "--json"]
    command += ["--data", str(files / "data"), "--model", str(package), "--processes", "1", "--seed", "4"]
    assert main(command) == 0
    fan, pump = json.loads(capsys.readouterr().out)
    assert fan["out"] == str(files / "fan-adapted.asd") and pump["machine"] == "pump" and fan["kept"]
    assert (files / "fan.asd").read_bytes() == parent
    adapted, before = load_bundle(files / "fan-adapted.asd"), load_bundle(files / "fan.asd")
    made = adapted.provenance["adapted"]
    assert made["seed"] == 4 and set(made["data"]) == {"fan", "pump"} and made["evidence"]["machine"] == "fan"
    assert len(made["parent_sha256"]) == 64 and adapted.provenance["created"] == before.provenance["created"]
    assert adapted.normal.specs == before.normal.specs and adapted.contract.version.startswith("1+adapted.")
    assert adapted.model.network != before.model.network and adapted.enrolment["seconds"] == pytest.approx(31.0)
    assert adapted.model.precision == "int8"
    assert before.enrolment["sessions"]["asked"] is None and adapted.enrolment["sessions"]["asked"] is None
    assert adapted.enrolment["sessions"]["step"] == before.enrolment["sessions"]["step"]
    assert adapted.clip_calibration.allowance == before.clip_calibration.allowance
    with pytest.raises(UsageError, match="adapted already"):
        float_source(adapted, None)


def test_the_same_command_again_asks_before_it_replaces_and_adapts_no_result(files, capsys):
    shutil.copy(files / "fan.asd", files / "fan-adapted.asd")
    command = ["train", "--adapt", str(files), "--data", str(files / "data")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "fan-adapted.asd" in said and "--force" in said
    assert _bundle_paths([files]) == [files / "fan.asd", files / "pump.asd"]
    assert _bundle_paths([files / "fan-adapted.asd"]) == [files / "fan-adapted.asd"]
    (files / "fan.asd").unlink()
    assert _bundle_paths([files]) == [files / "fan-adapted.asd", files / "pump.asd"]


def test_the_command_leaves_the_old_bundle_where_evidence_is_against(files, package, monkeypatch, capsys):
    monkeypatch.setattr("export.adapt.adapting.TuneSettings", lambda: RUINOUS)
    command = ["train", "--adapt", str(files / "fan.asd"), "--data", str(files / "data" / "fan")]
    assert main([*command, "--model", str(package), "--processes", "1"]) == 0
    said = capsys.readouterr().out
    assert "stays as it is" in said and "false alarms" in said
    assert sorted(path.name for path in files.iterdir()) == ["data", "fan.asd", "pump.asd"]


def test_what_cannot_be_adapted_is_refused_with_a_remedy(package, sound, steady_sound, tiny_recipe):
    int8, fp32 = bundle_of(package, sound), bundle_of(package, sound, precision="fp32")
    with pytest.raises(UsageError, match="--model PACKAGE"):
        float_source(int8, None)  # not the network that ships
    assert float_source(fp32, None).network == fp32.model.network  # float weights are in the bundle itself
    with pytest.raises(UsageError, match="no network"):
        float_source(bundle_of(package, sound, "ranked:knn"), None)
    vit = dataclasses.replace(int8.model, provenance={"recipe": {"model": {"kind": "frame-vit"}}})
    with pytest.raises(UsageError, match="frame-vit"):
        float_source(dataclasses.replace(int8, model=vit), package)
    with pytest.raises(UsageError, match="tflite"):
        float_source(dataclasses.replace(int8, model=dataclasses.replace(int8.model, network_format="tflite")), package)
    other = dataclasses.replace(int8.contract, name="other")
    with pytest.raises(DataError, match="another contract"):
        float_source(dataclasses.replace(int8, model=dataclasses.replace(int8.model, contract=other)), package)
    stranger = folded(
        MobileFaceNet(window_frames=64, n_mels=128, embedding_size=16, table="stgram", width=0.125).eval()
    )
    source = dataclasses.replace(float_source(int8, package), model=stranger)
    with pytest.raises(DataError, match="not of the bundle's network"):
        adapt([Target(int8, sound, "")], [], source, settings=FEW)
    two = [Target(int8, sound, ""), Target(fp32, sound, "")]
    with pytest.raises(UsageError, match="different networks"):
        adapt(two, [], float_source(int8, package), settings=FEW)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "--recipe NAME|PATH, or --adapt"),
        (["--recipe", "mfn-128", "--force", "--dry-run"], 2, "go with --adapt"),
        (["--adapt", "{files}/fan.asd"], 2, "--data"),
        (["--adapt", "{files}/fan.asd", "--recipe", "mfn-128", "--data", "{files}/data"], 2, "--recipe does not go"),
        (["--adapt", "{files}/fan.asd", "--data", "{files}/data", "--out", "{files}/pump.asd"], 2, "--force"),
        (["--adapt", "{files}/fan.asd", "--data", "{files}/data", "--out", "{files}/fan.asd", "--force"], 2, "stays"),
        (["--adapt", "{files}/fan.asd", "--data", "{files}/data", "--weights", "a=b"], 2, "--weights does not go"),
        (["--recipe", "mfn-128", "--channel", "1", "--dry-run"], 2, "go with --adapt"),
        (["--adapt", "{files}/fan.asd", "--data", "{files}/nowhere"], 66, "nowhere"),
        (["--adapt", "{files}/data", "--data", "{files}/data"], 66, "no bundle"),
        (["--adapt", "{files}", "--data", "{files}/data/fan"], 2, "subfolder"),
        (["--adapt", "{files}", "--data", "{files}/data", "--out", "{files}/x.asd"], 2, "--out DIR"),
        (["--adapt", "{files}/fan.asd", "--data", "{files}/data"], 2, "--model PACKAGE"),
    ],
)
def test_mistakes_are_told_before_the_work_begins(machines, arguments, code, words, capsys):
    assert main(["train", *(word.format(files=machines) for word in arguments)]) == code
    assert words in capsys.readouterr().err

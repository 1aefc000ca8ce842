"""The parity chain over the model that ships, and over packages that were tampered with."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the export extra is not installed")
pytest.importorskip("ai_edge_litert", reason="the litert extra is not installed")

import soundfile

from edge_asd.cli import main
from edge_asd.cli.parsing import Parser
from edge_asd.errors import DataError, UnavailableError, UsageError
from edge_asd.inference import load_embedder
from edge_asd.model_package import DEFAULT_PACKAGE, load_model
from export.cli import verify as command
from export.packages.package import add_network, write_package
from export.parity import compare, links
from export.parity.compare import Report, Row, Spread, cosines, verify
from export.parity.links import REFERENCE, Link, Played, chain, embed
from export.parity.sound import MachineSound, enrolled, scored
from tests.fakes.graphs import DUO_CONTRACT, FLOW_CONTRACT

CONTRACT = load_model().contract


@pytest.fixture(scope="module")
def fan() -> MachineSound:
    return MachineSound.simulated("fan", CONTRACT)


@pytest.fixture(scope="module")
def report(fan: MachineSound) -> Report:
    return verify(DEFAULT_PACKAGE, [fan], emulate=False)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEFAULT_PACKAGE, tmp_path / "model"))


def rows(report: Report) -> dict[str, Row]:
    return {row.link: row for row in report.rows}


def test_the_model_that_ships_holds(report: Report) -> None:
    assert report.failures == ()
    found = rows(report)
    for name in ("ONNX int8", "TFLite int8"):
        row = found[name]
        assert row.cosine is not None and row.score is not None and row.integer_ops is not None
        assert row.cosine.mean >= 0.995 > row.cosine.worst - 0.01
        assert row.score.worst < 15.0
        assert row.integer_ops.share > 0.8
        assert row.windows > 60
    assert found["ONNX fp32"].cosine == Spread(pytest.approx(1.0), pytest.approx(1.0))
    assert found["ONNX fp32"].score == Spread(0.0, 0.0)


def test_torch_is_the_first_link_or_says_why_not(report: Report) -> None:
    row = report.rows[0]
    assert row.link == "torch fp32"
    if row.not_run:
        assert "torch" in row.not_run
    else:
        assert row.cosine is not None and row.cosine.worst > 0.99999


def test_every_processor_has_a_row_and_a_reason(report: Report) -> None:
    emulated = [row for row in report.rows if "cortex" in row.link or "Haswell" in row.link]
    assert len(emulated) == 9
    assert {row.not_run for row in emulated} == {"emulation was not asked for"}


def test_embeddings_played_back_give_the_scores_of_the_real_thing(fan: MachineSound) -> None:
    model = load_model()
    embedder = load_embedder(model)
    bundle = enrolled(fan, model, embedder)
    played = Played(model.contract, embedder.embed(fan.windows(model.contract)))
    again = enrolled(fan, model, played)
    np.testing.assert_allclose(scored(fan, again, played), scored(fan, bundle, embedder), rtol=1e-3, atol=1e-3)
    assert len(played.embed(np.empty((0, 64, 128)))) == 0


def test_faults_score_above_normal_sound(fan: MachineSound) -> None:
    model = load_model()
    embedder = load_embedder(model)
    scores = scored(fan, enrolled(fan, model, embedder), embedder)
    assert scores[4:].mean() > scores[:4].mean()


def test_a_float_file_that_goes_by_int8_and_other_weights_break_the_chain_loudly(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx
    from onnx import numpy_helper

    network = onnx.load(package / "fp32.onnx")
    rng = np.random.default_rng(0)
    for tensor in network.graph.initializer:
        values = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array((values * rng.normal(1, 0.3, values.shape)).astype("f4"), tensor.name))
    add_network(package, "onnx", "int8", network.SerializeToString(), {})
    words = ["verify", str(package), "--no-emulation", "--machines", "1", "--json"]
    with pytest.raises(DataError, match="ONNX int8: mean cosine"):
        command.run(parsed(words))
    out, err = capsys.readouterr()
    assert "ONNX int8: still a float network, 0 of 23 multiplying operations are integer" in err
    document = json.loads(out)
    assert set(document) == {"model", "rows", "failures"}
    assert [failure.split(":")[0] for failure in document["failures"]] == ["ONNX int8"] * 2
    assert {"link", "integer_ops", "cosine", "here", "score", "auc_loss", "case_score", "windows", "not_run"} == set(
        document["rows"][0]
    )


def parsed(words: list[str]) -> argparse.Namespace:
    parser = Parser()
    command.add_parser(parser.add_subparsers(parser_class=Parser))
    return parser.parse_args(words)


@pytest.mark.parametrize("machines", ["0", "7", "many"])
def test_a_number_of_machines_that_cannot_be_is_a_usage_error(machines: str) -> None:
    with pytest.raises(UsageError, match="give 1 to 6"):
        parsed(["verify", "model", "--machines", machines])


def test_the_table_shows_every_row(report: Report) -> None:
    lines = command.as_table(report).splitlines()
    assert len(lines) == 1 + len(report.rows)
    assert "cosine" in lines[0] and "AUC" not in lines[0]
    assert any(line.startswith("TFLite int8 ") and "19 of 23" in line for line in lines)
    with_cases = dataclasses.replace(report, rows=(dataclasses.replace(report.rows[2], auc_loss=Spread(0.001, 0.004)),))
    assert "0.0010   0.0040" in command.as_table(with_cases)


def test_a_model_that_hears_the_waveform_or_gives_no_embeddings_is_refused_by_name(tmp_path: Path) -> None:
    for contract, words in ((DUO_CONTRACT, "duo hears the waveform"), (FLOW_CONTRACT, "flow gives no embeddings")):
        write_package(tmp_path / contract.name, contract, {("onnx", "fp32"): b""}, {}, {("onnx", "fp32"): b""})
        with pytest.raises(DataError, match=f"{words}, and the links are compared by embeddings of log-mel"):
            chain(tmp_path / contract.name)


def test_without_a_float_network_there_is_nothing_to_compare_with_and_the_command_that_adds_it_is_named(
    package: Path,
) -> None:
    manifest = json.loads((package / "model.json").read_text())
    del manifest["files"]["onnx"]["fp32"]
    (package / "model.json").write_text(json.dumps(manifest))
    remedy = f"add it: edge-asd export --model RUN/best --format onnx --precision fp32 --out {package}"
    with pytest.raises(DataError, match="no float ONNX network") as refused:
        command.run(parsed(["verify", str(package), "--no-emulation"]))
    assert refused.value.remedy == remedy
    with pytest.raises(DataError, match="no float ONNX network"):
        verify(package, [], emulate=False)


def test_the_examples_of_export_make_what_verify_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--help"]) == 0
    made, verified, _ = capsys.readouterr().out.split("examples:")[1].partition("export verify model/")
    assert verified and "--format onnx --precision fp32 --out model/" in made


@pytest.mark.parametrize(
    "change, words",
    [
        ({"here": Spread(0.9999, 0.9985)}, "a cosine of 0.99850 to the same file here"),
        ({"cosine": Spread(0.994, 0.9)}, "mean cosine 0.99400 to ONNX fp32, 0.995 is the least"),
        ({"auc_loss": Spread(0.0021, 0.005)}, "mean AUC loss 0.21 points, 0.2 are allowed"),
        ({"auc_loss": Spread(0.0, 0.011)}, "a case loses 1.10 points of AUC, 1 is allowed"),
        ({"cosine": Spread(float("nan"), 0.0)}, "mean cosine nan"),
    ],
)
def test_what_counts_as_broken(change: dict[str, Spread], words: str) -> None:
    link = Link("onnx", "int8", "onnxruntime", "cortex-a72")
    good = Row(link.name, cosine=Spread(0.999, 0.98), here=Spread(1.0, 1.0), score=Spread(0.1, 0.2))
    assert compare._failures(link, good) == []
    failures = compare._failures(link, dataclasses.replace(good, **change))
    assert len(failures) == 1 and words in failures[0]


def test_cases_give_auc_losses(tmp_path: Path, steady_sound) -> None:
    lines = ["case,role,path,label,domain,group"]
    for i in range(10):
        soundfile.write(tmp_path / f"n{i}.wav", steady_sound(6.0, seed=i), 16000)
        lines.append(f"fan,{'enrol' if i < 6 else 'test'},n{i}.wav,normal,,")
    for i in range(4):
        soundfile.write(tmp_path / f"a{i}.wav", steady_sound(6.0, seed=20 + i, tone_hz=1900.0), 16000)
        lines.append(f"fan,test,a{i}.wav,anomaly,,")
    (tmp_path / "cases.csv").write_text("\n".join(lines) + "\n")
    found = {
        link: compare.score_cases(link, DEFAULT_PACKAGE, [tmp_path / "cases.csv"])
        for link in (REFERENCE, Link("tflite", "int8", "litert"))
    }
    assert all(result.auc.keys() == {"fan"} and len(result.scores["fan"]) == 8 for result in found.values())
    row = compare._with_cases(Row("x"), found[Link("tflite", "int8", "litert")], found[REFERENCE])
    assert row.auc_loss is not None and row.auc_loss.worst <= 0.5
    assert row.case_score is not None and 0.0 < row.case_score.worst < 50.0


def test_cosines_of_different_models_are_refused() -> None:
    with pytest.raises(DataError, match="not of one model"):
        cosines(np.zeros((2, 3)), np.zeros((2, 4)))


def test_a_board_that_cannot_be_emulated_is_a_reason(monkeypatch: pytest.MonkeyPatch, fan: MachineSound) -> None:
    monkeypatch.setattr(links.shutil, "which", lambda name: None)
    probes = fan.probes(CONTRACT)[:1]
    with pytest.raises(UnavailableError, match="qemu-user"):
        embed(Link("tflite", "int8", "litert", links.NO_VNNI), DEFAULT_PACKAGE, probes)


@pytest.mark.xdist_group("emulation")
def test_an_emulated_pi_gives_the_embeddings_of_this_machine(fan: MachineSound) -> None:
    link = Link("tflite", "int8", "litert", "cortex-a53")
    probes = fan.probes(CONTRACT)[:2]
    try:
        found = embed(link, DEFAULT_PACKAGE, probes)
    except UnavailableError as error:
        pytest.skip(str(error))
    assert cosines(found, embed(link.here, DEFAULT_PACKAGE, probes)).min() > 0.999

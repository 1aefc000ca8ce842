"""A package of two graphs: written, read, and refused where one is missing; of one graph: what it always was."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from edge_asd.errors import DataError, MissingInputError, UsageError
from edge_asd.model_package import DEFAULT_PACKAGE, Network, as_written, load_all, load_model, read_manifest
from export.packages.package import add_network, write_package
from tests.fakes.graphs import FLOW_CONTRACT, duo_model, flow_model


@pytest.fixture
def duo(tmp_path: Path) -> Path:
    model = dataclasses.replace(duo_model())
    assert model.scorer is not None
    networks = {("onnx", "fp32"): model.network, ("onnx", "int8"): b"not run here"}
    write_package(tmp_path / "duo", model.contract, networks, {"seed": 1}, {("onnx", "fp32"): model.scorer.data})
    return tmp_path / "duo"


def test_both_graphs_come_back(duo: Path) -> None:
    written, model = duo_model(), load_model(duo, "fp32")
    assert model == dataclasses.replace(written, provenance={"seed": 1})
    assert {path.name for path in duo.iterdir()} == {"model.json", "fp32.onnx", "int8.onnx", "scorer-fp32.onnx"}
    assert json.loads((duo / "model.json").read_text())["schema"] == 3
    assert set(model.graphs) == {"embedder", "scorer"}


def test_a_graph_without_the_wanted_precision_is_taken_in_the_one_it_has(duo: Path) -> None:
    model = load_model(duo, "int8")
    assert model.precision == "int8" and model.scorer is not None and model.scorer.precision == "fp32"
    assert model.provenance["precision"] == {"scorer": "fp32", "because": "the package has no int8 of it"}
    assert [found.precision for found in load_all(duo)] == ["fp32", "int8"]
    add_network(duo, "onnx", "int8", b"smaller", {}, graph="scorer")
    assert load_model(duo, "int8").scorer == Network(b"smaller", "onnx", "int8")
    with pytest.raises(UsageError, match=r"no int8 network .tflite.; it holds fp32 .onnx., int8 .onnx."):
        load_model(duo, "int8", ("tflite",))


def test_a_scorer_alone(tmp_path: Path) -> None:
    flow = flow_model()
    assert flow.scorer is not None
    write_package(tmp_path, FLOW_CONTRACT, {}, {}, {("onnx", "fp32"): flow.scorer.data})
    assert load_model(tmp_path, "fp32").for_section("fan/00") == flow
    with pytest.raises(DataError, match="section 'pump/00' is none that flow was trained on; it knows fan/00, fan/01"):
        flow.for_section("pump/00")


def test_a_package_without_a_graph_its_contract_names_is_refused(duo: Path) -> None:
    manifest = json.loads((duo / "model.json").read_text())
    del manifest["graphs"]["scorer"]
    (duo / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="the contract names a scorer, but the package has none; export anew"):
        load_model(duo, "fp32")


def test_a_scorers_file_is_checked_like_the_embedders(duo: Path) -> None:
    file = duo / "scorer-fp32.onnx"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"scorer-fp32.onnx: .* do not match the recorded size"):
        load_model(duo, "fp32")
    file.unlink()
    with pytest.raises(MissingInputError, match=r"scorer-fp32.onnx: named in model.json but not there"):
        load_model(duo, "fp32")


@pytest.mark.parametrize("graphs", [None, [], {"embedder": []}, {"embedder": {"onnx": {"int8": 1}}}, {"judge": {}}])
def test_a_manifest_that_lists_no_graphs_is_refused(duo: Path, graphs: object) -> None:
    manifest = json.loads((duo / "model.json").read_text())
    (duo / "model.json").write_text(json.dumps({**manifest, "graphs": graphs}))
    with pytest.raises(DataError, match="the networks' files are missing"):
        read_manifest(duo)


def test_a_package_of_an_embedder_alone_stays_in_the_schema_that_older_versions_read() -> None:
    manifest = json.loads((DEFAULT_PACKAGE / "model.json").read_text())
    assert as_written(read_manifest(DEFAULT_PACKAGE)) == manifest
    assert list(as_written(read_manifest(DEFAULT_PACKAGE))) == list(manifest)

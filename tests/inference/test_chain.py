"""Two graphs in a row, a waveform beside the log-mel, sections: what is fed is what the contract says, by name."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_asd.contract import ModelContract
from edge_asd.errors import DataError
from edge_asd.inference import load_embedder
from edge_asd.inference.onnx import OnnxEmbedder
from edge_asd.model_package import Model
from edge_asd.windows import Windows
from tests.fakes.graphs import DUO_CONTRACT, duo_model, embedder_graph, flow_model


def windows(contract: ModelContract, n: int = 5) -> Windows:
    rng = np.random.default_rng(7)
    frames = rng.normal(-50, 8, (n, contract.window_frames, contract.features.n_mels)).astype(np.float32)
    return Windows(frames, rng.normal(0, 0.1, (n, contract.window_samples)).astype(np.float32))


@pytest.fixture(scope="module")
def duo() -> Model:
    return duo_model()


def test_both_inputs_reach_the_embedder_whatever_their_order_in_the_file(duo: Model) -> None:
    heard = windows(duo.contract)
    embeddings = load_embedder(duo).embed(heard)
    assert embeddings.shape == (5, 12)
    other = dataclasses.replace(duo.contract, inputs=("waveform", "log-mel"))
    turned = OnnxEmbedder(duo.network, other).embed(heard)  # the file's order is not the contract's
    np.testing.assert_array_equal(turned, embeddings)
    louder = load_embedder(duo).embed(Windows(heard.frames, 2 * heard.samples))  # type: ignore[operator]
    assert not np.allclose(louder, embeddings)


def test_windows_are_the_same_one_by_one_and_many_at_once(duo: Model) -> None:
    heard, started = windows(duo.contract, 40), load_embedder(duo)
    single = np.concatenate([started.score(part) for part in heard.parts(1)])
    np.testing.assert_allclose(started.score(heard), single, rtol=1e-5)


def test_the_scorer_is_given_the_embeddings_and_the_section(duo: Model) -> None:
    heard = windows(duo.contract)
    watching_one, watching_other = load_embedder(duo), load_embedder(duo.for_section("fan/00"))
    scores = watching_one.score(heard)
    assert scores.shape == (5, 2) and scores.dtype == np.float32
    assert not np.allclose(scores, watching_other.score(heard))
    np.testing.assert_array_equal(scores, watching_one.score(heard, watching_one.embed(heard)))
    zeros = np.zeros((5, 12), np.float32)
    assert not np.allclose(watching_one.score(heard, zeros), scores)


def test_a_scorer_alone_gives_scores_and_says_that_it_gives_no_embeddings() -> None:
    flow = load_embedder(flow_model())
    frames = windows(flow.contract).frames
    assert flow.score(frames).shape == (5, 1)
    with pytest.raises(DataError, match="flow gives no embeddings; enrol with --scorer scores:column"):
        flow.embed(frames)


def test_no_windows_are_no_rows(duo: Model) -> None:
    none = windows(duo.contract, 0)
    assert load_embedder(duo).embed(none).shape == (0, 12) and load_embedder(duo).score(none).shape == (0, 2)


def test_an_embedder_alone_says_that_it_gives_no_scores(tiny_embedder) -> None:
    with pytest.raises(DataError, match="tiny gives no scores; enrol with --scorer embedding:knn"):
        tiny_embedder.score(np.zeros((1, 16, 128), np.float32))


def test_without_the_waveform_or_the_section_it_says_what_is_missing(duo: Model) -> None:
    heard = windows(duo.contract)
    with pytest.raises(DataError, match="duo hears the waveform, and only log-mel frames are at hand"):
        load_embedder(duo).embed(heard.frames)
    nowhere = dataclasses.replace(duo, contract=dataclasses.replace(duo.contract, section=""))
    with pytest.raises(DataError, match="none was chosen; give --section, one of fan/00, fan/01"):
        load_embedder(nowhere).score(heard)


def test_a_single_input_may_have_any_name_several_go_by_theirs() -> None:
    single = dataclasses.replace(DUO_CONTRACT, inputs=("waveform",), scorer_inputs=(), outputs=())
    heard = windows(single)
    named = OnnxEmbedder(embedder_graph(single), single).embed(heard)
    np.testing.assert_array_equal(OnnxEmbedder(embedder_graph(single, {"waveform": "x"}), single).embed(heard), named)
    with pytest.raises(DataError, match=r"input is .*x \[batch, 8704\], its contract says log_mel .*waveform \[batch,"):
        OnnxEmbedder(embedder_graph(DUO_CONTRACT, {"waveform": "x"}), DUO_CONTRACT)


def test_graphs_of_other_shapes_than_the_contracts_are_refused(duo: Model) -> None:
    longer = dataclasses.replace(duo.contract, window_frames=20)
    with pytest.raises(DataError, match=r"the network's input is log_mel \[batch, 1, 16, 128\].*says log_mel .*20"):
        load_embedder(dataclasses.replace(duo, contract=longer))
    one_more = dataclasses.replace(duo.contract, outputs=("a", "b", "c"))
    with pytest.raises(DataError, match=r"the scorer's output is scores \[batch, 2\], its contract says \[batch, 3\]"):
        load_embedder(dataclasses.replace(duo, contract=one_more))
    sections = dataclasses.replace(duo.contract, sections=("fan/01",))
    with pytest.raises(DataError, match=r"the scorer's input is .*section \[batch, 2\].*section \[batch, 1\]"):
        load_embedder(dataclasses.replace(duo, contract=sections))


def test_a_model_without_the_scorer_its_contract_names_is_refused(duo: Model) -> None:
    with pytest.raises(DataError, match="duo: the contract names a scorer, but its graph is not there"):
        load_embedder(dataclasses.replace(duo, scorer=None))

"""The search is exact: whatever the path, it finds what brute force in float64 finds."""

from __future__ import annotations

import builtins
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asd.bank import EmbeddingBank
from edge_asd.bank import search as search_module
from edge_asd.bank.search import INT8_FROM, BlockSearch, FloatSearch, Int8Search, search_of
from edge_asd.bank.vectors import directions, quantised, unit_vectors
from edge_asd.errors import DataError, UnavailableError

TOLERANCE = 2e-6
"""Of float32 sums."""


def int8_vectors(n: int, size: int, seed: int, spread: float) -> np.ndarray:
    """n vectors around a few directions: a machine's windows resemble each other."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((5, size))
    cloud = centres[rng.integers(0, 5, n)] + spread * rng.standard_normal((n, size))
    return quantised(unit_vectors(cloud.astype(np.float32)))[0]


def queries(vectors: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Near a vector, anywhere, and with all its length in one coordinate."""
    rng = np.random.default_rng(seed)
    near = vectors[rng.integers(0, len(vectors), n)] + rng.normal(0, 5, (n, vectors.shape[1]))
    anywhere = rng.standard_normal((n, vectors.shape[1]))
    axes = np.eye(vectors.shape[1])[rng.integers(0, vectors.shape[1], n)]
    return np.concatenate((near, anywhere, -near, axes)).astype(np.float32)


def brute_force(query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Cosine distances float64 [q, n]; a zero vector is at distance 1."""
    q, v = (x.astype(np.float64) for x in (query, vectors))
    lengths = np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(v, axis=1)
    return 1.0 - np.divide(q @ v.T, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def assert_exact(search: search_module.Search, query: np.ndarray, vectors: np.ndarray) -> None:
    distance, index = search.nearest(query)
    expected = brute_force(query, vectors)
    np.testing.assert_allclose(distance, expected.min(axis=1), atol=TOLERANCE)
    # Twins may stand in for each other.
    np.testing.assert_allclose(
        expected[np.arange(len(query)), index], expected.min(axis=1), atol=TOLERANCE, err_msg="index"
    )


@given(
    n=st.integers(1, 400),
    size=st.sampled_from((1, 3, 16, 128)),
    seed=st.integers(0, 2**31),
    spread=st.sampled_from((0.0, 0.01, 0.3, 3.0)),
)
@settings(max_examples=40, deadline=None)
def test_every_search_is_exact(n: int, size: int, seed: int, spread: float) -> None:
    vectors = int8_vectors(n, size, seed, spread)
    query = queries(vectors, 10, seed + 1)
    for search in (Int8Search(vectors), BlockSearch(vectors), FloatSearch(directions(vectors))):
        assert_exact(search, query, vectors)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 5), (300, 7), (9000, 40)])
def test_every_search_finds_the_same_several_nearest(n: int, k: int) -> None:
    vectors = int8_vectors(n, 16, seed=n, spread=0.3)
    query = queries(vectors, 3, seed=1)
    expected = np.sort(brute_force(query, vectors), axis=1)[:, :k]
    for search in (Int8Search(vectors), BlockSearch(vectors), FloatSearch(directions(vectors))):
        distance, index = search.k_nearest(query, k)
        np.testing.assert_allclose(distance, expected, atol=TOLERANCE)
        found = np.take_along_axis(brute_force(query, vectors), index, axis=1)
        np.testing.assert_allclose(found, expected, atol=TOLERANCE)
        assert all(len(set(row)) == min(n, k) for row in index.tolist())


def test_ten_thousand_vectors_are_searched_exactly_in_int8() -> None:
    vectors = int8_vectors(10_000, 128, 3, 0.2)
    search = search_of(vectors)
    assert isinstance(search, Int8Search)
    assert_exact(search, queries(vectors, 20, 4), vectors)


def test_many_equally_near_vectors_do_not_hide_the_nearest() -> None:
    """Distances closer together than the query's rounding: the bound must let all of them through."""
    rng = np.random.default_rng(5)
    vectors = np.clip(100 + rng.integers(-1, 2, (3000, 128)), -127, 127).astype(np.int8)
    assert_exact(Int8Search(vectors), (100 + rng.normal(0, 1, (50, 128))).astype(np.float32), vectors)


def test_products_that_would_saturate_16_bits_are_exact() -> None:
    vectors = np.full((4, 128), 127, np.int8)
    vectors[1] = -127
    vectors[2, ::2] = -127
    vectors[3, 64:] = -127
    assert_exact(Int8Search(vectors), np.concatenate((vectors, -vectors)).astype(np.float32), vectors)


@pytest.mark.parametrize("kind", [Int8Search, BlockSearch, lambda vectors: FloatSearch(directions(vectors))])
def test_zero_vectors_and_no_queries(kind) -> None:
    vectors = np.zeros((3, 8), np.int8)
    vectors[1, 2] = 127
    search = kind(vectors)
    assert search.nearest(np.zeros((1, 8), np.float32))[0].tolist() == [1.0]
    distance, index = search.nearest(np.empty((0, 8), np.float32))
    assert distance.shape == index.shape == (0,)
    away = -np.eye(8, dtype=np.float32)[2:3]
    assert search.nearest(away)[0].tolist() == [1.0]  # the zero vectors are nearer than the opposite one
    assert kind(np.zeros((2, 8), np.int8)).nearest(away)[0].tolist() == [1.0]


@pytest.mark.parametrize("n", [10, INT8_FROM])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_query_that_is_no_number_is_refused(n: int, bad: float) -> None:
    rng = np.random.default_rng(6)
    bank = EmbeddingBank.fit(rng.standard_normal((n, 16)).astype(np.float32))
    query = rng.standard_normal((3, 16)).astype(np.float32)
    query[1, 4] = bad
    with pytest.raises(DataError, match="row 1 of the compared embeddings"):
        bank.nearest(query)


def test_one_query_at_a_time_gives_the_same_bits_as_all_at_once() -> None:
    vectors = int8_vectors(INT8_FROM, 64, 7, 0.5)
    search = Int8Search(vectors)
    query = queries(vectors, 10, 8)
    together = search.nearest(query)
    for i in range(len(query)):
        alone = search.nearest(query[i : i + 1])
        assert (alone[0][0], alone[1][0]) == (together[0][i], together[1][i])


def test_threads_do_not_mix_up_their_queries() -> None:
    vectors = int8_vectors(INT8_FROM, 64, 9, 0.5)
    search = Int8Search(vectors)
    query = queries(vectors, 100, 10)
    expected = search.nearest(query)[1]
    found: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: found.append(search.nearest(query)[1])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for index in found:
        np.testing.assert_array_equal(index, expected)


def test_without_onnxruntime_a_large_bank_is_still_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args, **options):
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *args, **options)

    vectors = int8_vectors(INT8_FROM, 16, 11, 0.5)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnavailableError):
        Int8Search(vectors)
    search = search_of(vectors)
    assert isinstance(search, BlockSearch)
    assert_exact(search, queries(vectors, 5, 12), vectors)


def test_a_bank_that_was_searched_can_go_to_another_process() -> None:
    rng = np.random.default_rng(13)
    bank = EmbeddingBank.fit(rng.standard_normal((INT8_FROM, 16)).astype(np.float32))
    query = rng.standard_normal((4, 16)).astype(np.float32)
    expected = bank.nearest(query)
    for found, there in zip(pickle.loads(pickle.dumps(bank)).nearest(query), expected, strict=True):
        np.testing.assert_array_equal(found, there)


def test_the_written_graph_is_what_onnx_itself_accepts() -> None:
    onnx = pytest.importorskip("onnx")
    from edge_asd.bank.graph import search_graph

    columns = int8_vectors(300, 128, 14, 1.0).T
    graph = search_graph(np.ascontiguousarray(columns), np.ones(300, np.float32), np.ones((1, 2), np.float32), 64)
    model = onnx.load_from_string(graph)
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(model.graph.initializer[0]), columns)

"""The embedding bank: int8 storage costs a bounded error, and a fold never finds itself."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.bank import EmbeddingBank, unit_vectors
from edge_asd.errors import DataError

N, SIZE = 200, 64


def embeddings(n: int = N, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, SIZE)) * 10.0 ** rng.uniform(-3, 3, (n, 1))).astype(np.float32)


def exact_distances(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    q, v = (
        x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True) for x in (queries, vectors)
    )
    return 1.0 - q @ v.T


def test_what_is_stored_is_small() -> None:
    bank = EmbeddingBank.fit(embeddings())
    assert len(bank) == N
    assert bank.vectors.dtype == np.int8
    assert bank.scales.dtype == np.float32
    assert np.abs(bank.vectors.astype(int)).max(axis=1).tolist() == [127] * N


def test_each_coordinate_is_within_half_a_step() -> None:
    vectors = embeddings()
    bank = EmbeddingBank.fit(vectors)
    error = np.abs(bank.vectors * bank.scales[:, None] - unit_vectors(vectors))
    assert (error <= 0.5001 * bank.scales[:, None]).all()


def test_distances_differ_from_exact_ones_by_no_more_than_the_rounding_can_turn_a_vector() -> None:
    vectors, queries = embeddings(), embeddings(50, seed=1)
    bank = EmbeddingBank.fit(vectors)
    found, _ = bank.nearest(queries)
    # A unit vector moved by e turns by at most about |e|, and every coordinate moved by half a step at most.
    bound = 1.01 * np.sqrt(SIZE) * bank.scales.max() / 2.0
    assert np.abs(found - exact_distances(queries, vectors).min(axis=1)).max() <= bound


def test_an_enrolled_vector_of_any_length_finds_itself() -> None:
    vectors = embeddings()
    bank = EmbeddingBank.fit(vectors)
    for factor in (1.0, 1e-4, 1e4):
        distance, index = bank.nearest(np.float32(factor) * vectors)
        np.testing.assert_array_equal(index, np.arange(N))
        # 1 - cos is half the squared error: a quarter of that of a coordinate moved half a step, over all of them
        assert (distance <= SIZE * bank.scales.max() ** 2 / 8.0 + 1e-6).all()


def test_opposite_and_orthogonal_vectors() -> None:
    bank = EmbeddingBank.fit(np.eye(SIZE, dtype=np.float32)[:1])
    queries = np.stack((np.eye(SIZE)[0], np.eye(SIZE)[1], -np.eye(SIZE)[0])).astype(np.float32)
    distance, _ = bank.nearest(queries)
    np.testing.assert_allclose(distance, [0.0, 1.0, 2.0], atol=1e-6)


def test_zero_vectors_are_at_distance_one_of_everything() -> None:
    vectors = embeddings(5)
    vectors[2] = 0.0
    bank = EmbeddingBank.fit(vectors)
    np.testing.assert_array_equal(bank.vectors[2], 0)
    distance, _ = bank.nearest(np.zeros((1, SIZE), np.float32))
    assert distance.tolist() == [1.0]
    distance, _ = EmbeddingBank.fit(np.zeros((1, SIZE), np.float32)).nearest(embeddings(3))
    assert distance.tolist() == [1.0, 1.0, 1.0]


def test_no_queries_give_no_distances() -> None:
    distance, index = EmbeddingBank.fit(embeddings()).nearest(np.empty((0, SIZE), np.float32))
    assert distance.shape == index.shape == (0,)


@pytest.mark.parametrize(
    "change",
    [
        {"vectors": np.zeros((3, 4), np.int16)},
        {"vectors": np.zeros((0, 4), np.int8)},
        {"vectors": np.zeros(3, np.int8)},
        {"scales": np.ones(2, np.float32)},
        {"scales": np.array([1.0, np.nan, 1.0], np.float32)},
        {"domains": np.zeros(2, np.uint8)},
        {"domains": np.zeros(3, np.int64)},
        {"domains": np.full(3, 2, np.uint8)},
        {"enrolled_s": np.zeros(2, np.uint32)},
    ],
    ids=lambda change: " ".join(change),
)
def test_a_damaged_bank_is_refused(change: dict) -> None:
    parts = {"vectors": np.ones((3, 4), np.int8), "scales": np.ones(3, np.float32)}
    EmbeddingBank(**parts)
    with pytest.raises(DataError, match="bank: "):
        EmbeddingBank(**(parts | change))

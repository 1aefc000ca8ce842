"""Budget, compaction, adding and forgetting: a bank stays as small as promised and knows what it should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asd.bank import METHODS, EmbeddingBank, unit_vectors
from edge_asd.bank.bank import vector_bytes
from edge_asd.bank.compaction import k_centre, k_means, kept_rows, shares
from edge_asd.errors import DataError

SIZE = 24
EACH = vector_bytes(SIZE)
DAY_S = 86_400


def embeddings(n: int, seed: int = 0, centre_seed: int = 0, spread: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(centre_seed).standard_normal((6, SIZE))
    return (centres[rng.integers(0, 6, n)] + spread * rng.standard_normal((n, SIZE))).astype(np.float32)


def held_bytes(bank: EmbeddingBank) -> int:
    return sum(array.nbytes for array in bank.arrays().values())


@given(
    n_source=st.integers(0, 120),
    n_target=st.integers(0, 40),
    budget=st.integers(EACH, 100 * EACH),
    method=st.sampled_from(METHODS),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_compaction_never_exceeds_the_budget_nor_wastes_it(
    n_source: int, n_target: int, budget: int, method: str, seed: int
) -> None:
    n = n_source + n_target
    if not n:
        return
    domains = (np.arange(n) >= n_source).astype(np.uint8)
    bank = EmbeddingBank.fit(
        embeddings(n, seed), domain=domains, enrolled_s=np.arange(n), budget_bytes=budget, method=method, seed=seed
    )
    assert bank.nbytes == held_bytes(bank) <= budget
    assert len(bank) == min(n, budget // EACH)
    assert set(bank.domains) <= set(domains)
    assert bank.enrolled_s.max() < n


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bank(method: str) -> None:
    def compact(seed: int) -> EmbeddingBank:
        return EmbeddingBank.fit(embeddings(300), budget_bytes=20 * EACH, method=method, seed=seed)

    np.testing.assert_array_equal(compact(1).vectors, compact(1).vectors)
    assert not np.array_equal(compact(1).vectors, compact(2).vectors)


def test_k_centre_is_within_twice_the_best_radius() -> None:
    """Six tight groups: with six places every group gets one."""
    rows = unit_vectors(embeddings(300, spread=0.01))
    chosen = k_centre(rows, 6, seed=0)
    assert (rows @ rows[chosen].T).max(axis=1).min() > 0.99
    # One place fewer leaves a group without.
    assert (rows @ rows[chosen[:5]].T).max(axis=1).min() < 0.9


def test_k_centre_with_twins_chooses_each_row_once() -> None:
    rows = np.repeat(unit_vectors(embeddings(3)), 4, axis=0)
    assert sorted(k_centre(rows, 12, seed=1)) == list(range(12))


@pytest.mark.parametrize("k", [1, 7, 299])
def test_k_means_rows_are_nearer_to_all_than_rows_drawn_at_random(k: int) -> None:
    rows = unit_vectors(embeddings(300))
    chosen = k_means(rows, k, seed=3)
    assert len(set(chosen.tolist())) == k
    drawn = np.random.default_rng(3).choice(300, k, replace=False)
    assert (rows @ rows[chosen].T).max(axis=1).mean() >= (rows @ rows[drawn].T).max(axis=1).mean() - 1e-6


def test_k_means_of_twins_still_keeps_as_many_rows() -> None:
    chosen = k_means(np.repeat(unit_vectors(embeddings(2)), 10, axis=0), 8, seed=0)
    assert len(set(chosen.tolist())) == 8
    assert {int(i) // 10 for i in chosen} == {0, 1}


def test_distance_counts_not_only_direction() -> None:
    """Spectra differ in level too: of three points on one ray the two ends are kept."""
    points = np.array([[1.0, 1.0], [2.0, 2.0], [2.1, 2.1], [9.0, 9.0]], np.float32)
    for method in METHODS:
        assert 3 in kept_rows(points, np.zeros(4, int), 2, method, seed=1)


@given(counts=st.lists(st.integers(1, 500), min_size=1, max_size=4), total=st.integers(1, 1000))
def test_places_are_shared_so_that_few_keep_all(counts: list[int], total: int) -> None:
    given_places = shares(np.array(counts), total)
    assert given_places.sum() == min(total, sum(counts))
    assert (given_places <= counts).all()
    cut = given_places[given_places < counts]
    # Whoever was cut got as much as anybody, but for the remainder of a division.
    assert not cut.size or cut.min() >= given_places.max() - 1


def test_a_few_target_vectors_survive_hours_of_source() -> None:
    target = embeddings(8, seed=5, centre_seed=9)
    bank = EmbeddingBank.fit(embeddings(2000), budget_bytes=50 * EACH).add(target, domain="target", enrolled_s=7)
    assert (bank.domains == 1).sum() == 8
    assert set(bank.enrolled_s[bank.domains == 1]) == {7}
    assert bank.nearest(target)[0].max() < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_a_year_of_enrolments_never_exceeds_the_budget(method: str) -> None:
    budget = 60 * EACH + 11
    bank = EmbeddingBank.fit(embeddings(200), enrolled_s=DAY_S, budget_bytes=budget, method=method)
    for day in range(2, 366):
        # The machine drifts slowly from its first sound to another.
        first, last = embeddings(20, day), embeddings(20, day, centre_seed=1)
        today = first + np.float32(day / 365) * (last - first)
        bank = bank.add(today, domain="target" if day > 180 else "source", enrolled_s=day * DAY_S)
        assert held_bytes(bank) <= budget
        if day % 30 == 0:
            bank = bank.forget(enrolled_before_s=(day - 90) * DAY_S)
            assert bank.enrolled_s.min() >= (day - 90) * DAY_S
    assert len(bank) <= 60
    still_near, _ = bank.nearest(today)
    forgotten, _ = bank.nearest(embeddings(20, 1))
    assert np.median(still_near) < 0.5 * np.median(forgotten)


def test_adding_below_the_budget_keeps_every_vector() -> None:
    bank = EmbeddingBank.fit(embeddings(10), budget_bytes=30 * EACH)
    grown = bank.add(embeddings(20, 1), domain="target", enrolled_s=12.9)
    assert len(grown) == 30
    np.testing.assert_array_equal(grown.vectors[:10], bank.vectors)
    assert grown.domains.tolist() == 10 * [0] + 20 * [1]
    assert grown.enrolled_s.tolist() == 10 * [0] + 20 * [12]
    assert grown.nearest(embeddings(20, 1))[0].max() < 1e-3
    assert len(bank) == 10
    assert bank.add(np.empty((0, SIZE), np.float32)) is bank


def test_without_a_budget_a_bank_grows() -> None:
    assert len(EmbeddingBank.fit(embeddings(10)).add(embeddings(500))) == 510


@given(
    domain=st.sampled_from((None, "source", "target")),
    before=st.one_of(st.none(), st.integers(0, 40)),
    index=st.one_of(st.none(), st.lists(st.integers(0, 29), max_size=30)),
)
def test_forgetting_drops_what_meets_all_conditions(domain: str | None, before: int | None, index: list | None) -> None:
    domains = (np.arange(30) % 3 == 0).astype(np.uint8)
    bank = EmbeddingBank.fit(embeddings(30), domain=domains, enrolled_s=np.arange(30))
    stays = [
        i
        for i in range(30)
        if (domain is not None and domains[i] != ("source", "target").index(domain))
        or (before is not None and i >= before)
        or (index is not None and i not in index)
    ]
    if not stays:
        with pytest.raises(DataError, match="nothing would be left"):
            bank.forget(domain=domain, enrolled_before_s=before, index=index)
        return
    left = bank.forget(domain=domain, enrolled_before_s=before, index=index)
    assert left.enrolled_s.tolist() == stays
    np.testing.assert_array_equal(left.vectors, bank.vectors[stays])


@pytest.mark.parametrize("method", METHODS)
def test_compaction_keeps_vectors_that_were_heard_with_their_own_tags(method: str) -> None:
    rows = embeddings(80)
    domains = (np.arange(80) % 4 == 0).astype(np.uint8)
    bank = EmbeddingBank.fit(rows, domain=domains, enrolled_s=np.arange(80), budget_bytes=30 * EACH, method=method)
    kept = bank.enrolled_s
    np.testing.assert_array_equal(bank.vectors, EmbeddingBank.fit(rows).vectors[kept])
    np.testing.assert_array_equal(bank.domains, domains[kept])
    assert bank.domains.sum() == 15


def test_vectors_are_at_no_distance_from_themselves_and_further_away_as_the_bank_shrinks() -> None:
    rows = embeddings(400)
    banks = [EmbeddingBank.fit(rows, budget_bytes=n * EACH) for n in (400, 40, 4)]
    full, small, tiny = (np.percentile(bank.nearest(rows)[0], 95) for bank in banks)
    assert full < 1e-3 < small < tiny


def test_arrays_make_the_same_bank_again() -> None:
    bank = EmbeddingBank.fit(embeddings(50), domain="target", enrolled_s=5, budget_bytes=9 * EACH, method="k-centre")
    again = EmbeddingBank(**bank.arrays(), budget_bytes=bank.budget_bytes, method=bank.method)
    query = embeddings(9, 2)
    np.testing.assert_array_equal(bank.nearest(query)[0], again.nearest(query)[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EmbeddingBank.fit(embeddings(5), budget_bytes=EACH - 1), f"one vector takes {EACH}; give at least"),
        (lambda: EmbeddingBank.fit(embeddings(5), budget_bytes=0), "bank budget of 0 bytes"),
        (lambda: EmbeddingBank.fit(embeddings(5), method="k-medians"), "unknown method 'k-medians'; one of k-centre"),
        (lambda: EmbeddingBank.fit(embeddings(5), domain="sauce"), "unknown domain 'sauce'; one of source, target"),
        (lambda: EmbeddingBank.fit(embeddings(5), domain=np.full(5, 2, np.uint8)), "domain 2, known are 0 to 1"),
        (
            lambda: EmbeddingBank.fit(embeddings(5), domain=np.zeros(4, np.uint8)),
            r"domains \[4\], times \[\] for 5 windows",
        ),
        (lambda: EmbeddingBank.fit(embeddings(5), enrolled_s=-1), "enrolled at -1 s"),
        (lambda: EmbeddingBank.fit(embeddings(5), enrolled_s=np.nan), "enrolled at nan s"),
        (lambda: EmbeddingBank.fit(embeddings(5) * np.float32(np.nan)), "row 0 of the embeddings holds NaN"),
        (lambda: EmbeddingBank.fit(embeddings(5)[0]), r"shape \[24\], expected \[n, d\]"),
        (lambda: EmbeddingBank.fit(embeddings(5)[:0]), r"int8 \[0, 24\]"),
        (lambda: EmbeddingBank.fit(embeddings(5)).add(embeddings(5)[:, :9]), r"shape \[5, 9\], expected \[n, 24\]"),
        (lambda: EmbeddingBank.fit(embeddings(5)).forget(index=np.array([5])), "no row 5 of 5"),
        (lambda: EmbeddingBank.fit(embeddings(5)).forget(index=np.array([-1])), "no row -1 of 5"),
        (lambda: EmbeddingBank.fit(embeddings(5)).forget(domain="old"), "unknown domain 'old'"),
        (
            lambda: EmbeddingBank(**EmbeddingBank.fit(embeddings(5)).arrays(), budget_bytes=4 * EACH),
            f"{5 * EACH} bytes, its budget is {4 * EACH}",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_value(make, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()

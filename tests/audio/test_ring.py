"""The ring: everything comes out once, in order, and every loss has its place and its size."""

from __future__ import annotations

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.audio.ring import Ring

RATE_HZ = 1000
WRITE, READ = "write", "read"
STEPS = st.lists(st.tuples(st.sampled_from((WRITE, READ)), st.integers(0, 40), st.integers(0, 3)), max_size=60)


@given(st.integers(1, 64), STEPS)
def test_samples_keep_their_order_and_losses_their_place(capacity: int, steps: list[tuple[str, int, int]]) -> None:
    ring = Ring(capacity, RATE_HZ)
    sent = came = kept = 0

    def take(size: int) -> bool:
        nonlocal came, kept
        chunk = ring.read(size, 0.0)
        if chunk is None:
            return False
        assert 0 < chunk.samples.size <= size
        assert chunk.position == came + chunk.lost_before
        np.testing.assert_array_equal(chunk.samples, chunk.position + np.arange(chunk.samples.size))
        assert abs(chunk.captured_at - (100.0 + chunk.position / RATE_HZ)) < 1e-6
        came, kept = chunk.position + chunk.samples.size, kept + chunk.samples.size
        return True

    for what, size, lost in steps:
        if what == READ:
            take(max(1, size))
            continue
        sent += lost
        ring.write(np.arange(sent, sent + size, dtype=np.float32), 100.0 + sent / RATE_HZ, lost)
        sent += size
    ring.close()
    while take(capacity):
        pass
    assert ring.finished
    assert ring.lost_samples == sent - kept


def test_a_full_ring_drops_the_newest_and_says_how_many() -> None:
    ring = Ring(10, RATE_HZ)
    ring.write(np.arange(8, dtype=np.float32), 0.0)
    ring.write(np.arange(8, 16, dtype=np.float32), 0.008)
    ring.write(np.arange(16, 20, dtype=np.float32), 0.016)
    first = ring.read(10, 0.0)
    assert first is not None
    np.testing.assert_array_equal(first.samples, np.arange(10))
    ring.write(np.arange(20, 24, dtype=np.float32), 0.020)
    second = ring.read(10, 0.0)
    assert second is not None
    assert (second.position, second.lost_before, second.captured_at) == (20, 10, 0.020)
    np.testing.assert_array_equal(second.samples, np.arange(20, 24))
    assert ring.lost_samples == 10


def test_a_chunk_never_spans_a_loss_even_when_more_is_wanted() -> None:
    ring = Ring(100, RATE_HZ)
    ring.write(np.zeros(10, np.float32), 0.0)
    ring.write(np.ones(10, np.float32), 0.015, lost_before=5)
    sizes = [(c.samples.size, c.lost_before) for c in (ring.read(100, 0.0), ring.read(100, 0.0)) if c]
    assert sizes == [(10, 0), (10, 5)]


def test_the_reader_wakes_when_enough_has_come_or_the_ring_is_closed() -> None:
    ring, got = Ring(100, RATE_HZ), []
    reader = threading.Thread(target=lambda: got.extend(iter(lambda: ring.read(20, 30.0), None)), daemon=True)
    reader.start()
    for start in range(0, 50, 5):
        ring.write(np.arange(start, start + 5, dtype=np.float32), start / RATE_HZ)
    ring.close()
    reader.join(20.0)
    assert not reader.is_alive()
    np.testing.assert_array_equal(np.concatenate([c.samples for c in got]), np.arange(50))

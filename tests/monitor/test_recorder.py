"""Enrolment from a live stream: stretches of 10 s, none across a gap, exactly as much as was asked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edge_asd.audio.block import AudioBlock
from edge_asd.monitor.recorder import stretches

RATE_HZ = 100


def stream(n: int, block: int, gaps: tuple[int, ...] = ()) -> Iterator[AudioBlock]:
    """Samples 0..n-1 in blocks; a gap begins each block that holds one of `gaps`."""
    for start in range(0, n, block):
        samples = np.arange(start, min(n, start + block), dtype=np.float32)
        gap = 50 if any(start <= g < start + block for g in gaps) else 0
        yield AudioBlock(samples, start, 0.0, gap)


@pytest.mark.parametrize("block", [1, 25, 999, 1000, 5000])
@pytest.mark.parametrize(("wanted_s", "sizes"), [(20.0, [1000, 1000]), (25.0, [1000, 1000, 500]), (21.0, [1000, 1100])])
def test_it_gives_what_was_asked_for_in_order(block: int, wanted_s: float, sizes: list[int]) -> None:
    got = list(stretches(stream(9000, block), RATE_HZ, wanted_s, least_s=2.0))
    assert [piece.size for piece in got] == sizes
    np.testing.assert_array_equal(np.concatenate(got), np.arange(sum(sizes)))


def test_no_stretch_spans_a_gap_and_scraps_are_dropped() -> None:
    got = list(stretches(stream(5000, 100, gaps=(500, 600, 2600)), RATE_HZ, 30.0, least_s=2.0))
    assert [(int(piece[0]), piece.size) for piece in got] == [(0, 500), (600, 1000), (1600, 1000), (2600, 500)]


def test_a_stream_that_ends_early_gives_what_it_had() -> None:
    got = list(stretches(stream(1500, 100), RATE_HZ, 60.0, least_s=2.0))
    assert [piece.size for piece in got] == [1000, 500]


def test_a_stretch_holds_windows_that_overlap_where_they_are_longer_than_half_of_it() -> None:
    got = list(stretches(stream(9000, 100), RATE_HZ, 60.0, least_s=10.0))
    assert [part.size for part in got] == [20 * RATE_HZ] * 3

"""Blocks from captured chunks: positions are time since the stream began, whatever was lost on the way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.audio.assemble import BlockAssembler
from edge_asd.audio.block import AudioBlock
from edge_asd.audio.condition import Conditioner, output_samples
from edge_asd.audio.ring import Chunk

BEGAN_AT = 1000.0


def run(rate_hz: int, pieces: list[tuple[int, int]], position: int = 0, gap: int = 0) -> list[AudioBlock]:
    """Push pieces of (lost before, size) and flush."""
    assembler = BlockAssembler(Conditioner(rate_hz, 16000), position=position, gap_samples=gap)
    blocks, at = [], 0
    for lost, size in pieces:
        at += lost
        samples = np.random.default_rng(at).standard_normal(size).astype(np.float32)
        blocks += assembler.push(Chunk(samples, at, BEGAN_AT + at / rate_hz, lost))
        at += size
    return blocks + assembler.flush()


@given(
    st.sampled_from((16000, 44100, 48000)),
    st.lists(st.tuples(st.sampled_from((0, 0, 1, 7, 5000)), st.integers(1, 9000)), min_size=1, max_size=8),
)
def test_positions_gaps_and_times_agree(rate_hz: int, pieces: list[tuple[int, int]]) -> None:
    pieces[0] = (0, pieces[0][1])
    blocks = run(rate_hz, pieces)
    end = 0
    for block in blocks:
        assert block.samples.size > 0
        assert block.position >= end
        assert abs(block.position - end - block.gap_samples) <= 1
        # The clock and the count agree to within a sample of the slower rate.
        assert block.captured_at == pytest.approx(BEGAN_AT + block.position / 16000, abs=2 / 16000)
        end = block.position + block.samples.size
    total = output_samples(sum(lost + size for lost, size in pieces), rate_hz, 16000)
    assert abs(end - total) <= 2


def test_after_a_loss_the_filters_start_afresh() -> None:
    blocks = run(48000, [(0, 12000), (480, 12000)])
    at = next(i for i, b in enumerate(blocks) if b.gap_samples)
    assert blocks[at].gap_samples == 160
    fresh = Conditioner(48000, 16000)
    samples = np.random.default_rng(12480).standard_normal(12000).astype(np.float32)
    wanted = np.concatenate((fresh.push(samples), fresh.flush()))
    np.testing.assert_array_equal(np.concatenate([b.samples for b in blocks[at:]]), wanted)


def test_a_capture_that_came_back_counts_on() -> None:
    first, *others = run(16000, [(0, 4000), (0, 4000)], position=50000, gap=20000)
    assert (first.position, first.gap_samples) == (50000, 20000)
    assert all(b.gap_samples == 0 for b in others)
    assert others[0].position == 50000 + first.samples.size

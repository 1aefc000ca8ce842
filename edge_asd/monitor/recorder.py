"""A live stream as unbroken stretches of sound, for enrolment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from edge_asd.audio.block import AudioBlock

STRETCH_S = 10.0


def stretches(blocks: Iterable[AudioBlock], rate_hz: int, wanted_s: float, least_s: float) -> Iterator[np.ndarray]:
    """Cut a stream into stretches, float32 [n], none of them across a gap, until `wanted_s` are given.

    rate_hz: of the blocks. least_s: a window; what is left between two gaps, or at the end, is dropped when it is
    shorter. A stretch has 10 s, or two windows where these are long: enrolment takes it as a piece, see
    `edge_asd.enrolment.hearing.pieces_of`.
    """
    wanted, least = round(wanted_s * rate_hz), round(least_s * rate_hz)
    size = max(round(STRETCH_S * rate_hz), 2 * least)
    held: list[np.ndarray] = []
    n_held = given = 0
    for block in blocks:
        if block.gap_samples:
            if n_held >= least:
                given += n_held
                yield np.concatenate(held)
            held, n_held = [], 0
        held.append(block.samples)
        n_held += block.samples.size
        while n_held >= min(size, wanted - given):
            sound = np.concatenate(held)
            cut = min(size, wanted - given)
            # A rest too short to stand alone joins the last full stretch.
            if wanted - given - cut < least:
                cut = wanted - given
            if n_held < cut:
                break
            held, n_held = [sound[cut:]], n_held - cut
            given += cut
            yield sound[:cut]
            if given >= wanted:
                return
    if n_held >= least:
        yield np.concatenate(held)

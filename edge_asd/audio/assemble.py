"""From captured chunks to blocks at the model's rate that keep count of every loss."""

from __future__ import annotations

import numpy as np

from edge_asd.audio.block import AudioBlock
from edge_asd.audio.condition import Conditioner, output_samples
from edge_asd.audio.ring import Chunk


class BlockAssembler:
    """Conditions the chunks of one capture. After a loss the conditioner starts afresh: filters must not ring across.

    conditioner: from the device's rate to the model's.
    position: of the first block; later ones count on, lost samples included.
    gap_samples: samples lost before the first block (while the microphone was away).
    """

    def __init__(self, conditioner: Conditioner, *, position: int = 0, gap_samples: int = 0) -> None:
        self._conditioner = conditioner
        self._capture_began = position
        self._gap_samples = gap_samples
        self._segment_in = 0
        self._segment_out = position
        self._heard_at = 0.0
        self.position = position

    def push(self, chunk: Chunk) -> list[AudioBlock]:
        """Blocks that are ready now, none, one, or (around a loss) two."""
        blocks = []
        if chunk.lost_before:
            blocks = self.flush()
            self._segment_in = chunk.position
            self._segment_out = self._capture_began + self._out(chunk.position)
            self._gap_samples += max(1, self._segment_out - self.position)
            self.position = self._segment_out
        self._heard_at = chunk.captured_at - (chunk.position - self._segment_in) / self._conditioner.rate_in_hz
        return blocks + self._emit(self._conditioner.push(chunk.samples))

    def flush(self) -> list[AudioBlock]:
        """What the filters still held: the last block before a loss or the end."""
        return self._emit(self._conditioner.flush())

    def _emit(self, samples: np.ndarray) -> list[AudioBlock]:
        if not samples.size:
            return []
        captured_at = self._heard_at + (self.position - self._segment_out) / self._conditioner.rate_out_hz
        block = AudioBlock(samples, self.position, captured_at, self._gap_samples)
        self.position += samples.size
        self._gap_samples = 0
        return [block]

    def _out(self, n_in: int) -> int:
        return output_samples(n_in, self._conditioner.rate_in_hz, self._conditioner.rate_out_hz)

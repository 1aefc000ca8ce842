"""The enrolment's log-mel frames, kept in a bundle on request: one byte a band, so that another network or runtime can
be fitted to the same sound later. They are pictures of the sound's bands, not sound: speech in them cannot be heard
again, though it may be guessed at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_asd.errors import DataError

LEVELS = 255


@dataclass(frozen=True)
class Piece:
    """One piece of enrolment: frames float32 [n, n_mels] in dB, and whether it is of the target domain.

    group: number of the session it belongs to, -1 where none was named.
    """

    frames: np.ndarray
    group: int
    target: bool


@dataclass(frozen=True)
class KeptFrames:
    """All pieces, one after the other.

    codes: uint8 [n_frames, n_mels]; level in dB = lowest + step * code.
    scale_db: float32 [2], lowest and step. The step is 1/255 of the range that occurs: about 0.3 dB.
    lengths: int32 [n_pieces], frames of each piece. groups: int32 [n_pieces]. target: bool [n_pieces].
    """

    codes: np.ndarray
    scale_db: np.ndarray
    lengths: np.ndarray
    groups: np.ndarray
    target: np.ndarray

    @classmethod
    def of(cls, pieces: Sequence[Piece]) -> KeptFrames:
        """From at least one piece."""
        lowest = min(float(piece.frames.min()) for piece in pieces)
        highest = max(float(piece.frames.max()) for piece in pieces)
        scale_db = np.array([lowest, max((highest - lowest) / LEVELS, 1e-3)], np.float32)
        codes = [np.rint((piece.frames - scale_db[0]) / scale_db[1]).clip(0, LEVELS) for piece in pieces]
        return cls(
            np.concatenate(codes).astype(np.uint8),
            scale_db,
            np.array([len(piece.frames) for piece in pieces], np.int32),
            np.array([piece.group for piece in pieces], np.int32),
            np.array([piece.target for piece in pieces], bool),
        )

    def pieces(self) -> Iterator[Piece]:
        """The pieces as they were taken, each level within half a step."""
        end = 0
        for length, group, target in zip(self.lengths, self.groups, self.target, strict=True):
            start, end = end, end + int(length)
            frames = self.codes[start:end].astype(np.float32) * self.scale_db[1] + self.scale_db[0]
            yield Piece(frames, int(group), bool(target))

    def arrays(self) -> dict[str, np.ndarray]:
        """For the bundle, the inverse of `from_arrays`."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], n_mels: int) -> KeptFrames:
        """From a bundle's arrays. Raises DataError unless they fit each other and the model's bands."""
        kept = cls(**{name: arrays[name] for name in cls.__dataclass_fields__})
        n_pieces = len(kept.lengths)
        if (
            kept.codes.dtype != np.uint8
            or kept.codes.shape != (int(kept.lengths.sum()), n_mels)
            or (kept.lengths < 1).any()
            or kept.scale_db.shape != (2,)
            or len(kept.groups) != n_pieces
            or len(kept.target) != n_pieces
        ):
            raise DataError("the kept frames do not fit each other or the model", remedy="enrol again")
        return kept

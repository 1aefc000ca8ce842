"""The pieces of sound an enrolment has taken, each with its place in the recording it is of."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_asd.bundle.kept_frames import KeptFrames, Piece
from edge_asd.contract import ModelContract
from edge_asd.enrolment.enrolled_windows import EnrolledWindows
from edge_asd.enrolment.hearing import HeardPiece, piece_starts


@dataclass(frozen=True)
class TakenPiece:
    """One piece: its group (a session; None: not named), whether it is of the target domain, the recording it is of
    and where in that each of its windows begins, float [k]."""

    heard: HeardPiece
    group: str | None
    target: bool
    name: str
    starts_s: np.ndarray


@dataclass
class TakenPieces:
    """All of them, in order."""

    pieces: list[TakenPiece] = field(default_factory=list)

    def add(
        self,
        heard: Sequence[HeardPiece],
        contract: ModelContract,
        *,
        group: str | None,
        target: bool,
        name: str,
        start_s: float,
    ) -> None:
        """Take the pieces of one recording of that name, which begin at `start_s` of it."""
        for piece, starts_s in zip(heard, piece_starts(heard, contract), strict=True):
            self.pieces.append(TakenPiece(piece, group, target, name, start_s + starts_s))

    @property
    def sessions(self) -> int:
        """How many there are: the groups, where every piece names its own; else one."""
        groups = {piece.group for piece in self.pieces}
        return 1 if None in groups else max(1, len(groups))

    def names(self) -> list[str]:
        """The recording each window is of, [n]."""
        return [piece.name for piece in self.pieces for _ in piece.starts_s]

    def starts_s(self) -> np.ndarray:
        """Where in it each window begins, float [n]."""
        return np.concatenate([piece.starts_s for piece in self.pieces])

    def impulsiveness_db(self) -> list[float]:
        """Of each piece, see `edge_asd.calibration.aggregation`."""
        return [piece.heard.impulsiveness_db for piece in self.pieces]

    def mean_rhythms(self) -> np.ndarray | None:
        """Over all pieces that know their own, by their length; None where none does."""
        known = [piece.heard for piece in self.pieces if piece.heard.rhythms is not None]
        if not known:
            return None
        return np.average([piece.rhythms for piece in known], axis=0, weights=[len(piece) for piece in known])

    def windows(self, window_s: float) -> EnrolledWindows:
        """All windows, side by side; window_s: length of one."""
        return EnrolledWindows.of(
            [piece.heard for piece in self.pieces],
            groups=[piece.group for piece in self.pieces],
            target=[piece.target for piece in self.pieces],
            names=[piece.name for piece in self.pieces],
            starts_s=[piece.starts_s for piece in self.pieces],
            window_s=window_s,
        )

    def drop(self, windows: Sequence[int]) -> int:
        """Leave these windows out, and whatever frames were kept of their pieces; tells how many they are."""
        left = np.ones(sum(len(piece.starts_s) for piece in self.pieces), bool)
        left[list(windows)] = False
        ends = np.cumsum([len(piece.starts_s) for piece in self.pieces])[:-1]
        pieces = []
        for piece, own in zip(self.pieces, np.split(left, ends), strict=True):
            if own.all():
                pieces.append(piece)
            elif own.any():
                heard = piece.heard.part(own)
                pieces.append(dataclasses.replace(piece, heard=heard, starts_s=piece.starts_s[own]))
        self.pieces = pieces
        return int(np.count_nonzero(~left))

    def kept_frames(self) -> KeptFrames | None:
        """The log-mel frames, for the pieces that kept theirs."""
        known = {group: i for i, group in enumerate(dict.fromkeys(piece.group for piece in self.pieces))}
        kept = [
            Piece(piece.heard.frames, -1 if piece.group is None else known[piece.group], piece.target)
            for piece in self.pieces
            if piece.heard.frames is not None
        ]
        return KeptFrames.of(kept) if kept else None

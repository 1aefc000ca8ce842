"""Enrolment: from minutes of normal sound to a bundle, judged on the way.

The sound is judged by its seconds and windows, not by its number of files. Recordings longer than `hearing.PIECE_S`
are cut into pieces of that length: one long recording and a directory of ten-second clips are the same enrolment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd import __version__
from edge_asd.aggregation import Aggregation
from edge_asd.bank import DEFAULT_METHOD
from edge_asd.bundle import Bundle
from edge_asd.calibration import Calibration, EnrolmentScores, fit_stream
from edge_asd.errors import DataError
from edge_asd.hearing import HeardClip, HeardPiece, hear_clip, hear_frames, hear_samples
from edge_asd.inference import Embedder
from edge_asd.kept_frames import KeptFrames, Piece
from edge_asd.model_package import Model
from edge_asd.normal import NormalSound
from edge_asd.retention import Retention
from edge_asd.scorers import (
    DEFAULT_SCORERS,
    Features,
    ScorerSpec,
    cross_fitted,
    domain_folds,
    parse_scorers,
)

MIN_ENROLMENT_S = 10.0
ADVISED_ENROLMENT_S = 60.0
FOLDS = 10
DEFAULT_CLIP_PERCENTILE = 95.0
DEFAULT_LIVE_PERCENTILE = 99.9
"""A stream is scored every second: at 95 % it would raise an alarm every few minutes."""
DEFAULT_SMOOTHING_S = 5.0
TARGET_DOMAIN = "target"


@dataclass(frozen=True)
class _Piece:
    heard: HeardPiece
    group: str | None
    target: bool


@dataclass
class Enrolment:
    """Takes normal clips one by one and makes a bundle of them; keeps features, not sound.

    model, embedder: the network, and the runtime that will also score; an embedder is not needed (None) where no
        scorer uses the network.
    scorers: what the bundle's score is made of.
    clip_percentile, live_percentile: shares of normal sound, in percent, meant to stay below the two thresholds.
    smoothing_s: seconds of sound a stream's score averages.
    bank_budget_bytes: what may be kept of single windows (None: all of them), see `edge_asd.retention`.
    bank_method: how those to keep are chosen, one of `edge_asd.bank.METHODS`.
    enrolled_s: when this is, seconds since 1970 (UTC); 0 = unknown.
    strict: refuse silent, clipped and too little sound; otherwise only warn (for measuring on found data).
    keep_frames: the bundle keeps the log-mel frames, for `edge_asd.refit`: 0.24 MB a minute of sound.
    """

    model: Model
    embedder: Embedder | None
    scorers: Sequence[ScorerSpec] = field(default_factory=lambda: parse_scorers(DEFAULT_SCORERS))
    clip_percentile: float = DEFAULT_CLIP_PERCENTILE
    live_percentile: float = DEFAULT_LIVE_PERCENTILE
    smoothing_s: float = DEFAULT_SMOOTHING_S
    bank_budget_bytes: int | None = None
    bank_method: str = DEFAULT_METHOD
    enrolled_s: float = 0.0
    strict: bool = True
    keep_frames: bool = False
    warnings: list[str] = field(default_factory=list)
    _pieces: list[_Piece] = field(default_factory=list)
    _seconds: float = 0.0
    _levels_dbfs: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Seconds of sound taken so far."""
        return self._seconds

    def add_clip(
        self,
        path: Path,
        channel: int | None = None,
        group: str | None = None,
        on_note: Callable[[str], None] = lambda note: None,
        domain: str | None = None,
    ) -> None:
        """Take one recording from disk, sound or a dump of log-mel frames; see `add_samples` and `add_frames`."""
        heard = hear_clip(
            path,
            self.model.contract,
            self.scorers,
            self.embedder,
            channel=channel,
            keep_frames=self.keep_frames,
            on_note=on_note,
        )
        self.add_heard(heard, str(path), group, domain)

    def add_samples(self, samples: np.ndarray, name: str, group: str | None = None, domain: str | None = None) -> None:
        """Take one recording: float32 mono [n] at the model's rate.

        name: for messages. group: recordings that belong together (one session, one flight) share it; scoring the
        enrolment against itself leaves a whole group out. domain: "target" for the few recordings of the condition
        the machine now works in, as DCASE calls it; anything else is the source domain. Raises DataError for sound
        nobody should enrol.
        """
        contract, keep = self.model.contract, self.keep_frames
        heard = hear_samples(samples, name, contract, self.scorers, self.embedder, keep_frames=keep)
        self.add_heard(heard, name, group, domain)

    def add_frames(self, frames: np.ndarray, name: str, group: str | None = None, domain: str | None = None) -> None:
        """Take one recording as log-mel frames [n, n_mels] in dB (as `edge_asd.clips.read_frames` gives them)."""
        contract, keep = self.model.contract, self.keep_frames
        heard = hear_frames(frames, contract, self.scorers, self.embedder, keep_frames=keep)
        self.add_heard(heard, name, group, domain)

    def add_heard(self, heard: HeardClip, name: str, group: str | None = None, domain: str | None = None) -> None:
        """Take one recording as `edge_asd.hearing` gives it, perhaps made by another process or kept in a cache.

        It must have been heard with this enrolment's contract and scorers (and keep its frames, if this does).
        """
        for problem in heard.problems:
            self._refuse(f"{name}: {problem}")
        if heard.level_dbfs is not None:
            self._levels_dbfs.append(heard.level_dbfs)
        self._pieces += [_Piece(piece, group, domain == TARGET_DOMAIN) for piece in heard.pieces]
        self._seconds += heard.seconds

    def finish(self, provenance: dict[str, Any]) -> Bundle:
        """Fit bank and thresholds. Raises DataError under 10 s of sound; warns under 60 s."""
        if self.strict and self._seconds < MIN_ENROLMENT_S - 0.05:
            raise DataError(
                f"{self._seconds:.1f} s of normal sound, at least {MIN_ENROLMENT_S:.0f} s are needed",
                remedy=f"enrol more; {ADVISED_ENROLMENT_S:.0f} s is the least advised, ten minutes are good",
            )
        if self._seconds < ADVISED_ENROLMENT_S - 0.05:
            self.warnings.append(
                f"only {self._seconds:.0f} s of normal sound: the threshold is a guess under "
                f"{ADVISED_ENROLMENT_S:.0f} s"
            )
        piece_of_window = np.repeat(np.arange(len(self._pieces)), [len(p.heard) for p in self._pieces])
        heard = [piece.heard for piece in self._pieces]
        features = {name: np.concatenate([p.features[name] for p in heard]) for name in heard[0].features}
        spectra_db = np.concatenate([piece.spectra_db for piece in heard])
        target = np.array([piece.target for piece in self._pieces])
        folds = domain_folds(self._folds(), target)[piece_of_window]
        target = target[piece_of_window]
        if len(set(folds.tolist())) == 1:
            self.warnings.append("all sound came in one piece: the threshold rests on half of it against the other")
            folds = np.arange(len(folds)) * 2 // len(folds)
        retention = self._retention(features, spectra_db, target)
        kept, keep = (retention.kept(), retention.kept) if retention else (None, None)
        normal = NormalSound.fit(
            self.scorers,
            features,
            spectra_db,
            target,
            _mean_rhythms(heard),
            kept=kept,
            enrolled_s=self.enrolled_s,
        )
        distances = cross_fitted(self.scorers, features, folds, target, keep=keep)
        aggregation = Aggregation.choose([piece.activity_db for piece in heard])
        scores = EnrolmentScores(distances, piece_of_window.astype(np.int32), aggregation)
        clip = Calibration.fit(scores.per_clip(), self.clip_percentile)
        live = fit_stream(scores, self.model.contract.windows_in(self.smoothing_s), self.live_percentile)
        self.warnings += [f"{use} threshold: {c.note}" for use, c in (("clip", clip), ("live", live[-1])) if c.note]
        summary: dict[str, Any] = {
            "seconds": round(self._seconds, 2),
            "windows": len(spectra_db),
            "target_windows": int(target.sum()),
            "pieces": len(self._pieces),
            "level_dbfs": round(float(np.median(self._levels_dbfs)), 1) if self._levels_dbfs else None,
            "warnings": list(self.warnings),
        }
        if retention:
            everything = cross_fitted(self.scorers, features, folds, target)
            summary["bank"] = {
                "windows": len(normal),
                "bytes": retention.taken_bytes(),
                "budget_bytes": self.bank_budget_bytes,
                "method": self.bank_method,
                "further_percent": _further_percent(distances, everything),
            }
        return Bundle(
            model=self.model,
            normal=normal,
            enrolment_scores=scores,
            clip_calibration=clip,
            live_calibrations=live,
            enrolment=summary,
            provenance={"edge_asd": __version__, **provenance},
            fitted_by=self.embedder.runtime if self.embedder is not None else "",
            frames=self._kept(),
        )

    def _kept(self) -> KeptFrames | None:
        if not self.keep_frames:
            return None
        known = {group: i for i, group in enumerate(dict.fromkeys(piece.group for piece in self._pieces))}
        return KeptFrames.of(
            [
                Piece(piece.heard.frames, -1 if piece.group is None else known[piece.group], piece.target)
                for piece in self._pieces
                if piece.heard.frames is not None
            ]
        )

    def _retention(self, features: Features, spectra_db: np.ndarray, target: np.ndarray) -> Retention | None:
        """What chooses the windows to keep, where not all can be kept."""
        if self.bank_budget_bytes is None:
            return None
        retention = Retention(self.scorers, features, spectra_db, target, self.bank_budget_bytes, self.bank_method)
        return retention if retention.drops else None

    def _folds(self) -> np.ndarray:
        """Fold of each piece, [n_pieces]: its group, or where none is named a stretch; ten folds at most, in order.

        Neighbouring pieces of one recording resemble each other more than tomorrow's sound will; leaving out single
        clips would set the threshold far too low. Every scorer is fitted anew for each fold, so many groups share ten.
        """
        groups = [piece.group for piece in self._pieces]
        known = {group: i for i, group in enumerate(dict.fromkeys(g for g in groups if g is not None))}
        if len(known) > 1 and None not in groups:
            merged = np.arange(len(known)) * min(FOLDS, len(known)) // len(known)
            return merged[[known[group] for group in groups if group is not None]]
        return np.arange(len(groups)) * min(FOLDS, len(groups)) // len(groups)

    def _refuse(self, problem: str) -> None:
        if self.strict:
            raise DataError(problem, remedy="check the microphone and its gain, leave this recording out")
        self.warnings.append(problem)


def _mean_rhythms(heard: Sequence[HeardPiece]) -> np.ndarray | None:
    """Over all windows; None where a piece does not know its own."""
    known = [piece.rhythms for piece in heard if piece.rhythms is not None]
    return np.average(known, axis=0, weights=[len(piece) for piece in heard]) if len(known) == len(heard) else None


def _further_percent(compacted: np.ndarray, everything: np.ndarray) -> float:
    """How much further normal windows are from a compacted bank than from the whole, in percent.

    Both: cross-fitted distances [n, scorers]. The median window; of the scorer that lost most.
    """
    here, there = np.median(compacted, axis=0), np.median(everything, axis=0)
    return round(100.0 * float((here / np.maximum(there, 1e-9) - 1.0).max()), 1)

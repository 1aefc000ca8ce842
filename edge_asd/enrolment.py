"""Enrolment: from minutes of normal sound to a bundle, judged on the way.

The sound is judged by its seconds and windows, not by its number of files. Recordings longer than `PIECE_S` are cut
into pieces of that length: one long recording and a directory of ten-second clips are the same enrolment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd import __version__
from edge_asd.aggregation import Aggregation, window_activity_db
from edge_asd.audio.block import level_dbfs
from edge_asd.audio.files import read_clip
from edge_asd.bundle import Bundle
from edge_asd.calibration import Calibration, EnrolmentScores, fit_stream
from edge_asd.clips import LOG_MEL_SUFFIX, read_frames
from edge_asd.errors import DataError
from edge_asd.frontend import log_mel
from edge_asd.inference import Embedder
from edge_asd.model_package import Model
from edge_asd.normal import NormalSound
from edge_asd.scorers import (
    DEFAULT_SCORERS,
    ScorerSpec,
    cross_fitted,
    domain_folds,
    features_of,
    parse_scorers,
)
from edge_asd.spectra import window_spectra
from edge_asd.windows import clip_windows

MIN_ENROLMENT_S = 10.0
ADVISED_ENROLMENT_S = 60.0
PIECE_S = 10.0
FOLDS = 10
SILENCE_LIMIT_DBFS = -100.0
CLIPPED_SHARE_LIMIT = 0.001
FULL_SCALE = 0.999
DEFAULT_CLIP_PERCENTILE = 95.0
DEFAULT_LIVE_PERCENTILE = 99.9
"""A stream is scored every second: at 95 % it would raise an alarm every few minutes."""
DEFAULT_SMOOTHING_S = 5.0
TARGET_DOMAIN = "target"


@dataclass
class _Piece:
    features: dict[str, np.ndarray]
    spectra_db: np.ndarray
    activity_db: np.ndarray
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
    strict: refuse silent, clipped and too little sound; otherwise only warn (for measuring on found data).
    """

    model: Model
    embedder: Embedder | None
    scorers: Sequence[ScorerSpec] = field(default_factory=lambda: parse_scorers(DEFAULT_SCORERS))
    clip_percentile: float = DEFAULT_CLIP_PERCENTILE
    live_percentile: float = DEFAULT_LIVE_PERCENTILE
    smoothing_s: float = DEFAULT_SMOOTHING_S
    strict: bool = True
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
        features = self.model.contract.features
        if path.suffix.lower() == LOG_MEL_SUFFIX:
            self.add_frames(read_frames(path, features), str(path), group, domain)
        else:
            samples = read_clip(path, features.rate_hz, channel, on_note=on_note)
            self.add_samples(samples, str(path), group, domain)

    def add_samples(self, samples: np.ndarray, name: str, group: str | None = None, domain: str | None = None) -> None:
        """Take one recording: float32 mono [n] at the model's rate.

        name: for messages. group: recordings that belong together (one session, one flight) share it; scoring the
        enrolment against itself leaves a whole group out. domain: "target" for the few recordings of the condition
        the machine now works in, as DCASE calls it; anything else is the source domain. Raises DataError for sound
        nobody should enrol.
        """
        self._judge(samples, name)
        self._levels_dbfs.append(level_dbfs(samples))
        features = self.model.contract.features
        self._take(log_mel(samples, features), samples.size / features.rate_hz, name, group, domain)

    def add_frames(self, frames: np.ndarray, name: str, group: str | None = None, domain: str | None = None) -> None:
        """Take one recording as log-mel frames [n, n_mels] in dB (as `edge_asd.clips.read_frames` gives them)."""
        features = self.model.contract.features
        # A centred front end gives one frame more than the whole hops in the sound, so half a hop is the mean rest.
        seconds = (len(frames) - 0.5) * features.hop_samples / features.rate_hz
        self._take(frames, seconds, name, group, domain)

    def _take(self, frames: np.ndarray, seconds: float, name: str, group: str | None, domain: str | None) -> None:
        contract = self.model.contract
        features = contract.features
        if (frames <= features.floor_db).all():
            self._refuse(f"{name}: silent in every band")
        frames_per_s = features.rate_hz / features.hop_samples
        n_pieces = max(1, round(len(frames) / frames_per_s / PIECE_S))
        for piece in np.array_split(frames, n_pieces):
            windows, _ = clip_windows(piece, contract)
            self._pieces.append(
                _Piece(
                    features_of(self.scorers, windows, self.embedder),
                    window_spectra(windows),
                    window_activity_db(windows),
                    group,
                    domain == TARGET_DOMAIN,
                )
            )
        self._seconds += seconds

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
        piece_of_window = np.repeat(np.arange(len(self._pieces)), [len(p.spectra_db) for p in self._pieces])
        features = {key: np.concatenate([p.features[key] for p in self._pieces]) for key in self._pieces[0].features}
        spectra_db = np.concatenate([p.spectra_db for p in self._pieces])
        target = np.array([piece.target for piece in self._pieces])
        folds = domain_folds(self._folds(), target)[piece_of_window]
        target = target[piece_of_window]
        if len(set(folds.tolist())) == 1:
            self.warnings.append("all sound came in one piece: the threshold rests on half of it against the other")
            folds = np.arange(len(folds)) * 2 // len(folds)
        normal = NormalSound.fit(self.scorers, features, spectra_db, target)
        distances = cross_fitted(self.scorers, features, folds, target)
        aggregation = Aggregation.choose([piece.activity_db for piece in self._pieces])
        scores = EnrolmentScores(distances, piece_of_window.astype(np.int32), aggregation)
        clip = Calibration.fit(scores.per_clip(), self.clip_percentile)
        live = fit_stream(scores, self.model.contract.windows_in(self.smoothing_s), self.live_percentile)
        self.warnings += [f"{use} threshold: {c.note}" for use, c in (("clip", clip), ("live", live[-1])) if c.note]
        summary = {
            "seconds": round(self._seconds, 2),
            "windows": len(normal),
            "target_windows": int(target.sum()),
            "pieces": len(self._pieces),
            "level_dbfs": round(float(np.median(self._levels_dbfs)), 1) if self._levels_dbfs else None,
            "warnings": list(self.warnings),
        }
        return Bundle(
            model=self.model,
            normal=normal,
            enrolment_scores=scores,
            clip_calibration=clip,
            live_calibrations=live,
            enrolment=summary,
            provenance={"edge_asd": __version__, **provenance},
        )

    def _folds(self) -> np.ndarray:
        """Fold of each piece, [n_pieces]: its group, or where none is named one of ten stretches in order.

        Neighbouring pieces of one recording resemble each other more than tomorrow's sound will; leaving out single
        clips would set the threshold far too low.
        """
        groups = [piece.group for piece in self._pieces]
        known = {group: i for i, group in enumerate(dict.fromkeys(g for g in groups if g is not None))}
        if len(known) > 1 and None not in groups:
            return np.array([known[group] for group in groups if group is not None])
        return np.arange(len(groups)) * min(FOLDS, len(groups)) // len(groups)

    def _judge(self, samples: np.ndarray, name: str) -> None:
        if not np.isfinite(samples).all():
            first = int(np.flatnonzero(~np.isfinite(samples))[0])
            raise DataError(f"{name}: sample {first} is not a finite number", remedy="record it again")
        rate_hz = self.model.contract.features.rate_hz
        # Whole seconds; a rest at the end may be too short to judge.
        for start in range(0, max(1, samples.size - rate_hz + 1), rate_hz):
            second = samples[start : start + rate_hz]
            if level_dbfs(second) <= SILENCE_LIMIT_DBFS:
                self._refuse(f"{name}: silent at {start / rate_hz:.0f} s ({level_dbfs(second):.0f} dBFS)")
                break
        clipped = np.abs(samples) >= FULL_SCALE
        share = float(np.mean(clipped)) if samples.size else 0.0
        if share > CLIPPED_SHARE_LIMIT:
            first_s = int(clipped.argmax()) / rate_hz
            self._refuse(
                f"{name}: clipped, {100 * share:.1f} % of its samples are at full scale, the first at {first_s:.1f} s"
            )

    def _refuse(self, problem: str) -> None:
        if self.strict:
            raise DataError(problem, remedy="check the microphone and its gain, leave this recording out")
        self.warnings.append(problem)

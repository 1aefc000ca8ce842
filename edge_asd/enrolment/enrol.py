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
from edge_asd.bank import DEFAULT_METHOD
from edge_asd.bundle.bundle import Bundle
from edge_asd.calibration.aggregation import Aggregation
from edge_asd.calibration.budget import Budget
from edge_asd.calibration.enrolment_scores import EnrolmentScores
from edge_asd.calibration.sessions import SessionEvidence, allowances, session_summary
from edge_asd.calibration.thresholds import Calibration, LiveTarget, fit_stream
from edge_asd.enrolment.enrolled_windows import EnrolledWindows
from edge_asd.enrolment.hearing import HeardClip, hear_clip, hear_frames, hear_samples
from edge_asd.enrolment.known_windows import KnownWindows
from edge_asd.enrolment.outliers import Outlier, find_outliers
from edge_asd.enrolment.repeats import HeardBefore
from edge_asd.enrolment.retention import Retention, check_budget, further_percent
from edge_asd.enrolment.saturation import Saturation, saturation
from edge_asd.enrolment.sound_levels import SoundBaseline
from edge_asd.enrolment.taken import TakenPieces
from edge_asd.errors import DataError
from edge_asd.inference import Embedder
from edge_asd.model_package import Model
from edge_asd.monitor.alarm import AlarmSettings
from edge_asd.normal import NormalSound
from edge_asd.scorers import ScorerSpec, check_specs, default_scorers, parse_scorers, uses_waveform

MIN_ENROLMENT_S = 10.0
ADVISED_ENROLMENT_S = 60.0
DEFAULT_CLIP_PERCENTILE = 95.0
DEFAULT_LIVE = LiveTarget(Budget(1.0, "week"), confirm_s=AlarmSettings.confirm_s)
"""A stream is scored every second: at 95 % it would raise an alarm every few minutes."""
DEFAULT_SMOOTHING_S = 2.0
"""Shorter than the confirmation span by a window: one bang is in a window or, on a seam, in two, holds a mean of two up
for three scores at most (2 s), and the confirmation of 3 s outlasts it. A mean over 5 s carried single bangs into
alarms; one over 3 s told of faults a second later and found no more of them."""
TARGET_DOMAIN = "target"


@dataclass
class Enrolment:
    """Takes normal clips one by one and makes a bundle of them; keeps features, not sound.

    model, embedder: the model, and the runtime that will also score; an embedder is not needed (None) where no
        scorer uses the model.
    scorers: what the bundle's score is made of; empty: the default for this model.
    clip_percentile: share of normal clips, in percent, meant to stay below the clip threshold.
    live: what the live thresholds are set for.
    smoothing_s: seconds of sound a stream's score averages.
    bank_budget_bytes: what may be kept of single windows (None: all of them), see `edge_asd.enrolment.retention`.
    bank_method: how those to keep are chosen, one of `edge_asd.bank.METHODS`.
    enrolled_s: when this is, seconds since 1970 (UTC); 0 = unknown.
    strict: refuse silent, clipped and too little sound; otherwise only warn (for measuring on found data).
    keep_frames: the bundle keeps the log-mel frames, for `edge_asd.bundle.refit`: 0.24 MB a minute of sound.
    session_allowance: times further than the enrolled sound other days are taken to lie, 1 = not at all; None: as
        `edge_asd.calibration.sessions` judges the enrolment.
    aggregation: how windows become one score; None: chosen by the sound.
    before: what was enrolled so far; a recording of that is left out, and `repeated` names it.

    Raises DataError for scorers that the model gives nothing for, for a bank budget that holds no window, and for
    frames to keep of a model that hears the waveform: it could not be fitted to them.
    """

    model: Model
    embedder: Embedder | None
    scorers: Sequence[ScorerSpec] = ()
    clip_percentile: float = DEFAULT_CLIP_PERCENTILE
    live: LiveTarget = DEFAULT_LIVE
    smoothing_s: float = DEFAULT_SMOOTHING_S
    bank_budget_bytes: int | None = None
    bank_method: str = DEFAULT_METHOD
    enrolled_s: float = 0.0
    strict: bool = True
    keep_frames: bool = False
    session_allowance: float | None = None
    aggregation: Aggregation | None = None
    before: HeardBefore = field(default_factory=HeardBefore)
    repeated: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _taken: TakenPieces = field(default_factory=TakenPieces)
    _seconds: float = 0.0
    _levels_dbfs: list[float] = field(default_factory=list)
    _levels: list[np.ndarray] = field(default_factory=list)
    _dropped: list[Outlier] = field(default_factory=list)

    def __post_init__(self) -> None:
        contract = self.model.contract
        self.scorers = self.scorers or parse_scorers(default_scorers(contract))
        check_specs(self.scorers, contract)
        if self.bank_budget_bytes is not None:
            check_budget(self.scorers, contract, self.bank_budget_bytes)
        if self.keep_frames and uses_waveform(self.scorers, contract):
            raise DataError(
                f"{contract.name} hears the waveform: it cannot be fitted anew to log-mel frames",
                remedy="leave --keep-frames out, and keep the recordings",
            )

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

    def add_samples(
        self,
        samples: np.ndarray,
        name: str,
        group: str | None = None,
        domain: str | None = None,
        start_s: float = 0.0,
    ) -> None:
        """Take one recording: float32 mono [n] at the model's rate.

        name: for messages. group: recordings that belong together (one session, one flight) share it; scoring the
        enrolment against itself leaves a whole group out. domain: "target" for the few recordings of the condition
        the machine now works in, as DCASE calls it; anything else is the source domain. start_s: where in the source
        of that name this begins, for one that is taken part by part. Raises DataError for sound nobody should enrol.
        """
        contract, keep = self.model.contract, self.keep_frames
        heard = hear_samples(samples, name, contract, self.scorers, self.embedder, keep_frames=keep)
        self.add_heard(heard, name, group, domain, start_s)

    def add_frames(
        self,
        frames: np.ndarray,
        name: str,
        group: str | None = None,
        domain: str | None = None,
        start_s: float = 0.0,
    ) -> None:
        """Take one recording as log-mel frames [n, n_mels] in dB (as `edge_asd.clips.read_frames` gives them)."""
        contract, keep = self.model.contract, self.keep_frames
        heard = hear_frames(frames, contract, self.scorers, self.embedder, keep_frames=keep)
        self.add_heard(heard, name, group, domain, start_s)

    def add_heard(
        self,
        heard: HeardClip,
        name: str,
        group: str | None = None,
        domain: str | None = None,
        start_s: float = 0.0,
    ) -> None:
        """Take one recording as `enrolment.hearing` gives it, perhaps made by another process or kept in a cache.

        It must have been heard with this enrolment's contract and scorers (and keep its frames, if this does).
        """
        for problem in heard.problems:
            self._refuse(f"{name}: {problem}")
        if self.before.take(np.concatenate([piece.spectra_db for piece in heard.pieces])):
            self.repeated.append(name)
            return
        if heard.level_dbfs is not None:
            self._levels_dbfs.append(heard.level_dbfs)
        if heard.levels is not None and len(heard.levels):
            self._levels.append(heard.levels)
        target = domain == TARGET_DOMAIN
        self._taken.add(heard.pieces, self.model.contract, group=group, target=target, name=name, start_s=start_s)
        self._seconds += heard.seconds

    def outliers(self) -> tuple[Outlier, ...]:
        """Stretches of the sound taken so far that are unlike all the rest, in order; see `enrolment.outliers`."""
        if not self._taken.pieces:
            return ()
        windows, taken = self.windows(), self._taken
        distances = windows.cross_fitted(self.scorers)
        return find_outliers(distances, taken.names(), taken.starts_s(), self.model.contract.window_s)

    def drop(self, outliers: Sequence[Outlier]) -> None:
        """Leave these out, as `outliers` gave them; no sound may have been taken in between."""
        self._dropped += outliers
        n_windows = self._taken.drop([window for outlier in outliers for window in outlier.windows])
        self._seconds -= n_windows * self.model.contract.step_s

    def saturation(self) -> Saturation | None:
        """Whether more sound would change anything; None for too little to tell. See `enrolment.saturation`."""
        windows = self.windows()

        def distances(part: np.ndarray, held: np.ndarray) -> np.ndarray:
            return windows.distances(self.scorers, part, held)

        return saturation(distances, windows.pieces, self._seconds)

    def check_length(self) -> None:
        """Raise DataError under 10 s of sound, if strict; warn of sound that was left out because it came again."""
        if self.repeated:
            many = f" and {len(self.repeated) - 1} more" if len(self.repeated) > 1 else ""
            self.warnings.append(f"{self.repeated[0]}{many}: this sound was enrolled before and counts once")
        if self.repeated and not self._seconds:
            raise DataError("all of this sound was enrolled before", remedy="give sound that was not heard yet")
        if self.strict and self._seconds < MIN_ENROLMENT_S - 0.05:
            what = "new normal sound" if self.repeated else "normal sound"
            raise DataError(
                f"{self._seconds:.1f} s of {what}, at least {MIN_ENROLMENT_S:.0f} s are needed",
                remedy=f"enrol more; {ADVISED_ENROLMENT_S:.0f} s is the least advised, ten minutes are good",
            )

    @property
    def sound(self) -> SoundBaseline | None:
        """Levels of the sound taken so far; None where only log-mel frames were."""
        return SoundBaseline.fit(np.concatenate(self._levels)) if self._levels else None

    @property
    def taken(self) -> TakenPieces:
        """The pieces of sound taken so far."""
        return self._taken

    def finish(self, provenance: dict[str, Any]) -> Bundle:
        """Fit bank and thresholds. Raises DataError under 10 s of sound; warns under 60 s."""
        self.check_length()
        if self._seconds < ADVISED_ENROLMENT_S - 0.05:
            heard, advised = f"{self._seconds:.0f} s", f"{ADVISED_ENROLMENT_S:.0f} s"
            self.warnings.append(f"only {heard} of normal sound: the threshold is a guess under {advised}")
        windows = self.windows()
        if len(windows.pieces) == 1:
            self._refuse("all sound fills one window, which can be compared with nothing: no threshold can be told")
        elif len(set(windows.folds.tolist())) == 1:
            self.warnings.append("all sound came in one piece: the threshold rests on half of it against the other")
        retention = Retention.within(self.scorers, windows, self.bank_budget_bytes, self.bank_method)
        kept, keep = (retention.kept(), retention.kept) if retention else (None, None)
        rows_kept = np.arange(len(windows.pieces)) if kept is None else kept
        normal = NormalSound.fit(
            self.scorers,
            windows.features,
            windows.spectra_db,
            windows.target,
            self._taken.mean_rhythms(),
            kept=kept,
            enrolled_s=self.enrolled_s,
        )
        distances = windows.cross_fitted(self.scorers, keep=keep)
        curve = self.saturation() if self.strict else None
        aggregation = self.aggregation or Aggregation.choose(self._taken.impulsiveness_db())
        scores = EnrolmentScores(distances, windows.pieces, windows.runs, aggregation)
        evidence = SessionEvidence.measured(
            self._taken.sessions, *windows.from_session_to_session(self.scorers, None if keep else distances)
        )
        widening = evidence.widening if self.session_allowance is None else self.session_allowance
        allowance = allowances(self.scorers, widening)
        first, contract = scores.first_windows(), self.model.contract
        clip = Calibration.fit(scores.per_clip(), self.clip_percentile, windows.target[first], allowance)
        live = fit_stream(scores, contract.windows_in(self.smoothing_s), self.live, contract.step_s, allowance)
        self.warnings += [f"{use} threshold: {c.note}" for use, c in (("clip", clip), ("live", live[-1])) if c.note]
        summary: dict[str, Any] = {
            "seconds": round(self._seconds, 2),
            "windows": len(windows.pieces),
            "target_windows": int(windows.target.sum()),
            "pieces": len(self._taken.pieces),
            "level_dbfs": round(float(np.median(self._levels_dbfs)), 1) if self._levels_dbfs else None,
            "sound": None if self.sound is None else self.sound.to_dict(),
            "sessions": session_summary(evidence, self.session_allowance, clip),
            "saturation": None if curve is None else curve.to_dict(),
            "dropped": [outlier.to_dict() for outlier in self._dropped],
            "warnings": list(self.warnings),
        }
        if self.bank_budget_bytes is not None:
            summary["bank_budget"] = {"bytes": self.bank_budget_bytes, "method": self.bank_method}
        if retention:
            everything = windows.cross_fitted(self.scorers)
            summary["bank"] = retention.summary(further_percent(distances, everything))
        return Bundle(
            model=self.model,
            normal=normal,
            enrolment_scores=scores,
            clip_calibration=clip,
            live_calibrations=live,
            enrolment=summary,
            provenance={"edge_asd": __version__, **provenance},
            fitted_by=self.embedder.runtime if self.embedder is not None else "",
            frames=self._taken.kept_frames() if self.keep_frames else None,
            known=KnownWindows.of(
                self.scorers,
                {name: rows[rows_kept] for name, rows in windows.features.items()},
                kept=rows_kept,
                folds=windows.folds,
                target=windows.target,
            ),
        )

    def windows(self) -> EnrolledWindows:
        """All windows taken so far, side by side."""
        return self._taken.windows(self.model.contract.window_s)

    def _refuse(self, problem: str) -> None:
        if self.strict:
            raise DataError(problem, remedy="check the microphone and its gain, leave this recording out")
        self.warnings.append(problem)

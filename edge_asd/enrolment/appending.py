"""More normal sound for a bundle that is in use: a minute after a change of load, season or microphone.

Nothing known is given up: the windows kept so far stay, with their domain and time, and the new ones join them. All are
then fitted and scored against each other anew, the new sound in parts of its own, so that the thresholds hold for both.
It is one session more for what is allowed for those not heard yet (`edge_asd.calibration.sessions`).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edge_asd import __version__
from edge_asd.bank import DEFAULT_METHOD
from edge_asd.bundle.bundle import Bundle
from edge_asd.bundle.kept_frames import KeptFrames, Piece
from edge_asd.calibration.enrolment_scores import EnrolmentScores
from edge_asd.calibration.scale import SHOWN_THRESHOLD
from edge_asd.calibration.sessions import SessionEvidence, allowances, session_summary
from edge_asd.calibration.thresholds import Calibration, fit_stream
from edge_asd.enrolment.enrol import DEFAULT_CLIP_PERCENTILE, Enrolment
from edge_asd.enrolment.enrolled_windows import FOLDS, EnrolledWindows
from edge_asd.enrolment.known_windows import KnownWindows
from edge_asd.enrolment.repeats import HeardBefore
from edge_asd.enrolment.retention import Retention
from edge_asd.enrolment.sound_levels import SoundBaseline
from edge_asd.errors import DataError
from edge_asd.formats import iso_utc
from edge_asd.inference import Embedder
from edge_asd.normal import NormalSound

APPENDED_FOLDS = 5
"""A minute in ten parts would judge every six seconds by their neighbours in time."""


def blank_enrolment(bundle: Bundle, embedder: Embedder | None, enrolled_s: float, *, strict: bool = True) -> Enrolment:
    """An enrolment to take the new sound with: of the bundle's model and scorers.

    embedder: of the bundle's model; None is enough where no scorer uses it. enrolled_s: now, Unix UTC s.
    """
    return Enrolment(
        bundle.model,
        embedder,
        bundle.normal.specs,
        enrolled_s=enrolled_s,
        strict=strict,
        keep_frames=bundle.frames is not None,
        before=HeardBefore(bundle.normal.spectra, thinned=len(bundle.normal) < len(bundle.enrolment_scores.pieces)),
    )


def appended(bundle: Bundle, new: Enrolment, source: str = "") -> Bundle:
    """A bundle that knows the sound `new` has taken as well, for the same thresholds' purpose.

    new: as `blank_enrolment` makes it, with sound. source: where that came from, for people.

    The windows a bank budget made the bundle forget keep the distances they were once judged by: with more sound to
    compare with they could only be smaller (for measures of neighbours). The aggregation stays as it was enrolled.

    Raises DataError for a bundle that does not know its windows (made by an edge-asd before there was this), or too
    little sound.
    """
    known = bundle.known
    if known is None:
        raise DataError(
            "this bundle was made by an older edge-asd and cannot be added to", remedy="enrol once more, with all sound"
        )
    new.check_length()
    windows, scores = new.windows(), bundle.enrolment_scores
    n_old, n_new = len(known.folds), len(windows.pieces)
    rows = np.concatenate((known.kept, np.arange(n_old, n_old + n_new)))
    old_folds = _merged(known.folds, FOLDS)
    folds = np.concatenate((old_folds, old_folds.max() + 1 + _new_folds(windows.folds)))
    target = np.concatenate((known.target, windows.target))
    old_features = known.features()
    joined = EnrolledWindows(
        features={name: np.concatenate((old_features[name], own)) for name, own in windows.features.items()},
        spectra_db=np.concatenate((bundle.normal.spectra.levels_db, windows.spectra_db)),
        pieces=np.concatenate((scores.pieces, scores.pieces.max() + 1 + windows.pieces))[rows],
        runs=np.concatenate((scores.runs, scores.runs.max() + 1 + windows.runs))[rows],
        folds=folds[rows],
        target=target[rows],
    )
    budget = bundle.enrolment.get("bank_budget") or {"bytes": None, "method": DEFAULT_METHOD}
    retention = Retention.within(bundle.normal.specs, joined, budget["bytes"], budget["method"])
    kept = None if retention is None else retention.kept()
    normal = NormalSound.fit(
        bundle.normal.specs,
        joined.features,
        joined.spectra_db,
        joined.target,
        _mean_rhythms(bundle, new, n_old, n_new),
        kept=kept,
        enrolled_s=np.concatenate((bundle.normal.tags.enrolled_s, np.full(n_new, new.enrolled_s))),
        like=bundle.normal,
    )
    distances = np.concatenate((scores.distances, np.zeros((n_new, scores.distances.shape[1]), np.float32)))
    keep = None if retention is None else retention.kept
    distances[rows] = joined.cross_fitted(bundle.normal.specs, keep, bundle.normal.scorers)
    all_scores = EnrolmentScores(
        distances,
        np.concatenate((scores.pieces, scores.pieces.max() + 1 + windows.pieces)).astype(np.int32),
        np.concatenate((scores.runs, scores.runs.max() + 1 + windows.runs)).astype(np.int32),
        bundle.aggregation,
    )
    percentile = bundle.clip_calibration.percentile or DEFAULT_CLIP_PERCENTILE
    sessions, allowance = _sessions(bundle)
    clip = Calibration.fit(all_scores.per_clip(), percentile, target[all_scores.first_windows()], allowance)
    step_s, live_target = bundle.contract.step_s, bundle.live_calibrations[-1].target
    live = fit_stream(all_scores, len(bundle.live_calibrations), live_target, step_s, allowance)
    chosen = np.arange(len(rows)) if kept is None else kept
    after = clip.score(all_scores.per_clip()[-len(np.unique(windows.pieces)) :])
    entry = {
        "at": iso_utc(new.enrolled_s),
        "source": source,
        "domain": "target" if windows.target.any() else "source",
        "seconds": round(new.seconds, 2),
        "windows": n_new,
        "pieces": len(after),
        "above_before": int(np.sum(_scored_before(bundle, windows) > SHOWN_THRESHOLD)),
        "above_after": int(np.sum(after > SHOWN_THRESHOLD)),
    }
    return dataclasses.replace(
        bundle,
        normal=normal,
        enrolment_scores=all_scores,
        clip_calibration=clip,
        live_calibrations=live,
        enrolment={
            **_summary(bundle, new, entry, retention),
            "sessions": sessions and session_summary(sessions, bundle.enrolment["sessions"]["asked"], clip),
        },
        provenance={**bundle.provenance, "appended_by": __version__},
        frames=_frames(bundle, new),
        known=KnownWindows.of(
            bundle.normal.specs,
            {name: own[chosen] for name, own in joined.features.items()},
            kept=rows[chosen],
            folds=folds,
            target=target,
        ),
    )


def _sessions(bundle: Bundle) -> tuple[SessionEvidence | None, tuple[float, ...]]:
    """What is known of sessions once the new one is added, and what to allow for others; None and nothing for a bundle
    made before there was that."""
    known = bundle.enrolment.get("sessions")
    if known is None:
        return None, ()
    evidence = SessionEvidence.from_dict(known).with_session()
    widening = evidence.widening if known["asked"] is None else float(known["asked"])
    return evidence, allowances(bundle.normal.specs, widening)


def _merged(folds: np.ndarray, most: int) -> np.ndarray:
    """At most so many folds, neighbours together; int [n] from 0."""
    names, index = np.unique(folds, return_inverse=True)
    return np.asarray(index * min(most, len(names)) // len(names))


def _new_folds(folds: np.ndarray) -> np.ndarray:
    """Folds of the new windows; where they came in one piece, either half of it."""
    if len(np.unique(folds)) == 1:
        return np.arange(len(folds)) * 2 // len(folds)
    return _merged(folds, APPENDED_FOLDS)


def _scored_before(bundle: Bundle, windows: EnrolledWindows) -> np.ndarray:
    """Scores of the new pieces by the bundle as it was, [n_pieces]."""
    own = EnrolmentScores(
        bundle.normal.distances(windows.features), windows.pieces, windows.runs, bundle.aggregation
    ).per_clip()
    return bundle.clip_calibration.score(own)


def _mean_rhythms(bundle: Bundle, new: Enrolment, n_old: int, n_new: int) -> np.ndarray | None:
    old, own = bundle.normal.rhythms, new.taken.mean_rhythms()
    if old is None or own is None:
        return own if old is None else old
    return np.average((old.astype(np.float64), own), axis=0, weights=(n_old, n_new))


def _summary(bundle: Bundle, new: Enrolment, entry: dict[str, Any], retention: Retention | None) -> dict[str, Any]:
    old = bundle.enrolment
    seconds = old["seconds"] + entry["seconds"]
    sound, own = old.get("sound"), new.sound
    if sound and own:
        sound = SoundBaseline.from_dict(sound).joined(own, entry["seconds"] / seconds).to_dict()
    summary = {
        **old,
        "seconds": round(seconds, 2),
        "windows": old["windows"] + entry["windows"],
        "target_windows": old["target_windows"] + (entry["windows"] if entry["domain"] == "target" else 0),
        "pieces": old["pieces"] + entry["pieces"],
        "sound": sound,
        "appended": [*old.get("appended", []), entry],
        "warnings": [*old["warnings"], *new.warnings],
    }
    if retention is not None:
        summary["bank"] = retention.summary((old.get("bank") or {}).get("further_percent", 0.0))
    return summary


def _frames(bundle: Bundle, new: Enrolment) -> KeptFrames | None:
    """The frames of both, where the bundle keeps them; the new sound is a session of its own among named ones."""
    own = new.taken.kept_frames()
    if bundle.frames is None or own is None:
        return bundle.frames
    known = list(bundle.frames.pieces())
    named = all(piece.group >= 0 for piece in known)
    first = max(piece.group for piece in known) + 1
    more = [Piece(p.frames, first + max(p.group, 0) if named else -1, p.target) for p in own.pieces()]
    return KeptFrames.of([*known, *more])

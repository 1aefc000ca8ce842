"""A recording as scorers need it: features of its windows instead of sound, and what is wrong with the sound.

Hearing is the costly part of enrolling and of measuring, and needs nothing but the clip and the model: it can be done
in another process, or kept in a cache.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_asd.audio.block import level_dbfs
from edge_asd.audio.files import read_clip
from edge_asd.calibration.aggregation import impulsiveness_db
from edge_asd.clips import LOG_MEL_SUFFIX, Clip, read_frames
from edge_asd.contract import ModelContract
from edge_asd.enrolment.sound_levels import levels_of
from edge_asd.errors import DataError
from edge_asd.explain import recording_spectra
from edge_asd.inference import Embedder
from edge_asd.scorers import ScorerSpec, features_of, uses_waveform
from edge_asd.spectra import window_spectra
from edge_asd.windows import Windows, window_starts

PIECE_S = 10.0
SILENCE_LIMIT_DBFS = -100.0
CLIPPED_SHARE_LIMIT = 0.001
FULL_SCALE = 0.999


@dataclass(frozen=True)
class HeardPiece:
    """The windows of one piece of sound.

    features: rows by `ScorerSpec.features`, float32 [k, f] each. spectra_db: float32 [k, 2 n_mels].
    impulsiveness_db: see `edge_asd.calibration.aggregation`. n_frames: log-mel frames of the piece. frames: float32
    [n_frames, n_mels], where they were to be kept. rhythms: mean `loudness_spectra` of its stretches, for explanations;
    None: not known, as where it is shorter than a stretch.
    """

    features: Mapping[str, np.ndarray]
    spectra_db: np.ndarray
    impulsiveness_db: float
    n_frames: int
    frames: np.ndarray | None = None
    rhythms: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.spectra_db)

    def part(self, windows: np.ndarray) -> HeardPiece:
        """Some of its windows, bool [k]; its frames, which hold all of them, are not kept; its impulsiveness stays."""
        return dataclasses.replace(
            self,
            features={name: rows[windows] for name, rows in self.features.items()},
            spectra_db=self.spectra_db[windows],
            frames=None,
        )


@dataclass(frozen=True)
class HeardClip:
    """One recording.

    seconds: of sound. level_dbfs: RMS level; None for log-mel dumps. problems: why nobody should enrol it, in words
    without its name; mostly none. pieces: at least one. levels: see `sound_levels.levels_of`; None: not known.
    """

    seconds: float
    level_dbfs: float | None
    problems: tuple[str, ...]
    pieces: tuple[HeardPiece, ...]
    levels: np.ndarray | None = None


def hear_clip(
    path: Path,
    contract: ModelContract,
    specs: Sequence[ScorerSpec],
    embedder: Embedder | None,
    *,
    channel: int | None = None,
    whole: bool = False,
    keep_frames: bool = False,
    on_note: Callable[[str], None] = lambda note: None,
) -> HeardClip:
    """Hear a recording from disk, sound or a `.npy` of log-mel frames.

    specs: whose features are wanted. embedder: may be None where none of them uses the network. channel, on_note: see
    `edge_asd.audio.files.read_clip`. whole: in one piece, as a clip is scored; otherwise in pieces of about PIECE_S, as
    enrolment takes them. keep_frames: each piece keeps its log-mel frames. Raises MissingInputError, DataError.
    """
    path = Path(path)
    if path.suffix.lower() == LOG_MEL_SUFFIX:
        frames = read_frames(path, contract.features)
        return hear_frames(frames, contract, specs, embedder, whole=whole, keep_frames=keep_frames)
    samples = read_clip(path, contract.features.rate_hz, channel, on_note=on_note)
    return hear_samples(samples, str(path), contract, specs, embedder, whole=whole, keep_frames=keep_frames)


def hear_samples(
    samples: np.ndarray,
    name: str,
    contract: ModelContract,
    specs: Sequence[ScorerSpec],
    embedder: Embedder | None,
    *,
    whole: bool = False,
    keep_frames: bool = False,
) -> HeardClip:
    """Hear float32 mono [n] at the model's rate. name: for messages. Raises DataError at a sample that is no number."""
    features = contract.features
    problems = sound_problems(samples, features.rate_hz, name)
    clip = Clip.heard(samples, features, waveform=uses_waveform(specs, contract))
    heard = _hear(clip, contract, specs, embedder, whole=whole, keep_frames=keep_frames)
    return HeardClip(
        samples.size / features.rate_hz,
        level_dbfs(samples),
        (*problems, *heard.problems),
        heard.pieces,
        levels_of(samples, features.rate_hz),
    )


def hear_frames(
    frames: np.ndarray,
    contract: ModelContract,
    specs: Sequence[ScorerSpec],
    embedder: Embedder | None,
    *,
    whole: bool = False,
    keep_frames: bool = False,
) -> HeardClip:
    """Hear log-mel frames [n, n_mels] in dB (as `edge_asd.clips.read_frames` gives them). Raises DataError where a
    scorer needs the waveform."""
    clip = Clip(frames)
    if uses_waveform(specs, contract):
        clip.require_sound(contract)
    return _hear(clip, contract, specs, embedder, whole=whole, keep_frames=keep_frames)


def _hear(
    clip: Clip,
    contract: ModelContract,
    specs: Sequence[ScorerSpec],
    embedder: Embedder | None,
    *,
    whole: bool,
    keep_frames: bool,
) -> HeardClip:
    features, frames = contract.features, clip.frames
    # A centred front end gives one frame more than the whole hops in the sound, so half a hop is the mean rest.
    seconds = (len(frames) - 0.5) * features.hop_samples / features.rate_hz
    problems = ("silent in every band",) if (frames <= features.floor_db).all() else ()
    pieces = tuple(
        _piece(part, contract, specs, embedder, keep_frames)
        for part in clip.cut(1 if whole else pieces_of(len(frames), contract), features)
    )
    return HeardClip(seconds, None, problems, pieces)


def pieces_of(n_frames: int, contract: ModelContract) -> int:
    """Into how many pieces enrolment cuts so many frames: of about PIECE_S, or of two windows where these are long.

    Neighbouring windows of a stream are alike, the more so where they overlap: pieces of one window each would set its
    threshold too low.
    """
    frames_per_s = contract.features.rate_hz / contract.features.hop_samples
    piece_s = max(PIECE_S, 2 * contract.window_frames / frames_per_s)
    return max(1, round(n_frames / frames_per_s / piece_s))


def _piece(
    clip: Clip, contract: ModelContract, specs: Sequence[ScorerSpec], embedder: Embedder | None, keep: bool
) -> HeardPiece:
    features, spectra_db = [], []
    for windows in clip.parts(contract):
        frames = Windows.of(windows).frames
        own = features_of(specs, windows, embedder)
        features.append(own)
        spectra_db.append(own["spectrum"] if "spectrum" in own else window_spectra(frames))
    return HeardPiece(
        features={name: np.concatenate([own[name] for own in features]) for name in features[0]},
        spectra_db=np.concatenate(spectra_db),
        impulsiveness_db=impulsiveness_db(clip.frames),
        n_frames=len(clip),
        frames=clip.frames if keep else None,
        rhythms=recording_spectra(clip.frames, contract),
    )


def piece_starts(pieces: Sequence[HeardPiece], contract: ModelContract) -> list[np.ndarray]:
    """Where in the clip each window of its pieces begins, in seconds: [k] for each piece."""
    frame_s = contract.features.hop_samples / contract.features.rate_hz
    first = np.concatenate(([0], np.cumsum([piece.n_frames for piece in pieces])))
    return [
        (begin + window_starts(piece.n_frames, contract)) * frame_s for begin, piece in zip(first, pieces, strict=False)
    ]


def sound_problems(samples: np.ndarray, rate_hz: int, name: str) -> list[str]:
    """Why nobody should enrol sound [n], in words: silence, clipping. DataError at a sample that is no number."""
    if not np.isfinite(samples).all():
        first = int(np.flatnonzero(~np.isfinite(samples))[0])
        raise DataError(f"{name}: sample {first} is not a finite number", remedy="record it again")
    problems = []
    # Whole seconds; a rest at the end may be too short to judge.
    for start in range(0, max(1, samples.size - rate_hz + 1), rate_hz):
        second = samples[start : start + rate_hz]
        if level_dbfs(second) <= SILENCE_LIMIT_DBFS:
            problems.append(f"silent at {start / rate_hz:.0f} s ({level_dbfs(second):.0f} dBFS)")
            break
    clipped = np.abs(samples) >= FULL_SCALE
    share = float(np.mean(clipped)) if samples.size else 0.0
    if share > CLIPPED_SHARE_LIMIT:
        first_s = int(clipped.argmax()) / rate_hz
        problems.append(f"clipped, {100 * share:.1f} % of its samples are at full scale, the first at {first_s:.1f} s")
    return problems

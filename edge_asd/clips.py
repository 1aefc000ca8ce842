"""Clips: a recording on disk as sound and log-mel frames, and its score against a bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_asd.audio.files import read_clip
from edge_asd.calibration.aggregation import Aggregation
from edge_asd.calibration.thresholds import Calibration
from edge_asd.contract import LogMelSpec, ModelContract
from edge_asd.errors import DataError, MissingInputError
from edge_asd.frontend import log_mel
from edge_asd.inference.onnx import MAX_BATCH
from edge_asd.windows import Windows, clip_samples, clip_windows, padded, window_starts

LOG_MEL_SUFFIX = ".npy"
"""A clip may also be a published dump of log-mel frames."""


MOST_VALUES = 2**24
"""Numbers in the windows of a clip that are held at once: 64 MiB."""


@dataclass(frozen=True)
class ClipScore:
    """One clip's score, 0 to 100 with the threshold at 50 (`edge_asd.calibration.scale`). Higher = more anomalous.

    score: of the distances of the clip's windows from normal sound, aggregated.
    max_score: of the worst window alone, on the same scale.
    peak_time_s: where that window's middle lies, seconds from the clip's start.
    n_windows: windows scored.
    """

    score: float
    max_score: float
    peak_time_s: float
    n_windows: int


@dataclass(frozen=True)
class Clip:
    """A recording, or a piece of one.

    frames: log-mel float32 [n, n_mels] in dB, n >= 1. sound: float32, the samples they were computed from, frame i from
    those at i * hop_samples on, with the zeros of a centred front end; None where that is not wanted, or of a dump.
    """

    frames: np.ndarray
    sound: np.ndarray | None = None

    @classmethod
    def heard(cls, samples: np.ndarray, spec: LogMelSpec, *, waveform: bool) -> Clip:
        """From float32 [m] at the model's rate. waveform: keep the sound."""
        frames = log_mel(samples, spec)
        return cls(frames, padded(samples, spec) if waveform else None)

    @classmethod
    def of(cls, clip: Clip | np.ndarray) -> Clip:
        """As it is, or from log-mel frames alone."""
        return clip if isinstance(clip, Clip) else cls(clip)

    def __len__(self) -> int:
        return len(self.frames)

    def cut(self, n_pieces: int, spec: LogMelSpec) -> Iterator[Clip]:
        """In so many pieces, as good as equal."""
        first = 0
        for frames in np.array_split(self.frames, n_pieces):
            begin, size = first * spec.hop_samples, (len(frames) - 1) * spec.hop_samples + spec.n_fft
            yield Clip(frames, None if self.sound is None else self.sound[begin : begin + size])
            first += len(frames)

    def windows(self, contract: ModelContract, starts: np.ndarray | None = None) -> np.ndarray | Windows:
        """All its windows, or those at `starts`, as `clip_windows` cuts them; with samples where the sound was kept."""
        frames, _ = clip_windows(self.frames, contract, starts)
        return frames if self.sound is None else Windows(frames, clip_samples(self.sound, len(self), contract, starts))

    def parts(self, contract: ModelContract) -> Iterator[np.ndarray | Windows]:
        """All its windows in order, so many at a time as fit the memory: overlapping, an hour takes gigabytes."""
        values = contract.window_frames * contract.features.n_mels
        if self.sound is not None:
            values += contract.window_samples
        size = max(1, MOST_VALUES // values // MAX_BATCH) * MAX_BATCH
        starts = window_starts(len(self), contract)
        for first in range(0, len(starts), size):
            yield self.windows(contract, starts[first : first + size])

    def require_sound(self, contract: ModelContract) -> None:
        """Raise DataError where only frames are at hand."""
        if self.sound is None:
            raise DataError(
                f"{contract.name} hears the waveform, and only log-mel frames are at hand",
                remedy="give it the sound itself",
            )


def read_frames(
    path: Path, spec: LogMelSpec, channel: int | None = None, *, on_note: Callable[[str], None] = lambda note: None
) -> np.ndarray:
    """A clip as log-mel frames float32 [n, n_mels] in dB, from audio or from a `.npy` dump of frames.

    on_note: as in `edge_asd.audio.files.read_clip`.

    Raises MissingInputError, DataError.
    """
    return read_heard(path, spec, channel, waveform=False, on_note=on_note).frames


def read_heard(
    path: Path,
    spec: LogMelSpec,
    channel: int | None = None,
    *,
    waveform: bool,
    on_note: Callable[[str], None] = lambda note: None,
) -> Clip:
    """The same with its sound, if the waveform is wanted and the file is no dump."""
    path = Path(path)
    if path.suffix.lower() == LOG_MEL_SUFFIX:
        return Clip(_read_dump(path, spec))
    return Clip.heard(read_clip(path, spec.rate_hz, channel, on_note=on_note), spec, waveform=waveform)


def _read_dump(path: Path, spec: LogMelSpec) -> np.ndarray:
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file")
    try:
        frames = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{path}: not a readable .npy file: {error}") from error
    if not isinstance(frames, np.ndarray) or frames.ndim != 2 or frames.shape[1] != spec.n_mels or len(frames) == 0:
        raise DataError(f"{path}: shape {getattr(frames, 'shape', '?')}, expected log-mel frames [n, {spec.n_mels}]")
    if frames.dtype.kind not in "fiu" or not np.isfinite(frames).all():
        raise DataError(f"{path}: {frames.dtype} with values that are not finite numbers, expected dB")
    return np.maximum(frames.astype(np.float32), np.float32(spec.floor_db))


def score_distances(
    distances: np.ndarray,
    n_frames: int,
    contract: ModelContract,
    calibration: Calibration,
    aggregation: Aggregation,
) -> ClipScore:
    """Score a clip of `n_frames` log-mel frames from its windows' distances [k, scorers] from normal sound.

    calibration: fitted on clips whose windows were aggregated the same way.
    """
    starts = window_starts(n_frames, contract)
    window_scores = calibration.score(distances)
    worst = int(window_scores.argmax())
    middle_frame = starts[worst] + min(contract.window_frames, n_frames) / 2
    return ClipScore(
        score=float(calibration.score(aggregation.over(distances)[None])[0]),
        max_score=float(window_scores[worst]),
        peak_time_s=float(middle_frame) * contract.features.hop_samples / contract.features.rate_hz,
        n_windows=len(distances),
    )

"""From frames to the windows a network sees: of a clip at once, or as a stream grows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge_asd.contract import LogMelSpec, ModelContract
from edge_asd.errors import DataError


@dataclass(frozen=True)
class Windows:
    """Windows as a network that also hears the waveform sees them. Others are given the log-mel frames alone, an array.

    frames: log-mel float32 [k, window_frames, n_mels] in dB. samples: float32 [k, window_samples], those the frames
    were computed from; None where only log-mel is at hand, or wanted.
    """

    frames: np.ndarray
    samples: np.ndarray | None = None

    @classmethod
    def of(cls, windows: Windows | np.ndarray) -> Windows:
        """As they are, or from log-mel frames alone."""
        return windows if isinstance(windows, Windows) else cls(windows)

    def __len__(self) -> int:
        return len(self.frames)

    def parts(self, size: int) -> Iterator[Windows]:
        """All of them in order, at most `size` at a time."""
        for start in range(0, len(self), size):
            chosen = slice(start, start + size)
            yield Windows(self.frames[chosen], None if self.samples is None else self.samples[chosen])


def clip_windows(
    frames: np.ndarray, contract: ModelContract, starts: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """All windows of one clip, or those at `starts`, some of `window_starts`.

    frames: float32 [n, n_mels], n >= 1. A clip shorter than a window becomes one window by the contract's
    `short_clip` rule. Where the steps leave a rest, a last window ends with the clip, so that no frame goes unheard.

    Returns windows [k, window_frames, n_mels] and the first frame of each [k].
    """
    if frames.ndim != 2 or frames.shape[1] != contract.features.n_mels or len(frames) == 0:
        raise DataError(f"log-mel of shape {list(frames.shape)}, expected [frames, {contract.features.n_mels}]")
    size = contract.window_frames
    starts = window_starts(len(frames), contract) if starts is None else starts
    if len(frames) < size:
        return lengthened(frames, size, contract.short_clip)[None], starts
    every = np.lib.stride_tricks.sliding_window_view(frames, size, axis=0).transpose(0, 2, 1)
    return every[starts], starts


def window_starts(n_frames: int, contract: ModelContract) -> np.ndarray:
    """First frame of each window `clip_windows` makes of a clip, int [k]."""
    size = contract.window_frames
    if n_frames < size:
        return np.zeros(1, np.intp)
    starts = np.arange(0, n_frames - size + 1, contract.step_frames)
    return starts if starts[-1] + size == n_frames else np.append(starts, n_frames - size)


def padded(samples: np.ndarray, spec: LogMelSpec) -> np.ndarray:
    """A whole clip with the zeros that the centred front end (`edge_asd.frontend.log_mel`) puts at both ends."""
    half = np.zeros(spec.n_fft // 2, np.float32)
    return np.concatenate((half, np.asarray(samples, np.float32), half))


def clip_samples(
    sound: np.ndarray, n_frames: int, contract: ModelContract, starts: np.ndarray | None = None
) -> np.ndarray:
    """The waveform of the windows that `clip_windows` makes of a clip, float32 [k, window_samples].

    sound: float32, what `n_frames` frames were computed from, the first from its first sample on (`padded`). A clip
    shorter than a window is lengthened by the same rule.
    """
    spec, size = contract.features, contract.window_samples
    if n_frames < contract.window_frames:
        return lengthened(sound[: (n_frames - 1) * spec.hop_samples + spec.n_fft], size, contract.short_clip)[None]
    starts = window_starts(n_frames, contract) if starts is None else starts
    return np.lib.stride_tricks.sliding_window_view(sound, size)[starts * spec.hop_samples]


def lengthened(rows: np.ndarray, n_rows: int, rule: str) -> np.ndarray:
    """A short clip's frames [n, n_mels] or samples [n] made `n_rows` long: "repeat" starts over, "reflect" goes back
    and forth."""
    order = np.arange(len(rows))
    if rule == "reflect" and len(rows) > 1:
        order = np.concatenate((order, order[-2:0:-1]))
    return rows[np.resize(order, n_rows)]


class WindowAssembler:
    """Frames of an unbroken stream in, windows out; `reset` after a gap."""

    def __init__(self, contract: ModelContract) -> None:
        self._contract = contract
        self._frames = np.empty((0, contract.features.n_mels), np.float32)

    def reset(self) -> None:
        """Forget the frames kept so far: the next one begins a window."""
        self._frames = self._frames[:0]

    def push(self, frames: np.ndarray) -> np.ndarray:
        """Take frames [n, n_mels]; give the windows they complete, [k, window_frames, n_mels]."""
        size, step = self._contract.window_frames, self._contract.step_frames
        self._frames = np.concatenate((self._frames, frames))
        n_windows = max(0, (len(self._frames) - size) // step + 1)
        windows = np.stack([self._frames[i * step : i * step + size] for i in range(n_windows)]) if n_windows else None
        self._frames = self._frames[n_windows * step :]
        return windows if windows is not None else np.empty((0, size, self._frames.shape[1]), np.float32)

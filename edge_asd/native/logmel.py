"""The log-mel kernel in C behind the interface of the one in numpy."""

from __future__ import annotations

import ctypes
import weakref

import numpy as np

from edge_asd.contract import LogMelSpec
from edge_asd.errors import UnavailableError

SMALLEST_FFT = 16


def can_compute(spec: LogMelSpec) -> bool:
    """Whether the C transform has this length: powers of two only."""
    return spec.n_fft >= SMALLEST_FFT and spec.n_fft & (spec.n_fft - 1) == 0


class NativeKernel:
    """Frames of one stream, computed in C. Within 1e-4 dB of numpy's.

    functions: the loaded library. window: float32 [n_fft]. weights: float32 [n_fft / 2 + 1, n_mels], of which each
    band's stretch from first to last weight is used. Not for several threads at once.

    Raises UnavailableError where there is no memory for its tables.
    """

    name = "native"

    def __init__(self, functions: ctypes.CDLL, spec: LogMelSpec, window: np.ndarray, weights: np.ndarray) -> None:
        self._functions = functions
        self._n_mels = spec.n_mels
        used = weights != 0.0
        empty = ~used.any(axis=0)
        first = np.where(empty, 0, used.argmax(axis=0))
        behind = np.where(empty, 0, len(weights) - used[::-1].argmax(axis=0))
        packed = np.concatenate([weights[a:b, band] for band, (a, b) in enumerate(zip(first, behind, strict=True))])
        first_bins, n_bins = first.astype(np.int32), (behind - first).astype(np.int32)
        window, packed = np.ascontiguousarray(window, np.float32), np.ascontiguousarray(packed, np.float32)
        factor = 20.0 / spec.power
        plan = functions.logmel_new(
            spec.n_fft,
            spec.hop_samples,
            spec.n_mels,
            *(array.ctypes.data for array in (window, first_bins, n_bins, packed)),
            10.0 ** (spec.floor_db / factor),
            factor,
            int(spec.power == 1.0),
        )
        if not plan:
            raise UnavailableError("no memory for the log-mel kernel's tables")
        self._plan = plan
        self._spare = np.zeros((functions.logmel_lanes() - 1) * spec.hop_samples + spec.n_fft, np.float32)
        weakref.finalize(self, functions.logmel_free, plan)

    def frames(self, samples: np.ndarray, n_frames: int) -> np.ndarray:
        """Contiguous float32 samples that hold at least `n_frames` frames -> float32 [n_frames, n_mels] in dB."""
        out = np.empty((n_frames, self._n_mels), np.float32)
        self._functions.logmel_frames(
            self._plan, samples.ctypes.data, n_frames, out.ctypes.data, self._spare.ctypes.data
        )
        return out

"""The streaming log-mel front end, the only one there is: files, training and the live stream all use it.

Every hop is computed once, and the numbers are bit for bit the same however the samples are cut. The inner loop is
computed by the C kernel of `edge_asd.native` where it was built, else by numpy: at most 1e-4 dB apart.
"""

from __future__ import annotations

import functools

import numpy as np

from edge_asd.contract import LogMelSpec
from edge_asd.errors import UnavailableError
from edge_asd.native import library
from edge_asd.native.logmel import NativeKernel, can_compute

FRAMES_PER_PASS = 64
"""Frames computed at a time: enough to spread numpy's call overhead, few enough to stay in the cache."""
MEL_BLOCKS = 3
ROWS_PER_PRODUCT = 16


class LogMel:
    """Samples in, log-mel frames out, in any cut.

    spec: the model's front end.
    padded: put half a window of zeros before the first sample and (at `flush`) after the last, so that frame i is
        centred on sample i * hop and 10 s give 313 frames. Files and training pad; a live stream does not.
    kernel: "native", "numpy", "auto" (native where it is built and knows the transform's length), or None: what the
        environment variable EDGE_ASD_KERNEL says, "auto" without it.

    Raises UnavailableError for "native" where that cannot be, ConfigError for another word in the variable.
    """

    def __init__(self, spec: LogMelSpec, *, padded: bool, kernel: str | None = None) -> None:
        self.spec = spec
        self._padded = padded
        self._kernel = _kernel(spec, kernel or library.chosen())
        self._pending = np.empty(0, np.float32)
        self.reset()

    @property
    def kernel(self) -> str:
        """What computes the frames: "native" or "numpy"."""
        return self._kernel.name

    def reset(self) -> None:
        """Forget all samples: the next one begins a stream."""
        self._pending = np.zeros(self.spec.n_fft // 2 if self._padded else 0, np.float32)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take float32 samples [n], any n; give the frames they complete, float32 [k, n_mels] in dB."""
        spec = self.spec
        self._pending = np.concatenate((self._pending, np.asarray(samples, np.float32)))
        n_frames = max(0, (self._pending.size - spec.n_fft) // spec.hop_samples + 1)
        if not n_frames:
            return np.empty((0, spec.n_mels), np.float32)
        frames = self._kernel.frames(self._pending, n_frames)
        self._pending = self._pending[n_frames * spec.hop_samples :].copy()
        return frames

    def flush(self) -> np.ndarray:
        """End the stream: give the frames that the closing padding completes, [k, n_mels] in dB, and reset."""
        frames = self.push(np.zeros(self.spec.n_fft // 2, np.float32)) if self._padded else self.push(np.empty(0))
        self.reset()
        return frames


def _kernel(spec: LogMelSpec, choice: str) -> NativeKernel | _NumpyKernel:
    if choice == "native" and not can_compute(spec):
        raise UnavailableError(
            f"the native log-mel kernel transforms powers of two, not {spec.n_fft} samples",
            remedy=f"set {library.CHOICE_VARIABLE}=auto",
        )
    functions = library.required() if choice == "native" else None
    if choice == "auto" and can_compute(spec):
        functions = library.load().functions
    if functions is None:
        return _NumpyKernel(spec)
    return NativeKernel(functions, spec, hann_periodic(spec.n_fft), mel_weights(spec))


class _NumpyKernel:
    """Frames of one stream, computed by numpy."""

    name = "numpy"

    def __init__(self, spec: LogMelSpec) -> None:
        self._spec = spec
        self._window = hann_periodic(spec.n_fft)
        self._bank = _MelBank(spec)

    def frames(self, samples: np.ndarray, n_frames: int) -> np.ndarray:
        """Float32 samples that hold at least `n_frames` frames -> float32 [n_frames, n_mels] in dB."""
        spec = self._spec
        hops = np.lib.stride_tricks.sliding_window_view(samples, spec.n_fft)[:: spec.hop_samples]
        frames = np.empty((n_frames, spec.n_mels), np.float32)
        for start in range(0, n_frames, FRAMES_PER_PASS):
            frames[start : start + FRAMES_PER_PASS] = self._some(hops[start : start + FRAMES_PER_PASS])
        return frames

    def _some(self, hops: np.ndarray) -> np.ndarray:
        """[k, n_fft] samples -> [k, n_mels] dB."""
        spectrum = np.fft.rfft(hops * self._window)
        power = np.square(spectrum.real)
        power += np.square(spectrum.imag)
        if self._spec.power == 1.0:
            np.sqrt(power, out=power)
        # numpy 1.x transforms in float64; the contract is float32.
        mel = self._bank.apply(power.astype(np.float32, copy=False))
        decibel_factor = np.float32(20.0 / self._spec.power)
        floor = np.float32(10.0 ** (self._spec.floor_db / float(decibel_factor)))
        np.maximum(mel, floor, out=mel)
        np.log10(mel, out=mel)
        mel *= decibel_factor
        return mel


def log_mel(samples: np.ndarray, spec: LogMelSpec) -> np.ndarray:
    """Log-mel of a whole clip, zero-padded at both ends: float32 [n] -> [1 + n // hop, n_mels] in dB."""
    front_end = LogMel(spec, padded=True)
    return np.concatenate((front_end.push(samples), front_end.flush()))


def hann_periodic(n: int) -> np.ndarray:
    """Periodic Hann window, float32 [n]."""
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n) / n)).astype(np.float32)


@functools.lru_cache(maxsize=4)
def mel_edges_hz(spec: LogMelSpec) -> np.ndarray:
    """Edges of the triangular bands, float64 [n_mels + 2] in Hz: band i rises from i, peaks at i + 1, ends at i + 2.

    Slaney's scale (Auditory Toolbox, 1998) is linear below 1 kHz and logarithmic above; HTK's is
    2595 log10(1 + f / 700).
    """
    if spec.mel_scale == "htk":
        low, high = (2595.0 * np.log10(1.0 + f / 700.0) for f in (spec.fmin_hz, spec.fmax_hz))
        return 700.0 * (10.0 ** (np.linspace(low, high, spec.n_mels + 2) / 2595.0) - 1.0)
    linear_hz_per_mel, corner_hz = 200.0 / 3.0, 1000.0
    corner_mel, log_step = corner_hz / linear_hz_per_mel, np.log(6.4) / 27.0

    def to_mel(hz: float) -> float:
        return hz / linear_hz_per_mel if hz < corner_hz else corner_mel + np.log(hz / corner_hz) / log_step

    mels = np.linspace(to_mel(spec.fmin_hz), to_mel(spec.fmax_hz), spec.n_mels + 2)
    above = corner_hz * np.exp(log_step * (np.maximum(mels, corner_mel) - corner_mel))
    return np.where(mels < corner_mel, mels * linear_hz_per_mel, above)


class _MelBank:
    """The triangular bands as a few dense blocks of a mostly empty matrix.

    Low bands use only low bins and high bands only high ones, so splitting the bands in `MEL_BLOCKS` skips half of the
    products. Rows are multiplied in groups of exactly `ROWS_PER_PRODUCT`: a matrix product of one fixed shape rounds
    each row the same whatever its neighbours hold, and so the cut of the stream cannot show in the numbers.
    """

    def __init__(self, spec: LogMelSpec) -> None:
        weights = mel_weights(spec)
        self._n_mels = spec.n_mels
        self._blocks = []
        for bands in np.array_split(np.arange(spec.n_mels), MEL_BLOCKS):
            bins = np.flatnonzero(weights[:, bands].any(axis=1))
            if bins.size:
                rows, columns = slice(bins[0], bins[-1] + 1), slice(bands[0], bands[-1] + 1)
                self._blocks.append((rows, columns, np.ascontiguousarray(weights[rows, columns])))

    def apply(self, power: np.ndarray) -> np.ndarray:
        """[k, n_fft / 2 + 1] float32 -> [k, n_mels]."""
        n_frames = len(power)
        if n_frames % ROWS_PER_PRODUCT:
            whole = np.zeros((n_frames + -n_frames % ROWS_PER_PRODUCT, power.shape[1]), np.float32)
            whole[:n_frames] = power
            power = whole
        mel = np.zeros((len(power), self._n_mels), np.float32)
        for start in range(0, len(power), ROWS_PER_PRODUCT):
            group = slice(start, start + ROWS_PER_PRODUCT)
            for bins, bands, weights in self._blocks:
                np.matmul(power[group, bins], weights, out=mel[group, bands])
        return mel[:n_frames]


@functools.lru_cache(maxsize=4)
def mel_weights(spec: LogMelSpec) -> np.ndarray:
    """The triangular filter bank, float32 [n_fft / 2 + 1, n_mels]."""
    edges = mel_edges_hz(spec)
    bins_hz = np.arange(spec.n_fft // 2 + 1)[:, None] * (spec.rate_hz / spec.n_fft)
    rising = (bins_hz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins_hz) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0.0, np.minimum(rising, falling))
    if spec.mel_scale == "slaney":
        weights *= 2.0 / (edges[2:] - edges[:-2])
    return weights.astype(np.float32)

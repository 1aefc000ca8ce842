"""From what a device or file holds to what the model hears: one channel, no DC, the model's rate.

Live sound, files and standard input all pass through the same `Conditioner`, so the same sound gets the same score
whichever way it came in.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from edge_asd.audio.dcblock import DcBlock
from edge_asd.errors import DataError, UnavailableError

RESAMPLER_QUALITY = "HQ"
LARGEST_SAMPLE = 1e6
"""120 dB above full scale. Floats can hold more, but no sound has it, and power spectra would overflow to NaN."""


def pcm_to_float32(pcm: np.ndarray) -> np.ndarray:
    """Integer PCM to float32 with full scale +-1, any shape; floats only change type.

    Exact for 16 and 24 significant bits: int16 / 2**15 and int32 / 2**31 are divisions by a power of two.
    """
    if pcm.dtype.kind == "i":
        scale = np.float32(2.0 ** -(8 * pcm.dtype.itemsize - 1))
        return np.multiply(pcm, scale, dtype=np.float32)
    return pcm.astype(np.float32, copy=False)


class Conditioner:
    """Raw samples in, mono samples at the model's rate out, bit for bit the same however the stream is cut.

    rate_in_hz, rate_out_hz: rates of what is pushed and of what is given.
    channel: which channel to listen to, counted from 0. None takes the only one; with several it takes channel 0 and
        says so in `note`, empty otherwise. Channels are never mixed: two microphones at different distances cancel
        each other's tones.
    dc_block: remove the offset that many microphones add (one-pole high-pass at 5 Hz).
    """

    def __init__(
        self, rate_in_hz: float, rate_out_hz: float, *, channel: int | None = None, dc_block: bool = True
    ) -> None:
        for name, rate_hz in (("rate_in_hz", rate_in_hz), ("rate_out_hz", rate_out_hz)):
            if not (rate_hz > 0 and float(rate_hz).is_integer()):
                raise DataError(f"{name} is {rate_hz}, must be a whole number above 0")
        if channel is not None and channel < 0:
            raise DataError(f"channel is {channel}", remedy="channels count from 0")
        self.rate_in_hz = int(rate_in_hz)
        self.rate_out_hz = int(rate_out_hz)
        self.channel = channel
        self.note = ""
        self._resampler = None
        if self.rate_in_hz != self.rate_out_hz:
            self._resampler = _import_soxr().ResampleStream(
                self.rate_in_hz, self.rate_out_hz, 1, dtype="float32", quality=RESAMPLER_QUALITY
            )
        self._dc_block = DcBlock(self.rate_out_hz) if dc_block else None

    def push(self, raw: np.ndarray) -> np.ndarray:
        """Take samples [n, channels] (or [n], mono), float or integer PCM; give what is ready, float32 [m].

        Up to 30 ms are held back until `flush`, most of it by the resampler. Raises DataError when `channel` is not
        there.
        """
        mono = pcm_to_float32(self._pick(raw))
        if self._resampler is not None:
            mono = self._resampler.resample_chunk(np.ascontiguousarray(mono))
        elif mono.base is not None or mono is raw:
            mono = mono.copy()
        return mono if self._dc_block is None else self._dc_block.push(mono)

    def flush(self) -> np.ndarray:
        """End the stream: give the samples held back, float32 [m], and reset.

        All of a stream of n samples gives `output_samples(n, rate_in_hz, rate_out_hz)`.
        """
        tail = np.empty(0, np.float32)
        if self._resampler is not None:
            tail = self._resampler.resample_chunk(tail, last=True)
        if self._dc_block is not None:
            tail = np.concatenate((self._dc_block.push(tail), self._dc_block.flush()))
        self.reset()
        return tail

    def reset(self) -> None:
        """Forget all samples, after a gap say: the next one begins a stream."""
        if self._resampler is not None:
            self._resampler.clear()
        if self._dc_block is not None:
            self._dc_block.reset()

    def check(self, channels: int) -> None:
        """Learn how many channels will come. Raises DataError when the chosen one is not there; may set `note`."""
        _, self.note = choose_channel(self.channel, channels)

    def _pick(self, raw: np.ndarray) -> np.ndarray:
        """[n, channels] or [n] -> the chosen channel, [n]."""
        self.check(1 if raw.ndim == 1 else raw.shape[1])
        return raw if raw.ndim == 1 else raw[:, self.channel or 0]


def choose_channel(channel: int | None, channels: int) -> tuple[int, str]:
    """Which of `channels` to listen to, and what the user should know about it, or nothing.

    Raises DataError when `channel` is not there.
    """
    if (channel or 0) >= channels:
        has = f"channels 0 to {channels - 1}" if channels > 1 else "only channel 0"
        raise DataError(f"channel {channel} is not there: the sound has {has}", remedy="choose with --channel")
    if channels > 1 and channel is None:
        return 0, f"{channels} channels, listening to channel 0; choose with --channel 0 to {channels - 1}"
    return channel or 0, ""


def check_samples(samples: np.ndarray, position: int, rate_hz: int, name: str) -> None:
    """Raise DataError naming the first sample of [n, channels] that is not a finite number, or beyond all sound.

    position: of the first sample in the stream called `name`.
    """
    fits = np.abs(samples) <= LARGEST_SAMPLE  # False for NaN
    if not fits.all():
        row = int(np.flatnonzero(~fits.all(axis=1))[0])
        value = samples[row][~fits[row]][0]
        where = f"{name}: sample {position + row} ({(position + row) / rate_hz:.3f} s)"
        if not np.isfinite(value):
            raise DataError(f"{where} is not a finite number")
        raise DataError(f"{where} is {value:.3g}, full scale is 1", remedy="this is no sound; record it again")


def output_samples(n_in: int, rate_in_hz: int, rate_out_hz: int) -> int:
    """Samples a conditioned stream of `n_in` has in all: n_in * out / in, halves rounded up."""
    return (2 * n_in * rate_out_hz + rate_in_hz) // (2 * rate_in_hz)


def _import_soxr() -> ModuleType:
    """The resampler's library, only where rates differ. Raises UnavailableError."""
    try:
        import soxr
    except (ImportError, OSError) as error:
        raise UnavailableError(f"cannot resample: {error}", remedy="run: pip install soxr") from error
    return soxr

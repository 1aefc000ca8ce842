"""One open microphone: PortAudio's callback copies one channel into a ring and notices what was lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from edge_asd.audio import portaudio
from edge_asd.audio.devices import InputDevice, explain, open_channels
from edge_asd.audio.pacing import BLOCK_S
from edge_asd.audio.ring import Ring
from edge_asd.errors import UnavailableError

LATENCY_S = 0.5
"""Asked of the driver: room for a program that is late by this much."""
RING_S = 8.0
SILENT_LOSS_S = 0.1
"""Sound missing from the driver's own time line by more than this was lost, whether or not it raised its flag."""
GOOD_RATES_HZ = (48000, 44100, 96000, 32000, 88200, 192000)
MAX_DELAY_S = 10.0


def candidate_rates_hz(device: InputDevice, model_rate_hz: int) -> list[int]:
    """Rates to try, best first.

    Hardware is opened at the model's rate if it has it. A name made up by ALSA or a sound server accepts any rate, and
    ALSA's own converter does not filter; there the usual rates of hardware come first, and edge-asd resamples.
    """
    if device.hardware:
        rates = [model_rate_hz, *GOOD_RATES_HZ, device.default_rate_hz]
    else:
        rates = [*GOOD_RATES_HZ[:2], model_rate_hz, device.default_rate_hz, *GOOD_RATES_HZ[2:]]
    return list(dict.fromkeys(rate for rate in rates if rate > 0))


class LossMeter:
    """How many samples the driver lost before a block, from two clocks and its flag.

    Drivers raise the overflow flag late or never, so time is watched: the driver's own time stamp can jump when the
    system clock is set, and the moment of the callback comes late when the program is busy, but sound that was really
    lost is missing from both.

    rate_hz: of the samples.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._expected: tuple[float, float] | None = None

    def lost(self, driver_s: float, arrival_s: float, n_samples: int, flagged: bool) -> int:
        """Samples lost just before or within a block of `n_samples`; at least 1 when the driver says so.

        driver_s: the driver's stamp of the first sample. arrival_s: a monotonic clock at the callback.
        """
        missing_s = 0.0
        if self._expected is not None:
            missing_s = min(driver_s - self._expected[0], arrival_s - self._expected[1])
        block_s = n_samples / self._rate_hz
        self._expected = (driver_s + block_s, arrival_s + block_s)
        if flagged:
            return max(1, round(missing_s * self._rate_hz))
        return round(missing_s * self._rate_hz) if missing_s > SILENT_LOSS_S else 0


class Capture:
    """A microphone that is running; `ring` gives the first channel asked for, `attach` further ones.

    device: from `list_inputs`. rate_hz: one of its rates. channel: counted from 0.
    clock: UTC seconds; monotonic: seconds that never jump.
    Raises sounddevice.PortAudioError when it cannot be opened so.
    """

    def __init__(
        self,
        sounddevice: ModuleType,
        device: InputDevice,
        rate_hz: int,
        channel: int,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.device = device
        self.rate_hz = rate_hz
        self.channels = open_channels(device, channel)
        self.ended = ""
        self.closed = False
        self._listeners: tuple[tuple[int, Ring], ...] = ()
        self.ring = self.attach(channel)
        self._clock = clock
        self._monotonic = monotonic
        self._losses = LossMeter(rate_hz)
        self._owed = 0
        self._stream = sounddevice.InputStream(
            device=device.index,
            samplerate=rate_hz,
            channels=self.channels,
            dtype="float32",
            blocksize=round(BLOCK_S * rate_hz),
            latency=LATENCY_S,
            callback=self._heard,
            finished_callback=self._finished,
        )
        try:
            self._stream.start()
        except BaseException:
            self._stream.close()
            raise

    def attach(self, channel: int) -> Ring:
        """A ring that is given this channel (below `channels`) from now on; each channel may have several."""
        ring = Ring(round(RING_S * self.rate_hz), self.rate_hz)
        # A new tuple, because the driver's thread may be walking through the old one.
        self._listeners = (*self._listeners, (channel, ring))
        if self.ended:
            ring.close()
        return ring

    def detach(self, ring: Ring) -> bool:
        """Give `ring` no more; True when nobody is left."""
        self._listeners = tuple(pair for pair in self._listeners if pair[1] is not ring)
        ring.close()
        return not self._listeners

    def close(self, why: str = "was closed") -> None:
        """Stop and release the device; safe to call twice. May hang as long as its driver does.

        why: told to whoever is still attached.
        """
        if self.closed:  # PortAudio may have given the stream's address to another one since
            return
        self.closed = True
        self.ended = self.ended or why
        self._stream.abort(ignore_errors=True)
        self._stream.close(ignore_errors=True)
        self._finished()

    def _finished(self) -> None:
        """Also called by the driver, when the device is gone."""
        self.ended = self.ended or "is gone"
        for _, ring in self._listeners:
            ring.close()

    def _heard(self, samples: Any, n_samples: int, times: Any, status: Any) -> None:
        """PortAudio's thread: copy and queue, nothing else, and never raise."""
        delay_s = times.currentTime - times.inputBufferAdcTime
        if not 0.0 <= delay_s <= MAX_DELAY_S:
            delay_s = n_samples / self.rate_hz
        lost = self._losses.lost(
            times.inputBufferAdcTime, self._monotonic(), n_samples, bool(status and status.input_overflow)
        )
        if lost:
            # PortAudio gathers blocks across the gap, so this one is broken somewhere inside: it is lost as well.
            self._owed += lost + n_samples
            return
        captured_at = self._clock() - delay_s
        for channel, ring in self._listeners:
            ring.write(samples[:, channel], captured_at, self._owed)
        self._owed = 0


def open_capture(
    sounddevice: ModuleType,
    device: InputDevice,
    model_rate_hz: int,
    *,
    channel: int | None = None,
    rate_hz: int | None = None,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> Capture:
    """Open `device` at `rate_hz`, or at the best rate it has for the model. Raises UnavailableError saying why not."""
    if device.problem:
        raise UnavailableError(f"{device.label}: {device.problem}")
    if (channel or 0) >= device.channels:
        raise UnavailableError(
            f"{device.label}: channel {channel} is not there, it has {device.channels}",
            remedy="channels count from 0; choose with --channel",
        )
    why = "no rate"
    for candidate_hz in [rate_hz] if rate_hz else candidate_rates_hz(device, model_rate_hz):
        try:
            return Capture(sounddevice, device, candidate_hz, channel or 0, clock=clock, monotonic=monotonic)
        except (sounddevice.PortAudioError, ValueError) as error:
            why = explain(error, device)
            if not portaudio.is_wrong_rate(error):
                break
    at = f" at {rate_hz} Hz" if rate_hz else ""
    raise UnavailableError(f"{device.label}: cannot be opened{at} ({why})")

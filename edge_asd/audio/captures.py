"""All microphones of a process: who listens to which, and when PortAudio may read its list of devices again.

PortAudio reads that list once, when it starts; reading it again ends every stream there is. And all its threads keep
the error of a call in one variable: an opening that fails beside a running stream may come back as one that did not,
and end the process. So while other microphones are being listened to, a new process, which has a list of its own, opens
a device first, and the list is read again only for one that it could open.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from edge_asd.audio import portaudio
from edge_asd.audio.capture import Capture
from edge_asd.audio.devices import InputDevice
from edge_asd.audio.look import Wanted, look
from edge_asd.audio.ring import Ring
from edge_asd.audio.worker import Job, Worker
from edge_asd.errors import UnavailableError

RELISTED = "was interrupted to read the list of devices again, because another microphone is back"


@dataclass(frozen=True)
class Feed:
    """One channel of a running microphone.

    ring: gives it. device, rate_hz: of the microphone. channel: counted from 0.
    """

    capture: Capture
    ring: Ring
    channel: int

    @property
    def device(self) -> InputDevice:
        """The microphone."""
        return self.capture.device

    @property
    def rate_hz(self) -> int:
        """Of the ring's samples."""
        return self.capture.rate_hz

    @property
    def why_ended(self) -> str:
        """Why the ring is finished."""
        return f"{self.device.label} {self.capture.ended}"


class Captures:
    """Opens microphones, one stream a device however many listen to it. All calls but `submit`, `busy_s` and `close`
    are made on the one thread of the driver.

    clock: UTC seconds; monotonic: seconds that never jump.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._worker = Worker("edge-asd microphones")
        self._open: list[Capture] = []
        self._listed = False

    def submit(self, call: Callable[[], object]) -> Job:
        """Queue `call` for the driver's thread."""
        return self._worker.submit(call)

    def busy_s(self) -> float:
        """How long the driver's thread has been at the call under way; 0 between calls."""
        return self._worker.busy_s()

    def close(self) -> None:
        """No further calls; the thread ends after those queued."""
        self._worker.close()

    def open(
        self,
        name: str | None,
        model_rate_hz: int,
        *,
        channel: int | None = None,
        rate_hz: int | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> Feed:
        """Listen to one channel of a device; see `open_capture` and `resolve`. Raises UnavailableError."""
        wanted = Wanted(name, model_rate_hz, channel, rate_hz, dict(aliases or {}))
        self._open = [capture for capture in self._open if not capture.closed]
        why = "is gone"
        if not all(capture.ended for capture in self._open):
            why = RELISTED
            known = self._known(wanted)
            if known is not None and (capture := self._running(known)) is not None:
                return self._join(capture, channel or 0, rate_hz)
            if name is None and known is not None:
                # A new process may not see what this one holds, and would take another input for the default one.
                wanted = replace(wanted, name=known.stable_name, aliases={})
            found = look(wanted)
            if (device := found.listed()) is not None:
                return self._opened(replace(wanted, rate_hz=found.rate_hz), device)
        self._list_again(why)
        return self._opened(wanted, wanted.device())

    def release(self, feed: Feed) -> None:
        """Listen no more; the device is closed when nobody listens. May hang as long as its driver does."""
        if feed.capture.detach(feed.ring):
            feed.capture.close()

    @staticmethod
    def _join(capture: Capture, channel: int, rate_hz: int | None) -> Feed:
        label = capture.device.label
        if rate_hz not in (None, capture.rate_hz):
            raise UnavailableError(
                f"{label}: already listened to at {capture.rate_hz} Hz, not {rate_hz}",
                remedy="give all machines at one device the same rate",
            )
        if channel >= capture.channels:
            raise UnavailableError(
                f"{label}: channel {channel} is not there, it was opened with {capture.channels}",
                remedy="channels count from 0",
            )
        return Feed(capture, capture.attach(channel), channel)

    @staticmethod
    def _known(wanted: Wanted) -> InputDevice | None:
        """That microphone in the list as it is, which may be old."""
        try:
            return wanted.device()
        except UnavailableError:
            return None

    def _running(self, device: InputDevice) -> Capture | None:
        """The one of that microphone."""
        return next((c for c in self._open if not c.ended and c.device.stable_name == device.stable_name), None)

    def _opened(self, wanted: Wanted, device: InputDevice) -> Feed:
        capture = wanted.capture(device, clock=self._clock, monotonic=self._monotonic)
        self._open.append(capture)
        return Feed(capture, capture.ring, wanted.channel or 0)

    def _list_again(self, why: str) -> None:
        """Make PortAudio's list fresh, which it is after loading. why: told to whoever loses a microphone by it."""
        for capture in self._open:
            capture.close(why)
        self._open = []
        sounddevice = portaudio.load()
        if self._listed:
            portaudio.refresh(sounddevice)
        self._listed = True

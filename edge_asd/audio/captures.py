"""All microphones of a process: who listens to which, and when PortAudio may read its list of devices again.

PortAudio reads that list once, when it starts; reading it again ends every stream there is. So while other microphones
are being listened to, it is read again only for a device that a new process (which has a list of its own) sees.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_asd.audio import portaudio
from edge_asd.audio.capture import Capture, open_capture
from edge_asd.audio.devices import InputDevice, list_inputs, resolve
from edge_asd.audio.ring import Ring
from edge_asd.audio.worker import Job, Worker
from edge_asd.errors import UnavailableError

LOOK_LIMIT_S = 20.0
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
    """Opens microphones, one stream a device however many listen to it. All calls but `submit` and `close` are made on
    the one thread of the driver.

    clock: UTC seconds; monotonic: seconds that never jump.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._worker = Worker("edge-asd microphones")
        self._running: list[Capture] = []
        self._listed = False

    def submit(self, call: Callable[[], object]) -> Job:
        """Queue `call` for the driver's thread."""
        return self._worker.submit(call)

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
        sounddevice = portaudio.load()
        self._running = [capture for capture in self._running if not capture.ended]
        if self._listed:
            self._list_again(name, aliases)
        self._listed = True
        device = resolve(name, list_inputs(probe=False), aliases)
        for capture in self._running:
            if capture.device.stable_name == device.stable_name:
                return self._join(capture, channel or 0, rate_hz)
        capture = open_capture(
            sounddevice,
            device,
            model_rate_hz,
            channel=channel,
            rate_hz=rate_hz,
            clock=self._clock,
            monotonic=self._monotonic,
        )
        self._running.append(capture)
        return Feed(capture, capture.ring, channel or 0)

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

    def _list_again(self, name: str | None, aliases: Mapping[str, str] | None) -> None:
        """Make PortAudio's list fresh, if that is needed and does no harm."""
        if not self._running:
            portaudio.refresh(portaudio.load())
            return
        try:
            resolve(name, list_inputs(probe=False), aliases)
        except UnavailableError:
            _look(name, aliases)
            for capture in self._running:
                capture.close(RELISTED)
            self._running = []
            portaudio.refresh(portaudio.load())


def _look(name: str | None, aliases: Mapping[str, str] | None) -> None:
    """Ask a new process for the device. Raises UnavailableError, with its words, when it does not see it."""
    question = json.dumps({"name": name, "aliases": dict(aliases or {})})
    command = [sys.executable, "-m", "edge_asd.audio.look"]
    try:
        done = subprocess.run(command, input=question, capture_output=True, text=True, timeout=LOOK_LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError("the audio driver does not answer when asked for its devices") from error
    if done.returncode:
        raise UnavailableError(done.stdout.strip() or "the list of devices cannot be read")

"""A microphone that is always coming back: opened by name, watched for silence of the driver, waited for when gone."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edge_asd.audio import portaudio
from edge_asd.audio.assemble import BlockAssembler
from edge_asd.audio.block import AudioBlock
from edge_asd.audio.captures import Captures, Feed
from edge_asd.audio.condition import Conditioner, choose_channel
from edge_asd.audio.pacing import BLOCK_S
from edge_asd.audio.ring import Chunk
from edge_asd.audio.worker import Job
from edge_asd.errors import UnavailableError

STALL_S = 3.0
RETRY_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
HANG_S = 10.0
CLOSE_S = 2.0
POLL_S = 0.5


@dataclass(frozen=True)
class SourceEvent:
    """Something that happened to a live source.

    kind: "opened" (first sound came), "waiting" (not there, will be tried again), "lost" (was there and is gone),
        "back" (sound again), "overrun" (samples lost, still running).
    detail: for people.
    lost_samples: at the model's rate, for "overrun" and "back"; an estimate where the driver does not count.
    at: UTC seconds since the epoch.
    """

    kind: str
    detail: str
    lost_samples: int
    at: float


class MicrophoneSource:
    """Blocks from a microphone, for as long as `stop` is not set. `stable_name` and `heard_hz` are the device's, once
    it was heard.

    device: name as `devices.resolve` takes it; None for the default input.
    rate_hz: the model's rate; the device is opened at it, or at a better one and resampled.
    channel: which to listen to; None takes channel 0 and, when there are more, says so in `note`.
    device_rate_hz: open the device at this rate and no other.
    aliases: from the config, alias -> name.
    wait: a device that is not there yet is waited for; otherwise iterating raises UnavailableError. One that was open
        once is waited for in any case.
    on_event: called from the iterating thread. While a device is away it is called at every attempt, at most 30 s
        apart; when the driver itself hangs it falls silent, so that a watchdog fed from it barks.
    clock: UTC seconds; monotonic: seconds that never jump.
    captures: shared by all microphones of a process, and closed by whoever made it; None: this is the only one.
    stall_s: a device that gives nothing for so long counts as gone.
    retry_s: pauses between attempts; the last one repeats.
    """

    def __init__(
        self,
        device: str | None,
        rate_hz: int,
        *,
        channel: int | None = None,
        device_rate_hz: int | None = None,
        aliases: Mapping[str, str] | None = None,
        wait: bool = False,
        on_event: Callable[[SourceEvent], Any] = lambda event: None,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        captures: Captures | None = None,
        stall_s: float = STALL_S,
        retry_s: tuple[float, ...] = RETRY_S,
        dc_block: bool = True,
    ) -> None:
        self.name = device or "default"
        self.rate_hz = rate_hz
        self.note = ""
        self.stable_name = ""
        self.heard_hz = 0
        self._device = device
        self._channel = channel
        self._device_rate_hz = device_rate_hz
        self._aliases = dict(aliases or {})
        self._wait = wait
        self._on_event = on_event
        self._stop = stop or threading.Event()
        self._clock = clock
        self._monotonic = monotonic
        self._stall_s = stall_s
        self._retry_s = retry_s
        self._dc_block = dc_block
        self._owns_captures = captures is None
        self._captures = captures or Captures(clock=clock, monotonic=monotonic)
        self._feed: Feed | None = None
        self._failures = 0
        self._position = 0
        self._last_heard_s: float | None = None
        self._was_open = False
        self._closed = False

    def __repr__(self) -> str:
        return f"MicrophoneSource({self._device!r}, {self.rate_hz}, channel={self._channel})"

    def blocks(self) -> Iterator[AudioBlock]:
        """Blocks until `stop` is set or `close` is called.

        Raises UnavailableError, naming the candidates, when the device was never there and `wait` is off.
        """
        try:
            while (feed := self._opened()) is not None:
                yield from self._listen(feed)
                self._feed = None
                self._call(functools.partial(self._captures.release, feed))
        finally:
            self.close()

    def close(self) -> None:
        """Release the device; safe to call twice. Waits at most 2 s for a driver that hangs, then leaves it."""
        if self._closed:
            return
        self._closed = True
        feed, self._feed = self._feed, None
        job = self._captures.submit(lambda: self._captures.release(feed) if feed else None)
        if self._owns_captures:
            self._captures.close()
        if not job.done.wait(CLOSE_S):
            portaudio.forget_at_exit(portaudio.load())

    def _opened(self) -> Feed | None:
        """An open microphone, however long it takes; None when stopped."""
        while not (self._stopped() or (self._failures and self._pause())):
            try:
                self._feed = self._call(self._open)
            except UnavailableError as error:
                if not (self._wait or self._was_open):
                    raise
                self._failures += 1
                self._report("waiting", f"{error}; next attempt in {self._pause_s():g} s")
                continue
            if self._feed is not None:
                self._was_open = True
                return self._feed
        return None

    def _open(self) -> Feed | None:
        """On the driver's thread: find the device by name and open it."""
        feed = self._captures.open(
            self._device,
            self.rate_hz,
            channel=self._channel,
            rate_hz=self._device_rate_hz,
            aliases=self._aliases,
        )
        if self._stopped():
            self._captures.release(feed)
            return None
        return feed

    def _listen(self, feed: Feed) -> Iterator[AudioBlock]:
        """Blocks until the device is lost or the run is stopped."""
        assembler: BlockAssembler | None = None
        size, alive_s = round(BLOCK_S * feed.rate_hz), self._monotonic()
        while not self._stopped():
            chunk = feed.ring.read(size, POLL_S)
            now_s = self._monotonic()
            if chunk is None:
                if feed.ring.finished:
                    why = feed.why_ended
                    break
                if now_s - alive_s >= self._stall_s:
                    why = f"{feed.device.label} has given no sound for {now_s - alive_s:.1f} s"
                    break
                continue
            alive_s = now_s
            if assembler is None:
                assembler = self._begin(feed, chunk, now_s)
            self._last_heard_s = now_s
            if chunk.lost_before:
                self._report("overrun", "the driver or this program was too slow", self._at_model(feed, chunk))
            for block in assembler.push(chunk):
                self._position = assembler.position
                yield block
        else:
            return
        if assembler is None:
            self._failures += 1
            self._report("waiting", f"{why}; next attempt in {self._pause_s():g} s")
            return
        yield from assembler.flush()
        self._position = assembler.position
        self._report("lost", why)

    def _begin(self, feed: Feed, chunk: Chunk, now_s: float) -> BlockAssembler:
        """The first sound of a capture came: say so, and count what was missed since the last one."""
        conditioner = Conditioner(feed.rate_hz, self.rate_hz, dc_block=self._dc_block)
        _, self.note = choose_channel(self._channel, feed.device.channels)
        began_s = now_s - chunk.samples.size / feed.rate_hz
        gap = 0
        if self._last_heard_s is not None:
            gap = max(1, round((began_s - self._last_heard_s) * self.rate_hz))
        self.stable_name = feed.device.stable_name
        self.heard_hz = feed.rate_hz
        detail = f"{feed.device.label} at {feed.rate_hz} Hz, channel {feed.channel}"
        self._report("back" if self._last_heard_s is not None else "opened", detail, gap)
        self._failures = 0
        return BlockAssembler(conditioner, position=self._position + gap, gap_samples=gap)

    def _call(self, call: Callable[[], Any]) -> Any:
        """`call` on the worker's thread. Says once when the driver hangs, then waits in silence; None when stopped."""
        job: Job = self._captures.submit(call)
        said = False
        while not job.done.wait(POLL_S / 5):
            if self._stopped():
                return None
            # Not since it was submitted: each microphone before this one may take seconds.
            if not said and self._captures.busy_s() > HANG_S:
                said = True
                self._report("lost", f"the driver of {self.name} does not answer; only a restart helps if it stays so")
        return job.result()

    def _pause_s(self) -> float:
        return self._retry_s[min(self._failures, len(self._retry_s)) - 1]

    def _pause(self) -> bool:
        """Wait before the next attempt; True when stopped meanwhile."""
        until_s = self._monotonic() + self._pause_s()
        while not self._stopped() and (left_s := until_s - self._monotonic()) > 0:
            self._stop.wait(min(left_s, POLL_S))
        return self._stopped()

    def _stopped(self) -> bool:
        return self._closed or self._stop.is_set()

    def _at_model(self, feed: Feed, chunk: Chunk) -> int:
        return max(1, round(chunk.lost_before * self.rate_hz / feed.rate_hz))

    def _report(self, kind: str, detail: str, lost_samples: int = 0) -> None:
        self._on_event(SourceEvent(kind, detail, lost_samples, self._clock()))

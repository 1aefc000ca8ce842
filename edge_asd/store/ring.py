"""The last seconds of a machine's sound in memory, and clips cut from them around an alarm's start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_asd.audio.block import AudioBlock

LATE_S = 30.0
"""An alarm is raised some time after it started (windows, smoothing, confirmation); the ring holds that much more."""
PIECE_S = 1.0
FULL_SCALE = 32768.0


@dataclass(frozen=True)
class Clip:
    """Sound around the start of an alarm.

    samples: int16 [n], what was lost left out. rate_hz: theirs.
    alarm_s: the alarm's start, seconds from the clip's.
    gaps: where sound was lost (seconds from the clip's start) and how much of it (s).
    """

    samples: np.ndarray
    rate_hz: int
    alarm_s: float
    gaps: tuple[tuple[float, float], ...]

    @property
    def duration_s(self) -> float:
        """Seconds of sound in it."""
        return len(self.samples) / self.rate_hz


@dataclass(frozen=True)
class _Wanted:
    begin: int
    start: int
    end: int
    keep: Callable[[Clip], None]


class ClipRing:
    """A Tap that remembers: 16-bit samples, as many as fit the longest clip, in memory only.

    rate_hz: of the sound. before_s: pre-roll before an alarm's start. after_s: post-roll after it was raised. A clip
    is at most before_s + after_s + 30 s long: of an alarm raised later than that, the pre-roll is cut.
    """

    def __init__(self, rate_hz: int, *, before_s: float, after_s: float) -> None:
        self._rate_hz = rate_hz
        self._before = round(before_s * rate_hz)
        self._after = round(after_s * rate_hz)
        self._piece = round(PIECE_S * rate_hz)
        self._samples = np.zeros(self._before + self._after + round(LATE_S * rate_hz) + self._piece, np.int16)
        self._written = 0
        self._stretches: list[tuple[int, int]] = []
        self._wanted: list[_Wanted] = []

    @property
    def position(self) -> int:
        """Place in the stream of the sample that comes next."""
        if not self._stretches:
            return 0
        written, position = self._stretches[-1]
        return position + self._written - written

    @property
    def memory_bytes(self) -> int:
        """What the remembered sound takes."""
        return self._samples.nbytes

    def hear(self, block: AudioBlock) -> None:
        """Take the next block."""
        if not self._stretches or block.position != self.position:
            # What is wanted of the time that was lost will not come: cut what ends within the gap now.
            self._cut(block.position)
            self._stretches.append((self._written, block.position))
        samples = block.samples * np.float32(FULL_SCALE)
        np.rint(samples, out=samples)
        np.minimum(samples, np.float32(FULL_SCALE - 1), out=samples)
        np.maximum(samples, np.float32(-FULL_SCALE), out=samples)
        for first in range(0, samples.size, self._piece):  # so that a long block does not run over what is wanted
            self._put(samples[first : first + self._piece])
            self._cut(self.position)

    def want(self, start: int, raised: int, keep: Callable[[Clip], None]) -> None:
        """Have a clip cut once its post-roll was heard.

        start, raised: places in the stream where the alarm starts and where it became known. keep: takes the clip.
        """
        self._wanted.append(_Wanted(start - self._before, start, raised + self._after, keep))
        self._cut(self.position)

    def finish(self) -> None:
        """No more sound comes: cut what is wanted as it stands."""
        for wanted in self._wanted:
            self._give(wanted)
        self._wanted.clear()

    def _put(self, samples: np.ndarray) -> None:
        at = self._written % self._samples.size
        head = min(samples.size, self._samples.size - at)
        self._samples[at : at + head] = samples[:head]
        if head < samples.size:
            self._samples[: samples.size - head] = samples[head:]
        self._written += samples.size
        oldest = self._written - self._samples.size
        while len(self._stretches) > 1 and self._stretches[1][0] <= oldest:
            del self._stretches[0]

    def _cut(self, position: int) -> None:
        if not self._wanted:
            return
        ready = [wanted for wanted in self._wanted if wanted.end <= position]
        self._wanted = [wanted for wanted in self._wanted if wanted.end > position]
        for wanted in ready:
            self._give(wanted)

    def _give(self, wanted: _Wanted) -> None:
        oldest = max(0, self._written - self._samples.size)
        pieces: list[np.ndarray] = []
        gaps: list[tuple[float, float]] = []
        kept = alarm_at = 0
        last: int | None = None
        for number, (written, position) in enumerate(self._stretches):
            end = self._stretches[number + 1][0] if number + 1 < len(self._stretches) else self._written
            shift = position - written
            first = max(oldest, written, wanted.begin - shift)
            stop = min(end, wanted.end - shift)
            if stop <= first:
                continue
            if last is not None:
                gaps.append((kept / self._rate_hz, (first + shift - last) / self._rate_hz))
            if wanted.start >= first + shift:
                alarm_at = kept + min(wanted.start - shift, stop) - first
            pieces.append(self._slice(first, stop))
            kept += stop - first
            last = stop + shift
        if kept:
            clip = Clip(np.concatenate(pieces), self._rate_hz, alarm_at / self._rate_hz, tuple(gaps))
            wanted.keep(clip)

    def _slice(self, first: int, stop: int) -> np.ndarray:
        at, n = first % self._samples.size, stop - first
        head = self._samples[at : at + n]
        return np.concatenate((head, self._samples[: n - head.size]))

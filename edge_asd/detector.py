"""The whole pipe, pure and testable: blocks of samples in, scored windows out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_asd.audio.block import AudioBlock, level_dbfs
from edge_asd.calibration.aggregation import Aggregation
from edge_asd.calibration.scale import SHOWN_THRESHOLD
from edge_asd.calibration.thresholds import Calibration
from edge_asd.contract import ModelContract
from edge_asd.explain import Explanation, stretch_frames
from edge_asd.frontend import LogMel
from edge_asd.inference import Embedder
from edge_asd.normal import NormalSound
from edge_asd.scorers import Features, uses_waveform
from edge_asd.windows import WindowAssembler, Windows


@dataclass(frozen=True)
class WindowScore:
    """One scored window of a stream. Higher = more anomalous.

    start_position, end_position: first sample and one past the last, at the model's rate.
    time: when the window ended, seconds since the Unix epoch (UTC).
    score: of the last windows, aggregated (the detector's smoothing): 0 to 100, see `edge_asd.calibration.scale`.
    window_score: of this window alone, among single normal windows, on the same scale.
    threshold, anomalous: where the live threshold stands on that scale (always 50), whether `score` is above it.
    level_dbfs: RMS level of the sound since the window before.
    frames_db: float32 [window_frames, n_mels], the window's log-mel, to explain it by.
    nearest: index of the enrolled window to explain this one against.
    features: what the scorers compared, by `ScorerSpec.features`, [1, f] each.
    stretch_db: float32 [n, n_mels], the window's log-mel and what came before it: `explain.stretch_frames` frames, or
        fewer at the start and after a gap.
    """

    start_position: int
    end_position: int
    time: float
    score: float
    window_score: float
    threshold: float
    anomalous: bool
    level_dbfs: float
    frames_db: np.ndarray
    nearest: int
    features: Features = field(default_factory=dict, repr=False, compare=False)
    stretch_db: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32), repr=False, compare=False)


@dataclass(frozen=True)
class LiveScore:
    """What the windows of a stream come to.

    score: of the last windows, aggregated, 0 to 100 with the threshold for as many windows at 50 (`calibration.scale`).
    threshold: 50. window_score: of the last window alone, with the threshold for single windows at 50.
    """

    score: float
    threshold: float
    window_score: float


class LiveScorer:
    """Distances of a stream's windows in, live scores out.

    calibrations: for scores of 1, 2, ... windows; a score takes in as many of the last windows as there are
        calibrations, or fewer at the start and after a gap, so the first score comes with the first window.
    aggregation: how those windows become one score, as the calibrations were fitted.
    """

    def __init__(self, calibrations: Sequence[Calibration], aggregation: Aggregation) -> None:
        self._calibrations = calibrations
        self._aggregation = aggregation
        self._recent: deque[np.ndarray] = deque(maxlen=len(calibrations))

    def reset(self) -> None:
        """Forget the windows so far."""
        self._recent.clear()

    def push(self, distances: np.ndarray) -> LiveScore:
        """Take the next window's distances from normal sound, [scorers]."""
        self._recent.append(distances)
        calibration = self._calibrations[len(self._recent) - 1]
        return LiveScore(
            score=_shown(calibration, self._aggregation.over(np.array(self._recent))),
            threshold=SHOWN_THRESHOLD,
            window_score=_shown(self._calibrations[0], distances),
        )


class Detector:
    """Scores a stream against one bundle.

    contract: of the model.
    normal: what its windows are compared with.
    calibrations, aggregation: see `LiveScorer`.
    embedder: the one the scorers were fitted with; None is enough where `normal.uses_network` is false.

    calibration: that of a score that takes in as many windows as it ever does.

    Samples are held back until they complete a window, so the front end always works in whole steps: the cheapest
    way, at no delay.
    """

    def __init__(
        self,
        contract: ModelContract,
        normal: NormalSound,
        calibrations: Sequence[Calibration],
        aggregation: Aggregation,
        embedder: Embedder | None,
    ) -> None:
        self.contract = contract
        self.calibration = calibrations[-1]
        self._normal = normal
        self._live = LiveScorer(calibrations, aggregation)
        self._embedder = embedder
        self._front_end = LogMel(self.contract.features, padded=False)
        self._assembler = WindowAssembler(self.contract)
        self._stretch_frames = stretch_frames(self.contract)
        self._window_samples = self.contract.window_samples
        self._step_samples = self.contract.step_frames * self.contract.features.hop_samples
        self._keeps_samples = uses_waveform(normal.specs, contract)
        self.reset()

    def reset(self) -> None:
        """Start afresh: nothing heard before counts. Called on every gap, so that no window spans one."""
        self._front_end.reset()
        self._assembler.reset()
        self._live.reset()
        self._stretch = np.empty((0, self.contract.features.n_mels), np.float32)
        self._held: list[np.ndarray] = []
        self._held_samples = 0
        self._needed_samples = self._window_samples
        self._window_start: int | None = None
        self._heard = np.empty(0, np.float32)

    def compare_with(self, normal: NormalSound) -> None:
        """From the next window on, compare with this: the same scorers, knowing more."""
        self._normal = normal

    def rehearse(self) -> None:
        """Score a window of silence and forget it: what takes memory takes it now, before anybody listens.

        Where there is too little, some libraries end the process with a word on a stream that a microphone's driver,
        once open, has had silenced (`edge_asd.audio.portaudio`).
        """
        self.push(AudioBlock(np.zeros(self._window_samples, np.float32), 0, 0.0))
        self.reset()

    def push(self, block: AudioBlock) -> list[WindowScore]:
        """Take the next block of the stream; give the windows it completes, oldest first."""
        if block.gap_samples:
            self.reset()
        if self._window_start is None:
            self._window_start = block.position
        self._held.append(block.samples)
        self._held_samples += block.samples.size
        scored = []
        while self._held_samples >= self._needed_samples:
            scored.append(self._next_window(block))
        return scored

    def explain(self, scores: Sequence[WindowScore]) -> Explanation:
        """What changed in these windows (at least one) against the normal windows nearest to them."""
        windows = np.stack([score.frames_db for score in scores])
        nearest = np.array([score.nearest for score in scores])
        whole = [score.stretch_db for score in scores if len(score.stretch_db) == self._stretch_frames]
        around = np.array(whole, np.float32).reshape(-1, self._stretch_frames, self.contract.features.n_mels)
        return self._normal.explain(windows, nearest, self.contract.features, around)

    def _next_window(self, block: AudioBlock) -> WindowScore:
        held = np.concatenate(self._held)
        fresh, rest = held[: self._needed_samples], held[self._needed_samples :]
        self._held, self._held_samples = [rest], rest.size
        self._needed_samples = self._step_samples
        new_frames = self._front_end.push(fresh)
        self._stretch = np.concatenate((self._stretch, new_frames))[-self._stretch_frames :]
        frames = self._assembler.push(new_frames)
        comparison = self._normal.compare(self._with_samples(frames, fresh), self._embedder)
        live = self._live.push(comparison.distances[0])
        assert self._window_start is not None
        start = self._window_start
        end = start + self._window_samples
        self._window_start += self._step_samples
        return WindowScore(
            start_position=start,
            end_position=end,
            time=block.captured_at + (end - block.position) / self.contract.features.rate_hz,
            score=live.score,
            window_score=live.window_score,
            threshold=live.threshold,
            anomalous=live.score > live.threshold,
            level_dbfs=level_dbfs(fresh),
            frames_db=frames[0],
            nearest=int(comparison.nearest[0]),
            features=comparison.features,
            stretch_db=self._stretch,
        )

    def _with_samples(self, frames: np.ndarray, fresh: np.ndarray) -> np.ndarray | Windows:
        """The window [1, window_frames, n_mels] as its scorers need it; fresh: the samples that completed it."""
        if not self._keeps_samples:
            return frames
        self._heard = np.concatenate((self._heard, fresh))[-self._window_samples :]
        return Windows(frames, self._heard[None])


def _shown(calibration: Calibration, distances: np.ndarray) -> float:
    return float(calibration.score(distances[None])[0])

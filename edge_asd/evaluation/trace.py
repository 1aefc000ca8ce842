"""A clip heard as a stream: its live score over time, and when that rose above the threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_asd.bundle.bundle import Bundle
from edge_asd.calibration.alarm_rate import Minima
from edge_asd.calibration.thresholds import confirming_windows
from edge_asd.monitor.alarm import AlarmSettings
from edge_asd.windows import window_starts


@dataclass(frozen=True)
class LiveTrace:
    """Live scores of one clip, one a window [k].

    times_s: when each window has been heard to its end, seconds from the clip's start.
    scores, thresholds: as `edge-asd run` would have had them, had the stream begun with the clip.
    alarms: separate times the score stayed above the threshold as long as an alarm takes to be confirmed; a clip
        shorter than that counts when it lies above from end to end. Counted as `calibration.alarm_rate` counts them, by
        which the threshold was set.
    """

    times_s: np.ndarray
    scores: np.ndarray
    thresholds: np.ndarray
    alarms: int

    def delay_s(self, onset_s: float | None) -> float:
        """Seconds from the onset (None: the clip's start) to the first moment above the threshold; inf if none.

        A window that ended before the onset cannot have heard it.
        """
        start_s = onset_s or 0.0
        above = self.times_s[(self.scores > self.thresholds) & (self.times_s > start_s)]
        return float(above[0]) - start_s if len(above) else math.inf


def live_trace(distances: np.ndarray, n_frames: int, bundle: Bundle) -> LiveTrace:
    """The live scores of a clip of `n_frames` log-mel frames, from its windows' distances [k, scorers].

    The last window of a clip that ends off the step is left out: a stream would not have stopped there.
    """
    contract, spec = bundle.contract, bundle.contract.features
    starts = window_starts(n_frames, contract)
    regular = starts % contract.step_frames == 0
    scorer = bundle.live_scorer()
    live = [scorer.push(row) for row in distances[regular]]
    # Frame i of a clip is centred on sample i * hop, and a window is heard when its last frame is.
    end_frames = np.minimum(starts[regular] + contract.window_frames, n_frames) - 1
    scores = np.array([one.score for one in live])
    thresholds = np.array([one.threshold for one in live])
    calibration = bundle.live_calibrations[-1]
    confirm_s = AlarmSettings.confirm_s if calibration.confirm_s is None else calibration.confirm_s
    above = Minima.of(
        [scores - thresholds],
        confirm_windows=confirming_windows(confirm_s, contract.step_s),
        smoothing_windows=len(bundle.live_calibrations),
        step_s=contract.step_s,
    )
    times_s = (end_frames * spec.hop_samples + spec.n_fft / 2) / spec.rate_hz
    return LiveTrace(times_s, scores, thresholds, above.events(0.0))

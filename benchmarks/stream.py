"""A stream to measure: a detector that is given the same sound step by step, as `edge-asd run` gives it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge_asd.audio.block import AudioBlock
from edge_asd.detector import Detector


def stream(detector: Detector, sound: np.ndarray, step_samples: int) -> Callable[[], object]:
    """A call that feeds the next step of `sound` (float32 [n], over and over) to `detector` and gives its scores."""
    position = 0

    def push() -> object:
        nonlocal position
        start = position % (sound.size - step_samples)
        scores = detector.push(AudioBlock(sound[start : start + step_samples], position, 0.0))
        position += step_samples
        return scores

    return push

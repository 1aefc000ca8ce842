"""Rows of levels in a byte each: what a bundle keeps of enrolled windows' statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STEPS = 255


@dataclass(frozen=True)
class Levels:
    """Rows [n, f] in dB, each feature in 256 even steps from its lowest to its highest value.

    codes: uint8 [n, f]. lowest, step: float32 [f], in dB. A value comes back to within half a step: 0.1 dB where a
    band moved by 50 dB during the enrolment, less elsewhere.
    """

    codes: np.ndarray
    lowest: np.ndarray
    step: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> Levels:
        """From float rows [n, f], n >= 1."""
        lowest = rows.min(axis=0).astype(np.float32)
        step = ((rows.max(axis=0) - lowest) / STEPS).astype(np.float32)
        codes = np.rint((rows - lowest) / np.where(step > 0.0, step, 1.0))
        return cls(np.clip(codes, 0, STEPS).astype(np.uint8), lowest, step)

    def rows(self) -> np.ndarray:
        """float32 [n, f]."""
        return self.lowest + self.step * self.codes.astype(np.float32)

"""The teacher's features as targets of the embedding's own size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_asd.errors import ConfigError


@dataclass(frozen=True)
class TeacherSpace:
    """The teacher turned onto its leading principal axes, its mean taken off first or not.

    Turning keeps every cosine but for what the axes left out hold, so the embedding itself can be the target and no
    projection stands between the two geometries.

    mean: [n], zeros where it is not taken off; axes: [n, d], orthonormal columns; kept: share of the power
    the axes hold.
    """

    mean: np.ndarray
    axes: np.ndarray
    kept: float

    @classmethod
    def fit(cls, features: np.ndarray, size: int, *, centred: bool) -> TeacherSpace:
        """From float32 features, one a row. A `size` above theirs is refused with ConfigError."""
        if size > features.shape[1]:
            raise ConfigError(f"model.embedding_size {size} is above the teacher's {features.shape[1]}")
        mean = features.mean(axis=0, dtype=np.float64) * centred
        rest = features - mean
        power, axes = np.linalg.eigh(rest.T @ rest)
        return cls(mean, axes[:, ::-1][:, :size], float(power[::-1][:size].sum() / max(power.sum(), 1e-30)))

    def apply(self, features: np.ndarray) -> np.ndarray:
        """[..., n] -> float32 [..., d]."""
        return ((features - self.mean) @ self.axes).astype(np.float32)

"""The teacher's features as targets of the embedding's own size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_asd.errors import ConfigError


@dataclass(frozen=True)
class TeacherSpace:
    """The teacher centred per dimension and turned onto its leading principal axes.

    Turning keeps every cosine but for what the axes left out hold, so the embedding itself can be the target and no
    projection stands between the two geometries.

    mean: [256]; axes: [256, d], orthonormal columns; kept: share of the variance the axes hold.
    """

    mean: np.ndarray
    axes: np.ndarray
    kept: float

    @classmethod
    def fit(cls, features: np.ndarray, size: int) -> TeacherSpace:
        """From float32 [n, 256] features. `size` above 256 is refused with ConfigError."""
        if size > features.shape[1]:
            raise ConfigError(f"model.embedding_size {size} is above the teacher's {features.shape[1]}")
        mean = features.mean(axis=0, dtype=np.float64)
        centred = features - mean
        power, axes = np.linalg.eigh(centred.T @ centred)
        return cls(mean, axes[:, ::-1][:, :size], float(power[::-1][:size].sum() / max(power.sum(), 1e-30)))

    def apply(self, features: np.ndarray) -> np.ndarray:
        """[..., 256] -> float32 [..., d]."""
        return ((features - self.mean) @ self.axes).astype(np.float32)

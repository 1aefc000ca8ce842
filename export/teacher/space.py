"""The teacher's features as targets of the embedding's own size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_asd.errors import ConfigError


@dataclass(frozen=True)
class TeacherSpace:
    """The teacher turned onto its leading principal axes, its mean taken off first or not.

    Turning keeps every cosine but for what the axes left out hold, so the embedding itself can be the target and no
    projection stands between the two geometries. Several hearings of one window stand side by side, each with the same
    power.

    mean: [hearings, n], zeros where it is not taken off; scales: [hearings, 1]; axes: [hearings * n, d], orthonormal
    columns; kept: share of the power the axes hold.
    """

    mean: np.ndarray
    scales: np.ndarray
    axes: np.ndarray
    kept: float

    @classmethod
    def fit(cls, features: np.ndarray, size: int, *, centred: bool) -> TeacherSpace:
        """From float32 features [..., hearings, n]. A `size` above hearings * n is refused with ConfigError."""
        hearings, n = features.shape[-2:]
        if size > hearings * n:
            raise ConfigError(f"model.embedding_size {size} is above the teacher's {hearings * n}")
        rows = features.reshape(-1, hearings, n)
        mean = rows.mean(axis=0, dtype=np.float64) * centred
        rest = rows - mean
        scales = 1.0 / np.sqrt(np.maximum(np.square(rest).sum(axis=2).mean(axis=0), 1e-30))[:, None]
        flat = (rest * scales).reshape(len(rows), -1)
        power, axes = np.linalg.eigh(flat.T @ flat)
        return cls(mean, scales, axes[:, ::-1][:, :size], float(power[::-1][:size].sum() / max(power.sum(), 1e-30)))

    def apply(self, features: np.ndarray) -> np.ndarray:
        """[..., hearings, n] -> float32 [..., d]."""
        scaled = (features - self.mean) * self.scales
        return (scaled.reshape(*features.shape[:-2], -1) @ self.axes).astype(np.float32)

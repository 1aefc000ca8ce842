"""Covariance from few samples: shrunk towards a sphere as far as the samples themselves advise."""

from __future__ import annotations

import numpy as np

MIN_VARIANCE = 1e-9
"""Of any direction: enrolments in a loop have none."""


def ledoit_wolf(centred: np.ndarray) -> np.ndarray:
    """Covariance float64 [f, f] of rows [n, f] whose mean has been taken off, positive definite for any n >= 1.

    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices" (2004): the mixture of
    sample covariance and scaled identity with the least expected squared error.
    """
    rows = np.asarray(centred, np.float64)
    n, width = rows.shape
    sample = rows.T @ rows / n
    level = float(np.trace(sample)) / width
    spread = float(np.square(sample).sum()) / width - level**2  # squared distance to the sphere, per feature
    noise = (float(np.square(np.square(rows).sum(axis=1)).sum()) / n - float(np.square(sample).sum())) / n / width
    share = 1.0 if spread <= 0.0 or n == 1 else min(max(noise / spread, 0.0), 1.0)
    sphere = max(share * level, MIN_VARIANCE)
    return (1.0 - share) * sample + sphere * np.eye(width)


def whitening(covariance: np.ndarray) -> np.ndarray:
    """float32 [f, f]: rows times it have unit covariance where theirs was `covariance`."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors / np.sqrt(np.maximum(values, MIN_VARIANCE))).astype(np.float32)

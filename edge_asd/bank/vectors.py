"""Unit vectors, and how they are kept as int8."""

from __future__ import annotations

import numpy as np

from edge_asd.errors import DataError

_TINY = 1e-12
"""Shorter than this is a zero vector: it has no direction."""


def unit_vectors(embeddings: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, float32 [n, d]; a zero row stays zero (distance 1 to everything)."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return (embeddings / np.maximum(lengths, _TINY)).astype(np.float32)


def checked(embeddings: np.ndarray, what: str = "embeddings") -> np.ndarray:
    """The embeddings if they are [n, d] finite numbers. Raises DataError naming the first row that is not."""
    if embeddings.ndim != 2:
        raise DataError(f"embedding bank: {what} of shape {list(embeddings.shape)}, expected [n, d]")
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all():
        raise DataError(f"embedding bank: row {int(finite.argmin())} of the {what} holds NaN or infinity")
    return embeddings


def quantised(unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors [n, d] as int8 [n, d] and float32 scales [n]: a row's largest coordinate becomes 127."""
    scales = np.maximum(np.abs(unit).max(axis=1), _TINY) / np.float32(127.0)
    return np.rint(unit / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def directions(vectors: np.ndarray) -> np.ndarray:
    """int8 rows [n, d] -> float32 unit vectors [n, d]; a row's own scale does not turn it."""
    return unit_vectors(vectors.astype(np.float32))

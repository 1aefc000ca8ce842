"""A Gaussian mixture fitted by expectation and maximisation, with covariances that few windows can carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edge_asd.scorers.clusters import k_means
from edge_asd.scorers.measure import Measure
from edge_asd.scorers.shrinkage import ledoit_wolf, whitening
from edge_asd.scorers.space import InSpace, Space

MAX_ROUNDS = 60
TOLERANCE = 1e-4
"""Gain of the mean log-likelihood, in nats a window and feature, below which the rounds end."""


@dataclass(frozen=True)
class GaussianMixture(InSpace, Measure):
    """How improbable x is under k Gaussians with full covariances.

    With rank-pooled log-mel this is TWFR-GMM (Guan et al., arXiv 2305.03328): a few thousand numbers, no network.
    Dempster, Laird and Rubin's EM (1977) from K-means. Each covariance is drawn towards the Ledoit-Wolf covariance
    around all centres with the weight of as many windows as there are features (the mode under an inverse-Wishart
    prior): minutes of sound do not fill 128 x 128 numbers for each Gaussian.

    The distance is sqrt(2 (highest component's peak - log p(x)) / f), which for one Gaussian is Mahalanobis' distance,
    root mean square over the features; it orders as the likelihood does.

    log_weights: float32 [c], log of weight times peak density, the largest 0. means: float32 [c, f] and matrices:
    float32 [c, f, g], each component's whitening, in the view's space. middle, scale: float32 [f], the space's.
    """

    ARRAYS: ClassVar[Mapping[str, tuple[str, str]]] = {
        "log_weights": ("float32", "c"),
        "means": ("float32", "cf"),
        "matrices": ("float32", "cfg"),
        "middle": ("float32", "f"),
        "scale": ("float32", "f"),
    }
    PARAMETERS: ClassVar[Mapping[str, tuple[float, float, float]]] = {"k": (2, 1, 64)}
    PROPORTIONAL: ClassVar[bool] = False

    metric: str
    log_weights: np.ndarray
    means: np.ndarray
    matrices: np.ndarray
    middle: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        target: np.ndarray | None = None,
        *,
        metric: str = "spread",
        seed: int = 0,
        k: int = 2,
    ) -> GaussianMixture:
        """From features [n, f]; both domains alike."""
        space = Space.fit(metric, features)
        rows = space.coordinates(features) * np.float32(np.sqrt(features.shape[1]))
        fitted = fit_mixture(rows, k, np.random.default_rng(seed))
        log_peaks = fitted.log_peaks - fitted.log_peaks.max()
        scale = space.scale * np.float32(np.sqrt(features.shape[1]))
        return cls(
            metric, log_peaks.astype(np.float32), fitted.means, fitted.matrices, space.middle, scale.astype(np.float32)
        )

    def distance(self, features: np.ndarray) -> np.ndarray:
        """float32 [k]."""
        rows = self._space.coordinates(features)
        if self.metric == "cosine":
            rows = rows * self.scale
        log_density = _log_sum(_log_joint(rows, self.log_weights, self.means, self.matrices))
        return np.sqrt(np.maximum(-2.0 * log_density, 0.0) / rows.shape[1]).astype(np.float32)


@dataclass(frozen=True)
class Mixture:
    """Fitted Gaussians: log of weight times peak density [c] (without the power of 2 pi), means [c, f] and whitening
    matrices [c, f, f]; `log_likelihoods` has the mean over the rows after each round, with the power of 2 pi."""

    log_peaks: np.ndarray
    means: np.ndarray
    matrices: np.ndarray
    log_likelihoods: tuple[float, ...]


def fit_mixture(rows: np.ndarray, k: int, rng: np.random.Generator, prior_rows: float | None = None) -> Mixture:
    """EM on rows [n, f] with at most k Gaussians.

    prior_rows: weight of the common covariance, in rows; unset: f.
    """
    n, width = rows.shape
    prior_rows = float(width) if prior_rows is None else prior_rows
    means, owner = k_means(rows, k, rng)
    common = ledoit_wolf(rows - means[owner])
    shares = np.eye(len(means))[owner]  # [n, c], what of each row each Gaussian answers for
    log_likelihoods: list[float] = []
    while True:
        counts = shares.sum(axis=0) + 1e-12
        means = ((shares.T @ rows) / counts[:, None]).astype(np.float32)
        matrices = np.empty((len(means), width, width), np.float32)
        log_peaks = np.log(counts / n)
        for i, mean in enumerate(means):
            centred = (rows - mean).astype(np.float64)
            scatter = (centred * shares[:, i, None]).T @ centred
            covariance = (scatter + prior_rows * common) / (counts[i] + prior_rows)
            matrices[i] = whitening(covariance)
            log_peaks[i] -= 0.5 * np.linalg.slogdet(covariance)[1]
        joint = _log_joint(rows, log_peaks, means, matrices)
        total = _log_sum(joint)
        log_likelihoods.append(float(total.mean()) - 0.5 * width * float(np.log(2.0 * np.pi)))
        gained = log_likelihoods[-1] - log_likelihoods[-2] if len(log_likelihoods) > 1 else np.inf
        if len(means) == 1 or gained < TOLERANCE * width or len(log_likelihoods) == MAX_ROUNDS:
            return Mixture(log_peaks, means, matrices, tuple(log_likelihoods))
        shares = np.exp(joint - total[:, None])


def _log_joint(rows: np.ndarray, log_peaks: np.ndarray, means: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """log of weight times density of each Gaussian at each row, float64 [n, c]."""
    squares = [np.square((rows - mean) @ matrix).sum(axis=1) for mean, matrix in zip(means, matrices, strict=True)]
    return np.asarray(log_peaks, np.float64) - 0.5 * np.stack(squares, axis=1).astype(np.float64)


def _log_sum(values: np.ndarray) -> np.ndarray:
    """log sum exp over the last axis."""
    top = values.max(axis=-1)
    return np.asarray(top + np.log(np.exp(values - top[..., None]).sum(axis=-1)))

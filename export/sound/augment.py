"""Making training sounds more various: speed, room and level of the recording, stripes and mixtures of the windows.

Recordings are changed before the front end hears them, so what the network learns from is what a device would feed it.
"""

from __future__ import annotations

import numpy as np

from edge_asd.simulator import Scene
from edge_asd.simulator.draws import log_uniform
from edge_asd.simulator.resonance import convolve
from export.recipe import AugmentSettings

FULL_SCALE = 32768.0
ROOM_RT60_S = (0.1, 0.8)
ROOM_DIRECT_DB = (-6.0, 15.0)


def speed_factor(settings: AugmentSettings, rng: np.random.Generator) -> float:
    """One of 1 - spread, 1 and 1 + spread, all as likely."""
    return 1.0 + settings.speed_spread * int(rng.integers(-1, 2))


def at_speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """The sound played `factor` times as fast: float32 [n] -> [about n / factor], pitch changed with it (Ko et al.
    2015, speed perturbation by resampling)."""
    if factor == 1.0:
        return samples
    import soxr

    return soxr.resample(samples, 1000.0 * factor, 1000.0).astype(np.float32, copy=False)


def in_room(samples: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """The sound as a random room returns it, float32 [n]; starts in the middle of the reverberation's build-up."""
    room = Scene(
        rt60_s=log_uniform(rng, *ROOM_RT60_S),
        direct_db=rng.uniform(*ROOM_DIRECT_DB),
        room_seed=int(rng.integers(2**31)),
    )
    return convolve(samples, room.path(rate_hz))


def taken_down(samples: np.ndarray, gain_db: float) -> np.ndarray:
    """Louder by `gain_db` and rounded to 16 bits again: a quieter recording has a nearer floor, a louder one clips."""
    steps = np.round(samples * (10.0 ** (gain_db / 20.0) * FULL_SCALE))
    return (np.clip(steps, -FULL_SCALE, FULL_SCALE - 1) / FULL_SCALE).astype(np.float32)


def changed(samples: np.ndarray, rate_hz: int, settings: AugmentSettings, rng: np.random.Generator) -> np.ndarray:
    """Room and level of one recording, float32 [n]; speed is the caller's, who knows how much sound it needs."""
    if rng.random() < settings.room_probability:
        samples = in_room(samples, rate_hz, rng)
    low_db, high_db = settings.level_db
    return taken_down(samples, rng.uniform(low_db, high_db)) if (low_db, high_db) != (0.0, 0.0) else samples


def masked(windows: np.ndarray, settings: AugmentSettings, rng: np.random.Generator) -> np.ndarray:
    """SpecAugment (Park et al. 2019) without warping: random stripes of each window take the window's mean.

    windows: float32 [n, frames, mels] in dB; changed in place and returned.
    """
    n_frames, n_mels = windows.shape[1:]
    for window in windows:
        mean = window.mean()
        for _ in range(settings.time_masks):
            width = int(rng.integers(min(settings.time_mask_frames, n_frames) + 1))
            start = int(rng.integers(n_frames - width + 1))
            window[start : start + width] = mean
        for _ in range(settings.mel_masks):
            width = int(rng.integers(min(settings.mel_mask_bands, n_mels) + 1))
            start = int(rng.integers(n_mels - width + 1))
            window[:, start : start + width] = mean
    return windows


def mixture(n: int, settings: AugmentSettings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Whom each of `n` windows is mixed with, int64 [n], and its own share, float32 [n]: 1 where it stays alone.

    Shares come from Beta(alpha, alpha) (Zhang et al. 2018).
    """
    partners = rng.permutation(n)
    shares = rng.beta(settings.mixup_alpha, settings.mixup_alpha, n)
    shares[rng.random(n) >= settings.mixup_probability] = 1.0
    return partners, shares.astype(np.float32)

"""Changes an embedder learns to tell from a machine's own sound: the labels of adaptation.

A network that can name how a sound was changed must hear what that machine's sound is made of (transformation labels,
as in Giri et al., "Self-supervised classification for detecting anomalous sounds", DCASE 2020). Speed is changed in the
samples, before the front end; the rest are changes of level that log-mel frames show exactly as the sound would.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edge_asd.contract import ModelContract
from edge_asd.frontend import LogMel, log_mel, mel_edges_hz
from edge_asd.windows import lengthened
from export.sound.augment import at_speed

SPEEDS = (1.06, 1.2)
TIME_SCALES = (1.25, 1.8)
TILTS_DB_PER_OCTAVE = (1.5, 4.0)
TILT_PIVOT_HZ, TILT_LOWEST_HZ = 1000.0, 60.0
BAND_SHARES = (0.06, 0.25)
BAND_STEPS_DB = (8.0, 25.0)


class Cutter:
    """Cuts windows out of clips at random places, each changed one way. `CHANGES` names the ways, by number."""

    def __init__(self, contract: ModelContract) -> None:
        self._contract = contract
        self._front_end = LogMel(contract.features, padded=False)
        centres = np.maximum(mel_edges_hz(contract.features)[1:-1], TILT_LOWEST_HZ)
        self._octaves = np.log2(centres / TILT_PIVOT_HZ).astype(np.float32)

    def window(self, samples: np.ndarray, change: int, rng: np.random.Generator) -> np.ndarray:
        """One window, float32 [window_frames, n_mels] in dB, of a clip's samples [n], n >= 1."""
        return CHANGES[CHANGE_NAMES[change]](self, samples, rng)

    def plain(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """As it is."""
        return self._frames(samples, self._contract.window_frames, rng)

    def faster(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Played faster: pitch and pace rise."""
        return self._frames(samples, self._contract.window_frames, rng, speed=rng.uniform(*SPEEDS))

    def slower(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Played slower: pitch and pace fall."""
        return self._frames(samples, self._contract.window_frames, rng, speed=1.0 / rng.uniform(*SPEEDS))

    def hurried(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Pace alone rises."""
        return self._paced(samples, rng.uniform(*TIME_SCALES), rng)

    def dragged(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Pace alone falls."""
        return self._paced(samples, 1.0 / rng.uniform(*TIME_SCALES), rng)

    def reversed(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """From its end to its start."""
        return self.plain(samples, rng)[::-1].copy()

    def brighter(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The spectrum tilted towards high bands."""
        return self._levels(self.plain(samples, rng) + rng.uniform(*TILTS_DB_PER_OCTAVE) * self._octaves)

    def darker(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The spectrum tilted towards low bands."""
        return self._levels(self.plain(samples, rng) - rng.uniform(*TILTS_DB_PER_OCTAVE) * self._octaves)

    def band_cut(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Some neighbouring bands weaker."""
        frames = self.plain(samples, rng)
        n_mels = frames.shape[1]
        width = max(1, round(n_mels * rng.uniform(*BAND_SHARES)))
        first = int(rng.integers(n_mels - width + 1))
        frames[:, first : first + width] -= rng.uniform(*BAND_STEPS_DB)
        return self._levels(frames)

    def _frames(self, samples: np.ndarray, n_frames: int, rng: np.random.Generator, speed: float = 1.0) -> np.ndarray:
        """`n_frames` frames from a random place, of a clip too short for that made long by the contract's rule."""
        spec = self._contract.features
        needed = (n_frames - 1) * spec.hop_samples + spec.n_fft
        # A resampler's last samples are short of neighbours: two more than needed cost nothing.
        source = needed if speed == 1.0 else math.ceil(needed * speed) + 2
        start = int(rng.integers(max(1, samples.size - source + 1)))
        heard = at_speed(samples[start : start + source], speed)
        if heard.size >= needed:
            self._front_end.reset()
            return self._front_end.push(heard)[:n_frames].copy()
        return lengthened(log_mel(heard, spec), n_frames, self._contract.short_clip)

    def _paced(self, samples: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
        """A window of frames read `factor` times as fast, between frames by straight lines."""
        n_frames = self._contract.window_frames
        frames = self._frames(samples, max(2, math.ceil(n_frames * factor) + 1), rng)
        at = np.minimum(np.arange(n_frames) * factor, len(frames) - 1.0)
        below = np.minimum(at.astype(int), len(frames) - 2)
        share = (at - below).astype(np.float32)[:, None]
        return (1.0 - share) * frames[below] + share * frames[below + 1]

    def _levels(self, frames: np.ndarray) -> np.ndarray:
        return np.maximum(frames, np.float32(self._contract.features.floor_db)).astype(np.float32)


Change = Callable[[Cutter, np.ndarray, np.random.Generator], np.ndarray]
CHANGES: dict[str, Change] = {
    "plain": Cutter.plain,
    "faster": Cutter.faster,
    "slower": Cutter.slower,
    "hurried": Cutter.hurried,
    "dragged": Cutter.dragged,
    "reversed": Cutter.reversed,
    "brighter": Cutter.brighter,
    "darker": Cutter.darker,
    "band cut": Cutter.band_cut,
}
CHANGE_NAMES = tuple(CHANGES)

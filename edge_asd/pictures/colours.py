"""The palette all pictures share: 256 entries, so that a PNG needs one byte a pixel and packs small.

Colours are laid out in Oklab (B. Ottosson, "A perceptual color space for image processing", 2020), whose lightness
follows the eye: equal steps in dB look equally large, in grey print and to colour-blind eyes too.
"""

from __future__ import annotations

import functools

import numpy as np

LEVELS = 64
"""Colours of each map: of 80 dB, a little over 1 dB a colour."""
INK_STEPS = 16
LEVEL_MAP = 0
CHANGE_MAP = LEVEL_MAP + LEVELS
GREY = CHANGE_MAP + LEVELS
"""White paper to black ink; so are the two after it, to the colours of two curves."""
HEARD = GREY + INK_STEPS
NORMAL = HEARD + INK_STEPS
MARK = NORMAL + INK_STEPS
PAPER, INK = GREY, GREY + INK_STEPS - 1
_INKS = {GREY: (0.10, 0.0, 0.0), HEARD: (0.55, 0.20, 35.0), NORMAL: (0.50, 0.16, 255.0)}
_MARK = (0.92, 0.19, 125.0)


@functools.cache
def palette() -> np.ndarray:
    """sRGB of every entry, uint8 [256, 3]."""
    table = np.zeros((256, 3), np.uint8)
    share = np.linspace(0.0, 1.0, LEVELS)
    # Night blue over red to pale yellow; chroma is least at the ends, where there is no room for it.
    hue = np.interp(share, [0.0, 0.35, 0.7, 1.0], [275.0, 340.0, 410.0, 468.0])
    table[LEVEL_MAP : LEVEL_MAP + LEVELS] = _srgb(0.12 + 0.85 * share, 0.03 + 0.60 * share * (1.0 - share), hue)
    # Quieter is blue, louder is red, unchanged is nearly white; both arms darken alike.
    side = np.linspace(-1.0, 1.0, LEVELS)
    table[CHANGE_MAP : CHANGE_MAP + LEVELS] = _srgb(
        0.97 - 0.55 * np.abs(side), 0.19 * np.abs(side) ** 0.8, np.where(side < 0, 255.0, 30.0)
    )
    depth = np.linspace(0.0, 1.0, INK_STEPS)
    for start, (lightness, chroma, hue_degrees) in _INKS.items():
        table[start : start + INK_STEPS] = _srgb(1.0 - depth * (1.0 - lightness), depth * chroma, hue_degrees)
    table[MARK] = _srgb(*(np.array([value]) for value in _MARK))[0]
    return table


def _srgb(lightness: np.ndarray, chroma: np.ndarray, hue_degrees: np.ndarray | float) -> np.ndarray:
    """Oklab in polar form -> sRGB bytes [n, 3]; what the screen cannot show is clipped."""
    hue = np.deg2rad(hue_degrees)
    a, b = chroma * np.cos(hue), chroma * np.sin(hue)
    cone = np.stack(
        (
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        )
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(to_linear @ cone**3, 0.0, 1.0).T
    gamma = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255.0 * gamma).astype(np.uint8)

"""Where seconds, Hz and dB lie on a picture, and the scales beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_asd.contract import LogMelSpec
from edge_asd.frontend import mel_edges_hz
from edge_asd.pictures import colours
from edge_asd.pictures.canvas import FONT_PX, Canvas, text_width

TICK_PX = 4
LETTER_PX = FONT_PX
_FREQUENCIES_HZ = (
    100, 200, 500, 1000, 2000, 3000, 4000, 5000, 6000, 8000, 10000, 12000, 16000, 20000, 24000, 32000, 48000,
)  # fmt: skip
_FREQUENCY_ORDER = sorted(_FREQUENCIES_HZ, key=lambda hz: (hz not in (500, 1000, 2000, 4000, 8000), hz))
"""Octaves are written first; the others where there is still room."""


@dataclass(frozen=True)
class Area:
    """A rectangle of the picture, in pixels; right and bottom excluded."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top


def band_of_hz(hz: np.ndarray | float, spec: LogMelSpec) -> np.ndarray:
    """Position on the mel axis: 0 at the lower edge of the lowest band's row, n_mels at the highest's upper edge."""
    position = np.interp(hz, mel_edges_hz(spec), np.arange(spec.n_mels + 2) - 0.5)
    return np.clip(position, 0.0, spec.n_mels)


def frequency_ticks(spec: LogMelSpec, place: Callable[[float], float], room_px: float) -> list[tuple[float, str]]:
    """Frequencies worth naming as (pixel, words): `place` gives the pixel, neighbours keep `room_px` apart."""
    centres = mel_edges_hz(spec)[1:-1]
    ticks: list[tuple[float, str]] = []
    for hz in _FREQUENCY_ORDER:
        if not centres[0] <= hz <= spec.fmax_hz:
            continue
        at = place(float(hz))
        if all(abs(at - other) >= room_px for other, _ in ticks):
            ticks.append((at, str(hz)))
    return ticks


def round_ticks(low: float, high: float, most: int) -> np.ndarray:
    """At most `most` (or a few) round numbers between two, a round step apart."""
    span = max(high - low, 1e-9)
    power = 10.0 ** np.floor(np.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if span / (power * factor) <= most)
    return np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step + 0.0  # -0 becomes 0


def time_axis(canvas: Canvas, area: Area, duration_s: float) -> None:
    """Seconds under a picture."""
    for second in round_ticks(0.0, duration_s, max(2, area.width // 70)):
        x = area.left + second / duration_s * area.width
        canvas.fill(x, area.bottom, x + 1, area.bottom + TICK_PX, colours.INK)
        words = f"{second:g}"
        centre = min(x, area.right - text_width(words) / 2)
        canvas.text(centre, area.bottom + TICK_PX + 1, words, anchor="middle")
    canvas.text(area.right + 8, area.bottom + TICK_PX + 1, "s")


def mel_axis(canvas: Canvas, area: Area, spec: LogMelSpec) -> None:
    """Hz to the left of a picture of mel bands."""

    def row(hz: float) -> float:
        return area.bottom - float(band_of_hz(hz, spec)) / spec.n_mels * area.height

    for y, words in frequency_ticks(spec, row, LETTER_PX + 3):
        canvas.fill(area.left - TICK_PX, y, area.left, y + 1, colours.INK)
        top = min(max(y - LETTER_PX / 2 - 1, area.top - 2), area.bottom - LETTER_PX)
        canvas.text(area.left - TICK_PX - 3, top, words, anchor="right")
    canvas.text(area.left - TICK_PX - 3, area.top - LETTER_PX - 6, "Hz", anchor="right")


def colour_bar(canvas: Canvas, area: Area, low_db: float, high_db: float, first_colour: int) -> None:
    """The meaning of the colours, right of a picture; `area` is the bar itself."""
    share = np.linspace(1.0, 0.0, area.height)
    column = first_colour + np.rint(share * (colours.LEVELS - 1)).astype(np.uint8)
    canvas.pixels[area.top : area.bottom, area.left : area.right] = column[:, None]
    canvas.frame(area.left - 1, area.top - 1, area.right + 1, area.bottom + 1, colours.INK)
    for level in round_ticks(low_db, high_db, max(2, area.height // 40)):
        y = area.bottom - (level - low_db) / (high_db - low_db) * area.height
        canvas.fill(area.right, y, area.right + TICK_PX, y + 1, colours.INK)
        top = min(max(y - LETTER_PX / 2 - 1, area.top - 2), area.bottom - LETTER_PX)
        sign = "+" if first_colour == colours.CHANGE_MAP and level > 0 else ""
        canvas.text(area.right + TICK_PX + 3, top, f"{sign}{level:g}")
    canvas.text(area.left, area.top - LETTER_PX - 6, "dB")

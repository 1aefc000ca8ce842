"""What `edge-asd explain` shows: the sound, how it differs from the nearest normal sound, and both mean spectra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_asd.contract import LogMelSpec
from edge_asd.pictures import colours
from edge_asd.pictures.axes import LETTER_PX, TICK_PX, Area, band_of_hz, frequency_ticks, round_ticks
from edge_asd.pictures.canvas import FONT_PX, Canvas, shortened, text_width
from edge_asd.pictures.spectrogram import (
    LEFT_PX,
    WIDTH_PX,
    Mark,
    draw_marks,
    draw_panel,
    duration_s,
    level_range,
    panel_area,
)

LINE_PX = FONT_PX + 6
HEAD_PX, BETWEEN_PX, CURVES_PX, FOOT_PX = 8, 58, 190, 30
SMOOTHED_FRAMES = 5
"""The difference is averaged over this many frames: noise differs from its own mean by 5 dB all the time."""
LEAST_CHANGE_DB, LARGEST_CHANGE_DB = 12.0, 40.0
DASH_PX = 6
RANGE_SHADE = colours.GREY + 2


@dataclass(frozen=True)
class Spectra:
    """Mean spectra in dB, each [n_mels]: of the sound in question, of the nearest normal windows, and the lowest and
    highest that normal windows have."""

    heard: np.ndarray
    normal: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray


def comparison_png(
    frames_db: np.ndarray,
    normal_db: np.ndarray,
    spectra: Spectra,
    spec: LogMelSpec,
    *,
    title: str,
    lines: Sequence[str] = (),
    marks: Sequence[Mark] = (),
    moment_s: float | None = None,
) -> bytes:
    """A PNG picture of a sound against normal sound, 800 pixels wide.

    frames_db: float32 [n, n_mels], n >= 1. normal_db: the normal level of each frame, of the same shape.
    title, lines: what the picture says, in words. marks: boxes on the sound. moment_s: seconds from the start, marked.

    Raises DataError for another shape, UnavailableError where Pillow is missing.
    """
    range_db = level_range(frames_db, spec)
    head = HEAD_PX + LINE_PX * (1 + len(lines)) + 2 * LINE_PX
    sound, below = panel_area(spec, head, WIDTH_PX)
    changes, below = panel_area(spec, below + BETWEEN_PX, WIDTH_PX)
    curves = Area(LEFT_PX, below + BETWEEN_PX, sound.right, below + BETWEEN_PX + CURVES_PX)
    canvas = Canvas(WIDTH_PX, curves.bottom + FOOT_PX)
    for row, words in enumerate([title, *lines]):
        canvas.text(LEFT_PX if row == 0 else LEFT_PX + 12, HEAD_PX + row * LINE_PX, shortened(words, WIDTH_PX - 80))
    seconds = duration_s(frames_db, spec)
    moment = "" if moment_s is None else f"; dashed: the highest score, at {moment_s:.1f} s"
    _caption(canvas, sound, f"this sound{moment}")
    draw_panel(canvas, sound, frames_db, spec, range_db, colours.LEVEL_MAP)
    _caption(canvas, changes, "difference from the nearest normal sound: red is louder, blue is quieter")
    change = _smoothed(frames_db - normal_db)
    largest = float(np.clip(np.percentile(np.abs(change), 99.5), LEAST_CHANGE_DB, LARGEST_CHANGE_DB))
    draw_panel(canvas, changes, change, spec, (-largest, largest), colours.CHANGE_MAP)
    if moment_s is not None:
        for area, colour in ((sound, colours.MARK), (changes, colours.INK)):
            _dashed(canvas, area, moment_s / seconds, colour)
    draw_marks(canvas, sound, marks, seconds, spec)
    _draw_curves(canvas, curves, spectra, spec)
    return canvas.png()


def _caption(canvas: Canvas, area: Area, words: str) -> None:
    canvas.text(area.left, area.top - LINE_PX - 1, words)


def _smoothed(change_db: np.ndarray) -> np.ndarray:
    """Moving mean over time; shorter at the ends."""
    total = np.cumsum(np.pad(change_db, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    first = np.maximum(np.arange(len(change_db)) - SMOOTHED_FRAMES // 2, 0)
    end = np.minimum(np.arange(len(change_db)) + SMOOTHED_FRAMES // 2 + 1, len(change_db))
    return ((total[end] - total[first]) / (end - first)[:, None]).astype(np.float32)


def _dashed(canvas: Canvas, area: Area, share: float, colour: int) -> None:
    x = area.left + min(max(share, 0.0), 1.0) * (area.width - 2)
    for top in range(area.top, area.bottom, 2 * DASH_PX):
        canvas.fill(x, top, x + 2, min(top + DASH_PX, area.bottom), colour)


def _draw_curves(canvas: Canvas, area: Area, spectra: Spectra, spec: LogMelSpec) -> None:
    """Level over frequency: the range of normal as a grey field, the two spectra as lines on it."""
    every = np.stack((spectra.heard, spectra.normal, spectra.lowest, spectra.highest))
    low_db, high_db = float(every.min()) - 2.0, float(every.max()) + 2.0

    def row(level_db: np.ndarray | float) -> np.ndarray:
        return area.bottom - (np.asarray(level_db, np.float64) - low_db) / (high_db - low_db) * area.height

    x = area.left + (np.arange(spec.n_mels) + 0.5) / spec.n_mels * area.width
    columns = np.arange(area.left, area.right)
    tops, bottoms = (np.interp(columns, x, row(edge)).tolist() for edge in (spectra.highest, spectra.lowest))
    for column, top, bottom in zip(columns.tolist(), tops, bottoms, strict=True):
        canvas.fill(column, top, column + 1, bottom + 1, RANGE_SHADE)
    for level in round_ticks(low_db, high_db, 5):
        y = float(row(level))
        canvas.fill(area.left - TICK_PX, y, area.left, y + 1, colours.INK)
        canvas.text(area.left - TICK_PX - 3, y - LETTER_PX / 2 - 1, f"{level:g}", anchor="right")
    canvas.text(area.left - TICK_PX - 3, area.top - LINE_PX - 1, "dB", anchor="right")

    def column_of(hz: float) -> float:
        return area.left + float(band_of_hz(hz, spec)) / spec.n_mels * area.width

    for at, words in frequency_ticks(spec, column_of, 44.0):
        canvas.fill(at, area.bottom, at + 1, area.bottom + TICK_PX, colours.INK)
        canvas.text(min(at, area.right - text_width(words) / 2), area.bottom + TICK_PX + 1, words, anchor="middle")
    canvas.text(area.right + 8, area.bottom + TICK_PX + 1, "Hz")
    canvas.curve(x, row(spectra.normal), colours.NORMAL)
    canvas.curve(x, row(spectra.heard), colours.HEARD)
    canvas.frame(area.left - 1, area.top - 1, area.right + 1, area.bottom + 1, colours.INK)
    left: float = area.left
    parts = ("mean spectra:", "this sound,", "the nearest normal sound,", "the range of normal (grey)")
    for part, ramp in zip(parts, (colours.GREY, colours.HEARD, colours.NORMAL, colours.GREY), strict=True):
        canvas.text(left, area.top - LINE_PX - 1, part, ramp=ramp)
        left += text_width(part) + 6

"""A spectrogram: log-mel frames over seconds and Hz, with boxes around what is meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_asd.contract import LogMelSpec
from edge_asd.errors import DataError
from edge_asd.pictures import colours
from edge_asd.pictures.axes import LETTER_PX, Area, band_of_hz, colour_bar, mel_axis, time_axis
from edge_asd.pictures.canvas import Canvas, shortened, text_width

WIDTH_PX = 800
PANEL_PX = 256
"""About this high: a whole number of rows for each band."""
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 54, 74, 44, 28
BAR_GAP_PX, BAR_PX = 14, 12
RANGE_DB = 80.0
"""Quieter than this under the loudest is all the darkest colour."""
LEAST_RANGE_DB = 20.0
SHORT_SHARE = 4
"""A label is short where its box is this many times as wide."""


@dataclass(frozen=True)
class Mark:
    """A box around a part of a spectrogram.

    start_s, end_s: from when to when, seconds from the picture's start.
    low_hz, high_hz: from where to where.
    label: a word or two, written beside it; empty for none.
    """

    start_s: float
    end_s: float
    low_hz: float
    high_hz: float
    label: str = ""


def spectrogram_png(
    frames_db: np.ndarray, spec: LogMelSpec, *, title: str, marks: Sequence[Mark] = (), width_px: int = WIDTH_PX
) -> bytes:
    """A PNG picture of log-mel frames, float32 [n, n_mels] in dB, n >= 1; about 800 x 330 pixels.

    More frames than pixels: each column shows its loudest frame in every band, so that no click is lost.

    Raises DataError for another shape, UnavailableError where Pillow is missing.
    """
    area, height = panel_area(spec, TOP_PX, width_px)
    canvas = Canvas(width_px, height + BOTTOM_PX)
    canvas.text(area.left, 6, shortened(title, width_px - area.left - 8))
    low_db, high_db = level_range(frames_db, spec)
    draw_panel(canvas, area, frames_db, spec, (low_db, high_db), colours.LEVEL_MAP)
    draw_marks(canvas, area, marks, duration_s(frames_db, spec), spec)
    return canvas.png()


def panel_area(spec: LogMelSpec, top: int, width_px: int) -> tuple[Area, int]:
    """Where a spectrogram whose top lies at `top` goes, and its bottom."""
    bottom = top + spec.n_mels * max(1, round(PANEL_PX / spec.n_mels))
    return Area(LEFT_PX, top, max(LEFT_PX + 100, width_px - RIGHT_PX), bottom), bottom


def duration_s(frames_db: np.ndarray, spec: LogMelSpec) -> float:
    """Seconds that log-mel frames [n, n_mels] stand for, one hop each."""
    return len(frames_db) * spec.hop_samples / spec.rate_hz


def level_range(frames_db: np.ndarray, spec: LogMelSpec) -> tuple[float, float]:
    """The dB the darkest and the brightest colour stand for. Raises DataError unless float [n, n_mels], n >= 1."""
    if frames_db.ndim != 2 or frames_db.shape[1] != spec.n_mels or len(frames_db) == 0:
        raise DataError(f"picture of frames {list(frames_db.shape)}, expected [n, {spec.n_mels}] with n at least 1")
    high_db = float(frames_db.max())
    # Stray pauses and a band that the microphone lacks should not spend half of the colours.
    quiet_db = float(np.percentile(frames_db, 2.0))
    return min(max(quiet_db, high_db - RANGE_DB), high_db - LEAST_RANGE_DB), high_db


def draw_panel(
    canvas: Canvas,
    area: Area,
    frames_db: np.ndarray,
    spec: LogMelSpec,
    range_db: tuple[float, float],
    first_colour: int,
) -> None:
    """One spectrogram with its axes and its colour bar."""
    low_db, high_db = range_db
    columns = _columns(frames_db, area.width, largest=np.abs if first_colour == colours.CHANGE_MAP else None)
    share = (columns - low_db) * (1.0 / (high_db - low_db))
    index = first_colour + np.clip(np.rint(share * (colours.LEVELS - 1)), 0, colours.LEVELS - 1).astype(np.uint8)
    rows = np.repeat(index.T[::-1], area.height // spec.n_mels, axis=0)
    canvas.pixels[area.top : area.bottom, area.left : area.right] = rows
    canvas.frame(area.left - 1, area.top - 1, area.right + 1, area.bottom + 1, colours.INK)
    mel_axis(canvas, area, spec)
    time_axis(canvas, area, duration_s(frames_db, spec))
    bar = Area(area.right + BAR_GAP_PX, area.top, area.right + BAR_GAP_PX + BAR_PX, area.bottom)
    colour_bar(canvas, bar, low_db, high_db, first_colour)


def draw_marks(canvas: Canvas, area: Area, marks: Sequence[Mark], seconds: float, spec: LogMelSpec) -> None:
    """Boxes on a spectrogram of `seconds`, each with its label where it covers no other."""
    taken: list[Area] = []
    boxes = [_box(area, mark, seconds, spec) for mark in marks]
    for box in boxes:
        canvas.frame(box.left - 1, box.top - 1, box.right + 1, box.bottom + 1, colours.INK)
        canvas.frame(box.left, box.top, box.right, box.bottom, colours.MARK, 2)
    for mark, box in zip(marks, boxes, strict=True):
        if mark.label:
            words = shortened(mark.label, area.width - 8)
            spot = _free_spot(area, box, text_width(words) + 6, LETTER_PX + 4, taken)
            taken.append(spot)
            canvas.fill(spot.left, spot.top, spot.right, spot.bottom, colours.PAPER)
            canvas.frame(spot.left, spot.top, spot.right, spot.bottom, colours.INK)
            canvas.text(spot.left + 3, spot.top + 1, words)


def _columns(frames_db: np.ndarray, width: int, largest: np.ufunc | None) -> np.ndarray:
    """Frames as [width, n_mels]: repeated where they are few, the largest of each column where they are many."""
    n = len(frames_db)
    starts = np.arange(width) * n // width
    if n <= width:
        return frames_db[starts]
    if largest is None:
        return np.maximum.reduceat(frames_db, starts, axis=0)
    up = np.maximum.reduceat(frames_db, starts, axis=0)
    down = np.minimum.reduceat(frames_db, starts, axis=0)
    return np.where(largest(down) > up, down, up)


def _box(area: Area, mark: Mark, seconds: float, spec: LogMelSpec) -> Area:
    """The mark's edges in pixels, inside the area and at least some pixels wide and high."""
    x = area.left + np.clip([mark.start_s / seconds, mark.end_s / seconds], 0.0, 1.0) * area.width
    y = area.bottom - band_of_hz(np.array([mark.high_hz, mark.low_hz]), spec) / spec.n_mels * area.height
    (left, right), (top, bottom) = _widened(x, area.left, area.right), _widened(y, area.top, area.bottom)
    return Area(left, top, right, bottom)


def _widened(edges: np.ndarray, first: int, last: int, least: int = 8) -> tuple[int, int]:
    middle, half = float(edges.mean()), max(least, float(edges[1] - edges[0])) / 2
    low = min(max(middle - half, first), last - least)
    return round(low), round(max(low + least, min(middle + half, last)))


def _free_spot(area: Area, box: Area, width: int, height: int, taken: Sequence[Area]) -> Area:
    """Room for a label, the first that covers no other label.

    A short label goes into its box or left of it, a long one above it, under it or into it; else further down.
    """
    left = min(max(box.left, area.left), area.right - width)
    corners = [(left, box.top - height - 1), (left, box.bottom + 1), (left, box.top + 2)]
    if SHORT_SHARE * width <= box.width:
        inside = [(left, box.top)] if box.height >= height + 2 else []
        corners = [*inside, (box.left - width, (box.top + box.bottom - height) // 2), *corners]
    corners += [(left, top) for top in range(area.top, area.bottom - height, height)]
    spots = [
        Area(x, y, x + width, y + height)
        for x, y in corners
        if area.left <= x <= area.right - width and area.top <= y <= area.bottom - height
    ]
    return next((spot for spot in spots if not any(_overlap(spot, other) for other in taken)), spots[0])


def _overlap(one: Area, other: Area) -> bool:
    return one.left < other.right and other.left < one.right and one.top < other.bottom and other.top < one.bottom

"""A sheet of palette indices to draw on: rectangles are slices of an array; text, curves and PNG come from Pillow."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_asd.errors import UnavailableError
from edge_asd.pictures import colours

if TYPE_CHECKING:
    from types import ModuleType

FONT_PX = 13
_FINE = 3
"""Curves are drawn this many times larger and averaged down, for smooth edges."""


class Canvas:
    """White paper of `width` x `height` pixels; y grows downwards.

    Raises UnavailableError where Pillow is missing.
    """

    def __init__(self, width: int, height: int) -> None:
        _pillow("Image")
        self.pixels = np.full((height, width), colours.PAPER, np.uint8)

    @property
    def width(self) -> int:
        """In pixels."""
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        """In pixels."""
        return self.pixels.shape[0]

    def fill(self, left: float, top: float, right: float, bottom: float, colour: int) -> None:
        """Fill a rectangle, right and bottom edge excluded; what lies outside the paper is cut."""
        rows = slice(max(0, round(top)), max(0, round(bottom)))
        self.pixels[rows, max(0, round(left)) : max(0, round(right))] = colour

    def frame(self, left: float, top: float, right: float, bottom: float, colour: int, thick: int = 1) -> None:
        """Draw a rectangle's outline, inside the given edges."""
        self.fill(left, top, right, top + thick, colour)
        self.fill(left, bottom - thick, right, bottom, colour)
        self.fill(left, top, left + thick, bottom, colour)
        self.fill(right - thick, top, right, bottom, colour)

    def text(self, x: float, y: float, words: str, *, anchor: str = "left", ramp: int = colours.GREY) -> None:
        """Write one line on white paper. (x, y): its top and its left end, its middle or its right end."""
        mask = _lettering(words)
        left = round(x - {"left": 0.0, "middle": 0.5, "right": 1.0}[anchor] * mask.shape[1])
        self._blend(mask, max(0, left), max(0, round(y)), ramp)

    def curve(self, x: np.ndarray, y: np.ndarray, ramp: int, *, thick: float = 2.0) -> None:
        """Draw a line through the points (x, y) in pixels, each [n]."""
        left, top = int(x.min()) - 3, int(y.min()) - 3
        width, height = int(x.max()) - left + 4, int(y.max()) - top + 4
        fine = _pillow("Image").new("L", (_FINE * width, _FINE * height), 0)
        points = np.stack((_FINE * (x - left), _FINE * (y - top)), axis=1)
        _pillow("ImageDraw").Draw(fine).line(points.ravel().tolist(), 255, round(_FINE * thick), joint="curve")
        mask = np.asarray(fine.reduce(_FINE))
        cut_left, cut_top = max(0, -left), max(0, -top)
        self._blend(mask[cut_top:, cut_left:], max(0, left), max(0, top), ramp)

    def png(self) -> bytes:
        """The picture as a PNG file."""
        image = _pillow("Image").fromarray(self.pixels, "L")
        image.putpalette(colours.palette().tobytes())
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=6)
        return file.getvalue()

    def _blend(self, mask: np.ndarray, left: int, top: int, ramp: int) -> None:
        """Put ink where the mask (0-255) says; the ramp's shades pass over to white."""
        ground = self.pixels[top : top + mask.shape[0], left : left + mask.shape[1]]
        shade = (mask[: ground.shape[0], : ground.shape[1]].astype(np.uint16) * (colours.INK_STEPS - 1) + 127) // 255
        np.copyto(ground, (ramp + shade).astype(np.uint8), where=shade > 0)


def text_width(words: str) -> int:
    """Pixels one line of text takes."""
    left, _, right, _ = _font().getbbox(_writable(words))
    return int(np.ceil(right - min(0, left)))


def shortened(words: str, width: float) -> str:
    """The text, cut in the middle where it is wider than `width` pixels."""
    if text_width(words) <= width:
        return words
    kept = next((n for n in range(len(words) // 2, 0, -1) if text_width(f"{words[:n]}...{words[-n:]}") <= width), 0)
    return f"{words[:kept]}...{words[len(words) - kept :]}"


def _lettering(words: str) -> np.ndarray:
    """Coverage of one line of text, uint8 [height, width]."""
    writable = _writable(words)
    image = _pillow("Image").new("L", (max(1, text_width(words)), FONT_PX + 4), 0)
    _pillow("ImageDraw").Draw(image).text((0, 0), writable, fill=255, font=_font())
    return np.asarray(image)


def _writable(words: str) -> str:
    """What the built-in font has no letter for becomes a question mark."""
    return words.encode("latin-1", "replace").decode("latin-1")


@functools.cache
def _font() -> Any:
    load_default = _pillow("ImageFont").load_default
    try:
        return load_default(FONT_PX)
    except TypeError:  # Pillow before 10.1 (Debian 12's) has one size, of bitmaps
        return load_default()


@functools.cache
def _pillow(module: str) -> ModuleType:
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise UnavailableError(
            f"pictures need Pillow, which cannot be loaded: {error}",
            remedy="pip install pillow, or apt install python3-pil",
        ) from error
    return {"Image": Image, "ImageDraw": ImageDraw, "ImageFont": ImageFont}[module]

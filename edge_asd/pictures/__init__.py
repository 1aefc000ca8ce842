"""Pictures of sound as small PNG files. Pillow loads on first use."""

from __future__ import annotations

from edge_asd.pictures.comparison import Spectra, comparison_png
from edge_asd.pictures.spectrogram import Mark, spectrogram_png

__all__ = ["Mark", "Spectra", "comparison_png", "spectrogram_png"]

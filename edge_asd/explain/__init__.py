"""Why a sound is anomalous, in words and numbers: what differs from the normal windows nearest to it."""

from __future__ import annotations

from edge_asd.explain.explaining import explain
from edge_asd.explain.findings import BandChange, Explanation, Finding
from edge_asd.explain.rhythm import recording_spectra, stretch_frames

__all__ = ["BandChange", "Explanation", "Finding", "explain", "recording_spectra", "stretch_frames"]

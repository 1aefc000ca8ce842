"""The setting of the session allowance: auto, none, or a factor. What it does: `edge_asd.calibration.sessions`."""

from __future__ import annotations

from edge_asd.errors import DataError

AUTO, NONE = "auto", "none"
LARGEST = 10.0
WORDS = f"auto, none or a factor from 1 to {LARGEST:g}"


def parse_allowance(text: str) -> float | None:
    """None for "auto", 1 for "none", else the factor. Raises DataError for anything else."""
    if text == AUTO:
        return None
    try:
        factor = 1.0 if text == NONE else float(text)
    except ValueError:
        factor = 0.0
    if not 1.0 <= factor <= LARGEST:
        raise DataError(f"{text!r} is no session allowance", remedy=f"give {WORDS}")
    return factor

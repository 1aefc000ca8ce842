"""How times and figures are written wherever a program may read them."""

from __future__ import annotations

from datetime import datetime, timezone


def iso_utc(seconds: float) -> str:
    """Unix seconds as `2026-01-31T12:00:00.250Z`, rounded to the millisecond."""
    milliseconds = round(seconds * 1000)
    moment = datetime.fromtimestamp(milliseconds // 1000, tz=timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def digits(value: float) -> float:
    """Six significant digits: more is noise, and doubles the size of a log."""
    return float(f"{float(value):.6g}")

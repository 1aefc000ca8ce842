"""How times and figures are written wherever a program may read them."""

from __future__ import annotations

import re
from datetime import datetime, timezone


def iso_utc(seconds: float) -> str:
    """Unix seconds as `2026-01-31T12:00:00.250Z`, rounded to the millisecond."""
    milliseconds = round(seconds * 1000)
    moment = datetime.fromtimestamp(milliseconds // 1000, tz=timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def digits(value: float) -> float:
    """Six significant digits: more is noise, and doubles the size of a log."""
    return float(f"{float(value):.6g}")


_UNITS_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def bytes_meant(text: str) -> int:
    """Bytes meant by "65536", "64KiB", "1MB" or "1.5 MiB"; at least 1. Raises ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-z]*)", text.strip().lower())
    if match is None or match[2] not in _UNITS_BYTES:
        raise ValueError(f"{text!r} is no size; write 65536, 64KiB, 100kB or 1MiB")
    total = round(float(match[1]) * _UNITS_BYTES[match[2]])
    if total < 1:
        raise ValueError(f"{text!r} is no room at all; give 1 byte or more")
    return total


def binary_size(n_bytes: int) -> str:
    """Bytes for a person: 913 B, 64 KiB, 1.5 MiB."""
    if n_bytes < 2**10:
        return f"{n_bytes} B"
    unit, size = ("MiB", 2**20) if n_bytes >= 2**20 else ("KiB", 2**10)
    return f"{n_bytes / size:.1f}".removesuffix(".0") + f" {unit}"

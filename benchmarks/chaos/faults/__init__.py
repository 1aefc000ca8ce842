"""The faults, a module an area. Importing one adds its faults to the list."""

from __future__ import annotations

import importlib

AREAS = ("process", "microphone", "disk", "receiver", "clock", "power", "bundles", "configs", "manager")
"""In the order of the table."""


def load() -> None:
    """Have all faults in `benchmarks.chaos.fault.FAULTS`."""
    for area in AREAS:
        importlib.import_module(f"{__name__}.{area}")

"""The faults, a module an area or, of receivers, several. Importing one adds its faults to the list."""

from __future__ import annotations

import importlib

RECEIVERS = ("webhook", "broker", "hook", "network")
MODULES = ("process", "microphone", "disk", *RECEIVERS, "clock", "power", "bundles", "configs", "manager")
"""In the order of the table."""


def load() -> None:
    """Have all faults in `benchmarks.chaos.fault.FAULTS`."""
    for module in MODULES:
        importlib.import_module(f"{__name__}.{module}")

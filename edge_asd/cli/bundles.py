"""Which bundle a command means."""

from __future__ import annotations

from pathlib import Path

from edge_asd.config import Config
from edge_asd.errors import UsageError


def bundle_path(config: Config) -> Path:
    """The bundle that is set. Raises UsageError when none is."""
    if config.model.bundle is None:
        raise UsageError(
            "no bundle given", remedy="name one with --bundle FILE.asd (make it with edge-asd enroll) or in the config"
        )
    return Path(config.model.bundle)

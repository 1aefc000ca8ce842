"""Which bundle a command means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge_asd.cli.progress import note
from edge_asd.config import Config
from edge_asd.errors import UsageError

if TYPE_CHECKING:
    from edge_asd.bundle import Bundle


def bundle_path(config: Config) -> Path:
    """The bundle that is set. Raises UsageError when none is."""
    if config.model.bundle is None:
        raise UsageError(
            "no bundle given", remedy="name one with --bundle FILE.asd (make it with edge-asd enroll) or in the config"
        )
    return Path(config.model.bundle)


def opened_bundle(config: Config, path: Path | None = None) -> Bundle:
    """The bundle that is set (or another one), for the runtime that is set; what that took is said on stderr."""
    from edge_asd.bundle import load_bundle
    from edge_asd.model_package import DEFAULT_PACKAGE
    from edge_asd.refit import for_runtime

    package = Path(config.model.package) if config.model.package else DEFAULT_PACKAGE
    return for_runtime(load_bundle(path or bundle_path(config)), config.model.runtime, package, note)

"""Which bundle, or model to make one with, a command means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edge_asd.cli.progress import note
from edge_asd.config import Config
from edge_asd.errors import ConfigError, DataError, UsageError

if TYPE_CHECKING:
    from edge_asd.bundle.bundle import Bundle
    from edge_asd.inference.engine import Engine
    from edge_asd.model_package import Model


def bundle_path(config: Config) -> Path:
    """The bundle that is set. Raises UsageError when none is."""
    if config.model.bundle is None:
        raise UsageError(
            "no bundle given", remedy="name one with --bundle FILE.asd (make it with edge-asd enroll) or in the config"
        )
    return Path(config.model.bundle)


def opened_bundle(config: Config, path: Path | None = None) -> Bundle:
    """The bundle that is set (or another one), for the runtime that is set; what that took is said on stderr."""
    from dataclasses import replace

    from edge_asd.bundle.bundle import load_bundle
    from edge_asd.bundle.refit import for_runtime
    from edge_asd.model_package import DEFAULT_PACKAGE

    package = Path(config.model.package) if config.model.package else DEFAULT_PACKAGE
    engine = engine_of(config)
    wanted = path or bundle_path(config)
    bundle = replace(load_bundle(wanted, check=bundle_check(config.model.public_key, wanted)), engine=engine)
    opened = for_runtime(bundle, config.model.runtime, package, note)
    if engine.accelerator != "none" and opened.normal.uses_network and "-" not in opened.embedder.runtime:
        note(f"warning: {engine.accelerator} cannot be used here ({opened.embedder.runtime}): the CPU runs the network")
    return opened


def model_to_enrol(config: Config) -> Model:
    """The model that is set, in the precision that is set, for the runtime that is set. Errors as `load_model`'s."""
    from edge_asd.inference import runnable_formats
    from edge_asd.model_package import DEFAULT_PACKAGE, leading, load_model, read_manifest

    package = Path(config.model.package) if config.model.package else DEFAULT_PACKAGE
    formats = runnable_formats(config.model.runtime)
    try:
        return load_model(package, config.model.precision, formats)
    except UsageError as error:
        held = leading(read_manifest(package))
        others = sorted({precision for name in formats for precision in held.get(name, {})})
        if not others:
            raise
        raise UsageError(error.message, remedy=f"{error.remedy}: give --precision {' or '.join(others)}") from error


def bundle_check(public_key: str | None, bundle: Path) -> Callable[[bytes], None] | None:
    """What refuses the bytes of a bundle that is not signed; None where no key is set, and every bundle is taken."""
    if public_key is None:
        return None
    from edge_asd.bundle.signing import PublicKey, read_text, signed_by

    try:
        key = PublicKey.parse(read_text(Path(public_key)), public_key)
    except DataError as error:
        raise ConfigError(f"model.public_key: {error.message}", remedy=error.remedy) from error
    return signed_by(key, bundle)


def engine_of(config: Config) -> Engine:
    """What the network's runtime is started with."""
    from edge_asd.inference.engine import Engine

    return Engine(config.model.threads, config.model.accelerator, config.model.engine_cache or "")

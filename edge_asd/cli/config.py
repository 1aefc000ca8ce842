"""`edge-asd config`: check a config file, and show what it comes to."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge_asd.cli.parsing import Subparsers, new_command
from edge_asd.errors import ConfigError

if TYPE_CHECKING:
    from edge_asd.config import Config, LoadedConfig


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = new_command(
        subparsers,
        "config",
        summary="check a config file",
        description="Check a config file: every key known, every value in its range, all of them fit to be run "
        "together on this device. Its sections are those "
        "that `edge-asd run --print-config` shows; with a file named by --config it shows what is in effect together "
        "with flags and environment. Secrets stand in files of their own; only those files' names are ever shown.",
        examples=("edge-asd config check fan.yaml", "edge-asd config check fan.yaml --print-config > effective.yaml"),
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = new_command(
        actions,
        "check",
        summary="say whether FILE is right",
        description="Exit 0 when FILE is right; else 78 and one line naming file, line, key and what is allowed there. "
        "66: FILE, or the public key it names, is not there.\n\n"
        "What only a run can tell is not tried: secrets, bundles, microphones, receivers, ports.",
        examples=("edge-asd config check fan.yaml",),
    )
    check.add_argument("file", metavar="FILE", help="YAML config file")
    check.add_argument("--print-config", action="store_true", help="also print it, every default filled in")


def run(args: argparse.Namespace) -> int:
    """Check the file alone: what the environment says of settings is not the file's fault."""
    from edge_asd.config import as_yaml, load_config

    loaded = load_config(args.file, environment={})
    try:
        _refuse_as_run_would(loaded.config)
    except ConfigError as error:
        raise ConfigError(f"{_place(args.file, loaded, error)}: {error.message}", remedy=error.remedy) from error
    if args.print_config:
        sys.stdout.write(as_yaml(loaded))
    else:
        given = sum(origin != "default" for origin in loaded.origins.values())
        print(f"{args.file}: right, {given} of {len(loaded.origins)} settings given, the others at their defaults")
    return 0


def _refuse_as_run_would(config: Config) -> None:
    """Raise the ConfigError with which `edge-asd run` would end on this device before it listens."""
    from edge_asd.cli.bundles import bundle_check
    from edge_asd.cli.machines import watched
    from edge_asd.outputs.settled import refuse_unsettled

    if config.machines:  # else bundle and microphone may be flags of the run
        watched(config, None, {})
    bundle_check(config.model.public_key, Path())
    refuse_unsettled(config, os.environ)


def _place(file: str, loaded: LoadedConfig, error: ConfigError) -> str:
    """The line of a setting that the error names, else the file."""
    given = [(f"{name}.", origin) for name, origin in loaded.origins.items() if origin != "default"]
    named = [f"{word}." for word in error.message.replace(":", " ").split() if "." in word]
    return next((origin for word in named for name, origin in given if name.startswith(word)), file)

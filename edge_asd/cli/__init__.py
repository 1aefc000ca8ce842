"""The command line: the only place where flags and the config become constructor arguments."""

from edge_asd.cli.frame import main

__all__ = ["main"]

"""The one exception tree: what happened, the value, the remedy, and the exit code it ends a command with.

Exit codes follow sysexits.h, so a service manager can tell a mistyped config (78, do not restart)
from a card that is full (74, restart later).
"""

from __future__ import annotations


class EdgeAsdError(Exception):
    """Base of every error edge-asd raises on purpose. `str()` is one line, fit for a user."""

    exit_code = 70

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class UsageError(EdgeAsdError):
    """The command line cannot be understood."""

    exit_code = 2


class DataError(EdgeAsdError):
    """Input was found but cannot be used: truncated, silent, not a number, the wrong shape, a bad hash."""

    exit_code = 65


class MissingInputError(EdgeAsdError):
    """A named file or directory does not exist."""

    exit_code = 66


class UnavailableError(EdgeAsdError):
    """A device, library or service that is needed is not there."""

    exit_code = 69


class StorageError(EdgeAsdError):
    """Reading or writing failed in the operating system: disk full, read-only card, I/O error."""

    exit_code = 74


class ConfigError(EdgeAsdError):
    """The configuration is wrong; starting again cannot help."""

    exit_code = 78

"""Secrets: read from files or from systemd's credentials, never given on a command line, never shown."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from edge_asd.config.check import CREDENTIAL
from edge_asd.errors import ConfigError, MissingInputError, StorageError

CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
"""Where systemd puts the credentials of a service (LoadCredential=). Source: systemd.exec(5)."""
MAX_BYTES = 65536


class Secret:
    """Bytes that show themselves only when asked to: in a message, a log or a traceback stands a word instead."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The secret itself."""
        return self._value

    def text(self) -> str:
        """The secret as text. Raises ConfigError where it is none."""
        try:
            return self._value.decode()
        except UnicodeDecodeError:
            raise ConfigError("a secret is not UTF-8 text", remedy="write the file anew") from None

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not stored")


def read_secret(setting: str, named: str, environment: Mapping[str, str], *, warn: Callable[[str], None]) -> Secret:
    """The content of the file, without the line break at its end.

    setting: its name, for messages. named: a path, or credential:NAME. environment: usually `os.environ`.
    warn: told that others can read the file.

    Raises ConfigError (empty, too large, no credentials here), MissingInputError, StorageError.
    """
    path = _path(setting, named, environment)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            value = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise MissingInputError(f"{setting}: {path} does not exist", remedy="write the secret into it") from error
    except OSError as error:
        raise StorageError(
            f"{setting}: cannot read {path}: {error.strerror}",
            remedy="a service reads it with LoadCredential=NAME:FILE and credential:NAME here",
        ) from error
    if len(value) > MAX_BYTES:
        raise ConfigError(f"{setting}: {path} is over {MAX_BYTES} bytes", remedy="that is no secret")
    value = value.rstrip(b"\r\n")
    if not value:
        raise ConfigError(f"{setting}: {path} is empty", remedy="write the secret into it")
    if stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO) and not named.startswith(CREDENTIAL):
        warn(f"warning: {setting}: other users can read {path}; mend it: chmod 600 {path}")
    return Secret(value)


def _path(setting: str, named: str, environment: Mapping[str, str]) -> Path:
    if not named.startswith(CREDENTIAL):
        return Path(named)
    name = named.removeprefix(CREDENTIAL)
    directory = environment.get(CREDENTIALS_VARIABLE, "")
    if not directory:
        raise ConfigError(
            f"{setting} is {named}, and systemd has given no credentials",
            remedy=f"add LoadCredential={name}:FILE to the service, or name a file",
        )
    if "/" in name or name in (".", ".."):
        raise ConfigError(f"{setting} is {named}", remedy="a credential's name has no slash")
    return Path(directory) / name

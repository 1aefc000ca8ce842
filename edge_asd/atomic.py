"""Write a file whole or not at all: a power cut leaves the old file or the new one, never half of either."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from edge_asd.errors import MissingInputError, StorageError


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path`: temporary file beside it, fsync, rename, fsync of the directory.

    A symbolic link is followed: what it points to is replaced, the link stays.

    Raises MissingInputError where the directory does not exist, StorageError where `path` is a device or pipe (root
    would replace /dev/null by a file) or writing fails; nothing new is left behind then and an older file at `path` is
    untouched.
    """
    path = Path(path).resolve()
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise StorageError(f"{path}: a device or pipe, not a file", remedy="choose another name")
    if not path.parent.is_dir():
        raise MissingInputError(f"{path}: the directory {path.parent} does not exist", remedy="make it first")
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp makes 0600, which a service under its own user could not read
        Path(temporary).replace(path)
        temporary = None
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise StorageError(f"{path}: cannot write {len(data)} bytes: {error.strerror}") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()

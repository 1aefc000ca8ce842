"""Write a file whole or not at all: a power cut leaves the old file or the new one, never half of either."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from edge_asd.errors import MissingInputError, StorageError


def write_atomically(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Put `data` at `path`: temporary file beside it, fsync, rename, fsync of the directory.

    A symbolic link is followed: what it points to is replaced, the link stays. A file that is there keeps its mode
    and, where this user may give files away, its owner. mode: of a new file, whatever the umask; None: as the umask
    leaves it.

    Raises MissingInputError where the directory does not exist, StorageError where `path` is a device or pipe (root
    would replace /dev/null by a file) or writing fails; nothing new is left behind then and an older file at `path` is
    untouched.
    """
    path = Path(path).resolve()
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise StorageError(f"{path}: a device or pipe, not a file", remedy="choose another name")
    if not path.parent.is_dir():
        raise MissingInputError(f"{path}: the directory {path.parent} does not exist", remedy="make it first")
    temporary: Path | None = None
    try:
        old = path.stat() if path.is_file() else None
        if old is not None:
            mode = stat.S_IMODE(old.st_mode)
        growing = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        # Never open to more users than the file it becomes, not even while it grows.
        descriptor = os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode & 0o600)
        temporary = growing
        with os.fdopen(descriptor, "wb") as file:
            if old is not None:
                _give(descriptor, old)
            if mode is not None:
                os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
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
                temporary.unlink()


def _give(descriptor: int, old: os.stat_result) -> None:
    """To the owner and group of the file that is replaced: a root who writes for a service must not lock it out."""
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with contextlib.suppress(OSError):  # only root may, and not on every file system
            os.fchown(descriptor, old.st_uid, old.st_gid)

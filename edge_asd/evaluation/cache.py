"""A cache of arrays on disk, by content: what was computed once is not computed again, nor after an interruption."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from edge_asd.errors import StorageError

DEFAULT_MAX_BYTES = 2 * 2**30
_SUFFIX = ".npz"


def default_directory(environment: Mapping[str, str]) -> Path:
    """Where caches belong by the XDG base directory specification: $XDG_CACHE_HOME or ~/.cache."""
    base = environment.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path(environment.get("HOME") or "/tmp") / ".cache"
    return root / "edge-asd" / "features"


class ArrayCache:
    """Arrays under keys in a directory; several processes may use it at once.

    directory: made when it is checked, or the first entry is put. A cache that cannot be written or read loses time,
    never the work: `put` gives False and `get` None. Entries carry checksums, so a damaged one is no entry.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)

    def check(self) -> None:
        """Find out whether entries can be kept, before hours depend on it. Raises StorageError."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.directory) as file:
                file.write(bytes(1))
        except OSError as error:
            raise StorageError(f"{self.directory}: cannot keep a cache there: {error.strerror}") from error

    def get(self, key: str) -> dict[str, np.ndarray] | None:
        """The arrays put under `key` (hex digits), or None. A hit counts as use for `prune`."""
        path = self._path(key)
        try:
            with np.load(path, allow_pickle=False) as members:
                found = {name: members[name] for name in members.files}
            os.utime(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return found

    def put(self, key: str, arrays: Mapping[str, np.ndarray]) -> bool:
        """Keep `arrays` under `key`, whole or not at all; whether that worked."""
        path = self._path(key)
        temporary = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # No fsync: after a power cut the checksum tells a damaged entry, and it is computed again.
            descriptor, temporary = tempfile.mkstemp(suffix=".tmp", dir=path.parent)
            with os.fdopen(descriptor, "wb") as file:
                np.savez(file, **dict(arrays))  # type: ignore[arg-type]
            Path(temporary).replace(path)
        except OSError:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    Path(temporary).unlink()
            return False
        return True

    def prune(self, max_bytes: int = DEFAULT_MAX_BYTES) -> int:
        """Delete the entries used longest ago until `max_bytes` remain; the bytes deleted."""
        found = np.fromiter(((stat.st_mtime_ns, stat.st_size) for _, stat in self._entries()), np.dtype("2i8"))
        found = found[np.argsort(found[:, 0])]
        excess = int(found[:, 1].sum()) - max_bytes
        if excess <= 0:
            return 0
        last_used_ns = found[np.searchsorted(np.cumsum(found[:, 1]), excess), 0]
        deleted = 0
        for entry, stat in self._entries():
            if stat.st_mtime_ns <= last_used_ns:
                with contextlib.suppress(OSError):
                    Path(entry.path).unlink()
                    deleted += stat.st_size
        return deleted

    def _entries(self) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
        with contextlib.suppress(OSError), os.scandir(self.directory) as shelves:
            for shelf in shelves:
                with contextlib.suppress(OSError), os.scandir(shelf.path) as entries:
                    for entry in entries:
                        if entry.name.endswith(_SUFFIX):
                            with contextlib.suppress(OSError):  # deleted by another process just now
                                yield entry, entry.stat()

    def _path(self, key: str) -> Path:
        return self.directory / key[:2] / f"{key[2:]}{_SUFFIX}"

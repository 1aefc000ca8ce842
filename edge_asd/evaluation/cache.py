"""A cache of arrays on disk, by content: what was computed once is not computed again, nor after an interruption."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

DEFAULT_MAX_BYTES = 2 * 2**30
_SUFFIX = ".npz"


def default_directory(environment: Mapping[str, str]) -> Path:
    """Where caches belong by the XDG base directory specification: $XDG_CACHE_HOME or ~/.cache."""
    base = environment.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path(environment.get("HOME") or "/tmp") / ".cache"
    return root / "edge-asd" / "features"


class ArrayCache:
    """Arrays under keys in a directory; several processes may use it at once.

    directory: made when the first entry is put. A cache that cannot be written or read loses time, never the work:
    `put` gives False and `get` None. Entries carry checksums, so a damaged one is no entry.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)

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
        used, sizes = [], []
        for entry in self._entries():
            with contextlib.suppress(OSError):
                stat = entry.stat()
                used.append(stat.st_mtime_ns)
                sizes.append(stat.st_size)
        order = np.argsort(np.array(used, np.int64))[::-1]
        total = np.cumsum(np.array(sizes, np.int64)[order])
        if not len(total) or total[-1] <= max_bytes:
            return 0
        oldest_kept = np.array(used)[order][int(np.searchsorted(total, max_bytes, side="right")) - 1]
        if total[0] > max_bytes:
            oldest_kept = np.iinfo(np.int64).max
        deleted = 0
        for entry in self._entries():
            with contextlib.suppress(OSError):
                stat = entry.stat()
                if stat.st_mtime_ns < oldest_kept:
                    Path(entry.path).unlink()
                    deleted += stat.st_size
        return deleted

    def _entries(self):
        with contextlib.suppress(OSError), os.scandir(self.directory) as shelves:
            for shelf in shelves:
                with contextlib.suppress(OSError), os.scandir(shelf.path) as entries:
                    yield from (entry for entry in entries if entry.name.endswith(_SUFFIX))

    def _path(self, key: str) -> Path:
        return self.directory / key[:2] / f"{key[2:]}{_SUFFIX}"

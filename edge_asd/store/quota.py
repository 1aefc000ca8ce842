"""How much of the card the store takes, and what goes when it takes too much: clips first, the oldest first."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_asd.store.clipfiles import DIRECTORY
from edge_asd.store.schema import FILE

DATABASES = f"{Path(FILE).stem}*"
DAMAGED = f"{Path(FILE).stem}-damaged-*"
"""Databases that were set aside: the first to go."""


@dataclass(frozen=True)
class Limits:
    """What the store may take.

    quota_bytes: of all its files. reserve_bytes: of the file system, left free for everything else.
    """

    quota_bytes: int
    reserve_bytes: int


@dataclass(frozen=True)
class Usage:
    """What the store takes, and what the file system has left, in bytes."""

    used: int
    free: int

    def room(self, limits: Limits) -> int:
        """Bytes that may be added; below 0: too many are there."""
        return min(limits.quota_bytes - self.used, self.free - limits.reserve_bytes)


def usage(directory: Path) -> Usage:
    """Of the store in `directory`. Raises OSError."""
    state = os.statvfs(directory)
    ours = [*_files(directory / DIRECTORY), *_sized(directory.glob(DATABASES))]  # others may keep things there, too
    return Usage(sum(size for _, size in ours), state.f_bavail * state.f_frsize)


class Room:
    """Makes room in a store by removing damaged databases that were set aside, then its oldest clips.

    pinned: gives the files (relative to `directory`) that must stay; asked only when something has to go.
    """

    def __init__(self, directory: Path, limits: Limits, pinned: Callable[[], set[str]]) -> None:
        self._directory = directory
        self._limits = limits
        self._pinned = pinned

    def make(self, n_bytes: int) -> bool:
        """Have room for `n_bytes` more, evicting as little as needed; False when all that may go is not enough.

        What cannot be made to fit evicts nothing: a card that something else has filled keeps the clips it has.
        Raises OSError.
        """
        missing = n_bytes - usage(self._directory).room(self._limits)
        if missing <= 0:
            return True
        pinned = {name.rsplit(".", 1)[0] for name in self._pinned()}
        oldest: dict[str, list[tuple[Path, int]]] = {}
        damaged = sorted(_sized(self._directory.glob(DAMAGED)))
        for path, size in [*damaged, *sorted(_files(self._directory / DIRECTORY))]:
            oldest.setdefault(str(path.relative_to(self._directory).with_suffix("")), []).append((path, size))
        freed, going = 0, []
        for stem, files in oldest.items():
            if freed >= missing:
                break
            if stem not in pinned:
                going += files
                freed += sum(size for _, size in files)
        if freed < missing:
            return False
        for path, _ in going:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # the last clip of its month, or not
                path.parent.rmdir()
        return True


def _files(directory: Path) -> Iterator[tuple[Path, int]]:
    for folder, _, names in os.walk(directory):
        yield from _sized(Path(folder, name) for name in names)


def _sized(paths: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # a log that has just been taken into its database
            yield path, path.stat().st_size

"""The known word nearest to a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """Of `known` (not empty), the word most like `word`, however unlike it is."""
    import difflib

    return difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.0)[0]

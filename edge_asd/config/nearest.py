"""The known word nearest to a mistyped one, or near enough to be meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """Of `known` (not empty), the word most like `word`, however unlike it is."""
    import difflib

    return difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.0)[0]


def near(word: str, known: Iterable[str]) -> str | None:
    """Of `known`, the word that `word` is a misspelling of; None where it is like none of them."""
    import difflib

    # Dashes would make any two flags alike.
    spelt = {name.lower().lstrip("-"): name for name in known}
    found = difflib.get_close_matches(word.lower().lstrip("-"), list(spelt), n=1)
    return spelt[found[0]] if found else None

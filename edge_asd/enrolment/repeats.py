"""Telling sound that was enrolled before: a recording given again, or a copy of it under another name.

Judged by its own copy, sound looks more alike than it ever will again, and thresholds come out far too low. The spectra
of a window of real sound never come twice, so they say whether it was heard before. A window in which nothing changes
at all, such as digital silence, says nothing.
"""

from __future__ import annotations

import numpy as np

from edge_asd.spectra import SpectrumBank

STEPS = 2.0
"""How far a level kept in a byte may lie from what was heard: half a step, and half again each time sound is added."""
SLACK_DB = 0.02
"""Between two ways to compute log-mel."""


class HeardBefore:
    """What was enrolled so far.

    bank: of a bundle to be added to. thinned: a budget made it forget some of its windows, so that one it knows is
    enough, otherwise half of a recording's; a recording of which it forgot all is not told.
    """

    def __init__(self, bank: SpectrumBank | None = None, *, thinned: bool = False) -> None:
        self._bank = bank
        self._thinned = thinned
        self._seen: set[int] = set()

    def take(self, spectra_db: np.ndarray) -> bool:
        """Whether a recording, by its `window_spectra` [k, 2 n_mels], was heard before; remembers it if not."""
        deviations = spectra_db[:, spectra_db.shape[1] // 2 :]
        telling = spectra_db[deviations.max(axis=1) > SLACK_DB]
        rows = [hash(row.tobytes()) for row in telling]
        if rows and (2 * sum(row in self._seen for row in rows) >= len(rows) or self._in_bank(telling)):
            return True
        self._seen.update(rows)
        return False

    def _in_bank(self, spectra_db: np.ndarray) -> bool:
        if self._bank is None:
            return False
        known, near = self._bank.levels_db, STEPS * self._bank.step + SLACK_DB
        widest = int(self._bank.step.argmax())  # this one level leaves few to compare
        found = 0
        for row in spectra_db:
            candidates = known[np.abs(known[:, widest] - row[widest]) <= near[widest]]
            found += bool((np.abs(candidates - row) <= near).all(axis=1).any())
        return found >= 1 if self._thinned else 2 * found >= len(spectra_db)

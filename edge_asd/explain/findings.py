"""What an explanation is made of, and its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FINDINGS_AT_MOST = 5
SAID_AT_MOST = 3
"""Findings in the sentence; a longer one is not read."""
LEAST_SHARE = 0.15
"""Findings of less than this share of the first one's weight are its by-products."""


@dataclass(frozen=True)
class BandChange:
    """Neighbouring bands that moved together: edges in Hz and the mean change in dB."""

    from_hz: float
    to_hz: float
    change_db: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"from_hz": round(self.from_hz), "to_hz": round(self.to_hz), "change_db": round(self.change_db, 1)}


@dataclass(frozen=True)
class Finding:
    """One thing that changed.

    kind: "level", "tone", "tone_gone", "tone_moved", "tones" (a harmonic series), "unsteady_tone", "broadband", "band",
        "impacts", "pulsation", "unsteady", "steady" or "timbre" (nothing specific).
    text: the same in words.
    weight: dB times the root of the number of bands it touches; findings are sorted by it.
    from_hz, to_hz: where it is. frequency_hz: of a tone, or the spacing of tones. change_db: louder above 0.
    rate_hz: events a second; fold_hz: a rate that would look the same in these frames, where it cannot be ruled out.
    """

    kind: str
    text: str
    weight: float
    from_hz: float
    to_hz: float
    frequency_hz: float | None = None
    change_db: float | None = None
    rate_hz: float | None = None
    fold_hz: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, without what is not known."""
        numbers = {
            "frequency_hz": None if self.frequency_hz is None else round(self.frequency_hz),
            "change_db": None if self.change_db is None else round(self.change_db, 1),
            "rate_hz": None if self.rate_hz is None else round(self.rate_hz, 2),
            "fold_hz": None if self.fold_hz is None else round(self.fold_hz, 2),
        }
        known = {name: value for name, value in numbers.items() if value is not None}
        place = {"from_hz": round(self.from_hz), "to_hz": round(self.to_hz)}
        return {"kind": self.kind, "text": self.text, "weight": round(self.weight, 1), **place, **known}


@dataclass(frozen=True)
class Explanation:
    """What changed: a sentence, the bands that left their normal range, and the findings, the weightiest first."""

    text: str
    bands: tuple[BandChange, ...]
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, findings: list[Finding], bands: tuple[BandChange, ...]) -> Explanation:
        """From at least one finding, in any order."""
        kept = sorted(findings, key=lambda finding: -finding.weight)[:FINDINGS_AT_MOST]
        kept = [finding for finding in kept if finding.weight >= LEAST_SHARE * kept[0].weight]
        return cls("; ".join(finding.text for finding in kept[:SAID_AT_MOST]), bands, tuple(kept))


def hz_words(frequency_hz: float) -> str:
    """Two or three digits: `3.1 kHz`, `340 Hz`."""
    return f"{frequency_hz / 1000:.1f} kHz" if frequency_hz >= 975 else f"{frequency_hz:.0f} Hz"


def db_words(change_db: float) -> str:
    """With its sign: `+24 dB`."""
    return f"{change_db:+.0f} dB"


def rate_words(rate_hz: float) -> str:
    """Two digits: `12 a second`, `2.4 a second`."""
    return f"{rate_hz:.0f} a second" if rate_hz >= 9.95 else f"{rate_hz:.1f} a second"

"""What is known of an enrolled window beside its sound: the domain and the time it was enrolled in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_asd.errors import DataError

DOMAINS = ("source", "target")
"""Where sound was enrolled: as first installed, and after a change of speed, load, room or microphone."""


@dataclass(frozen=True)
class WindowTags:
    """Tags of n windows.

    domains: uint8 [n], an index into DOMAINS. enrolled_s: uint32 [n], seconds since 1970 (UTC), 0 = unknown.
    Raises DataError for arrays that are not that.
    """

    domains: np.ndarray
    enrolled_s: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.domains)
        for name, dtype in (("domains", np.uint8), ("enrolled_s", np.uint32)):
            tags = getattr(self, name)
            if tags.shape != (n,) or tags.dtype != dtype:
                expected = f"{np.dtype(dtype)} [{n}]"
                raise DataError(f"bank: {name} are {tags.dtype} {list(tags.shape)}, expected {expected}")
        if n and self.domains.max() >= len(DOMAINS):
            raise DataError(f"bank: domain {self.domains.max()}, known are 0 to {len(DOMAINS) - 1}")

    @classmethod
    def make(cls, n: int, domain: str | np.ndarray = DOMAINS[0], enrolled_s: float | np.ndarray = 0) -> WindowTags:
        """Of n windows: one tag for all, or an array of them. Raises DataError for an unknown domain or no time."""
        domains = (
            np.full(n, domain_index(domain), np.uint8) if isinstance(domain, str) else np.asarray(domain, np.uint8)
        )
        seconds = np.asarray(enrolled_s, np.float64)
        if not ((seconds >= 0) & (seconds < 2**32)).all():
            raise DataError(f"bank: enrolled at {np.min(seconds):g} s, expected seconds since 1970")
        if len(domains) != n or seconds.shape not in ((), (n,)):
            raise DataError(f"bank: domains {list(domains.shape)}, times {list(seconds.shape)} for {n} windows")
        return cls(domains, np.broadcast_to(seconds.astype(np.uint32), (n,)).copy())

    def __len__(self) -> int:
        return len(self.domains)

    def rows(self, chosen: np.ndarray) -> WindowTags:
        """Those of chosen windows."""
        return WindowTags(self.domains[chosen], self.enrolled_s[chosen])

    def arrays(self) -> dict[str, np.ndarray]:
        """Both arrays by name."""
        return {"domains": self.domains, "enrolled_s": self.enrolled_s}


TAG_BYTES = 5
"""Of one window."""


def domain_index(domain: str) -> int:
    """The tag of a domain. Raises DataError for an unknown one."""
    if domain not in DOMAINS:
        raise DataError(f"bank: unknown domain {domain!r}", remedy=f"one of {', '.join(DOMAINS)}")
    return DOMAINS.index(domain)

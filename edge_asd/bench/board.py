"""What a board says of itself: temperature, throttling, power mode, energy. Everything is optional; nothing is assumed.

Sources: the kernel's sysfs ABI (thermal, cpufreq, powercap, hwmon), Raspberry Pi's documentation of `get_throttled`,
NVIDIA's of `nvpmodel`.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

THROTTLED_FILE = "sys/devices/platform/soc/soc:firmware/get_throttled"
THROTTLED_BITS = {
    0: "under-voltage now",
    1: "frequency capped now",
    2: "throttled now",
    3: "soft temperature limit now",
    16: "under-voltage since boot",
    17: "frequency capped since boot",
    18: "throttled since boot",
    19: "soft temperature limit since boot",
}
ASK_LIMIT_S = 5.0


@dataclass(frozen=True)
class EnergyMeter:
    """A running counter of energy, in microjoules (Linux powercap: RAPL and its like).

    counter: the file. wraps_at: its range, after which it begins again.
    """

    counter: Path
    wraps_at: int

    @classmethod
    def find(cls, root: Path = Path("/")) -> EnergyMeter | None:
        """The first package counter that can be read; None where there is none (or only root may read it)."""
        for zone in sorted((root / "sys/class/powercap").glob("*:[0-9]")):
            wraps_at = _number(zone / "max_energy_range_uj")
            if _number(zone / "energy_uj") is not None and wraps_at:
                return cls(zone / "energy_uj", int(wraps_at))
        return None

    def read(self) -> float:
        """The counter now, in microjoules; 0 when it cannot be read any more."""
        return _number(self.counter) or 0.0

    def joules_since(self, before_uj: float) -> float:
        """Energy since the counter stood at `before_uj`."""
        return (self.read() - before_uj) % self.wraps_at / 1e6


def describe(root: Path = Path("/")) -> dict[str, Any]:
    """What can be learnt of the board; None where it does not say."""
    return {
        "model": _text(root / "proc/device-tree/model").strip("\0") or None,
        "temperature_c": temperature_c(root),
        "throttled": throttled(root),
        "governor": _text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        "power_mode": power_mode(root),
    }


def temperature_c(root: Path = Path("/")) -> float | None:
    """The hottest thermal zone, in degrees Celsius."""
    zones = [_number(zone / "temp") for zone in (root / "sys/class/thermal").glob("thermal_zone*")]
    known = [value / 1000.0 for value in zones if value is not None]
    return max(known) if known else None


def throttled(root: Path = Path("/")) -> list[str] | None:
    """What keeps a Raspberry Pi from full speed, in words; empty when nothing does, None on other boards."""
    text = _text(root / THROTTLED_FILE)
    if not text and root == Path("/"):
        text = _asked("vcgencmd", "get_throttled").partition("=")[2]
    try:
        bits = int(text, 16)
    except ValueError:
        return None
    return [words for bit, words in THROTTLED_BITS.items() if bits >> bit & 1]


def power_mode(root: Path = Path("/")) -> str | None:
    """The power mode of a Jetson, as nvpmodel names it; None on other boards."""
    if root != Path("/"):
        return _text(root / "var/lib/nvpmodel/status") or None
    said = _asked("nvpmodel", "-q")
    return next((line.partition(":")[2].strip() for line in said.splitlines() if "Power Mode" in line), None)


def _asked(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=ASK_LIMIT_S, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> float | None:
    try:
        return float(_text(path))
    except ValueError:
        return None

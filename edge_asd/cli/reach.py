"""What a sound's rate leaves of its upper bands, told where a machine was enrolled at one rate and is heard at another.

No microphone or file hears up to half of its rate: resampling to the model's rate damps what lies just under it. That
is no fault of the machine's, and looks like one in sound that has something there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from edge_asd.cli.progress import note

PASSED = 0.91
"""Share of half of a rate that the resampler leaves as it is."""
ALIKE = 0.02


def reach_hz(sound_hz: int, model_hz: int) -> float:
    """Up to where sound of a rate is heard whole by a model of another one, Hz."""
    return 0.5 * min(sound_hz, model_hz) * (1.0 if sound_hz == model_hz else PASSED)


def differ(rates_hz: Collection[int], model_hz: int) -> bool:
    """Whether sounds of these rates reach further than one another."""
    reaches = [reach_hz(rate_hz, model_hz) for rate_hz in rates_hz]
    return bool(reaches) and max(reaches) > (1.0 + ALIKE) * min(reaches)


def tell_reach(name: str, found_hz: int, provenance: Mapping[str, Any], model_hz: int) -> None:
    """Say so where a source reaches less far, or further, than what was enrolled.

    found_hz: the source's rate. provenance: of the bundle, which may not know its own.
    """
    enrolled = str(provenance.get("sound_hz") or provenance.get("microphone_hz") or "")
    rates_hz = {int(rate) for rate in enrolled.split(",") if rate}
    if not rates_hz or not differ({found_hz, *rates_hz}, model_hz):
        return
    lowest = min(reach_hz(rate_hz, model_hz) for rate_hz in (found_hz, *rates_hz))
    note(
        f"{name} comes at {found_hz} Hz and {enrolled.replace(',', ' and ')} Hz were enrolled: what lies above "
        f"{lowest / 1000:.1f} kHz is heard in one of them only and may raise alarms by itself; enrol from this source"
    )


def rates_text(rates_hz: Collection[int]) -> str:
    """For a bundle's provenance."""
    return ",".join(str(rate_hz) for rate_hz in sorted(rates_hz))

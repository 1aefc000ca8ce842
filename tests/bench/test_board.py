"""What a board says of itself, from files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_asd.bench.board import THROTTLED_FILE, EnergyMeter, describe


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_pi_tells_temperature_governor_and_throttling(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        {
            "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
            "sys/class/thermal/thermal_zone0/temp": "61335\n",
            "sys/class/thermal/thermal_zone1/temp": "58000\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
            THROTTLED_FILE: "50005\n",
        },
    )
    told = describe(root)
    assert told["model"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert told["temperature_c"] == pytest.approx(61.335)
    assert told["governor"] == "ondemand"
    assert told["throttled"] == [
        "under-voltage now",
        "throttled now",
        "under-voltage since boot",
        "throttled since boot",
    ]


def test_a_machine_that_tells_nothing_is_described_by_nothing(tmp_path: Path) -> None:
    assert set(describe(tmp_path).values()) == {None}
    assert EnergyMeter.find(tmp_path) is None


def test_a_pi_at_full_speed_says_so(tmp_path: Path) -> None:
    assert describe(put(tmp_path, {THROTTLED_FILE: "0\n"}))["throttled"] == []


def test_a_jetson_tells_its_power_mode(tmp_path: Path) -> None:
    assert describe(put(tmp_path, {"var/lib/nvpmodel/status": "pmode:0000"}))["power_mode"] == "pmode:0000"


def test_energy_is_read_and_the_counters_wrap_is_seen(tmp_path: Path) -> None:
    zone = "sys/class/powercap/intel-rapl:0/"
    root = put(tmp_path, {zone + "energy_uj": "900000\n", zone + "max_energy_range_uj": "1000000\n"})
    meter = EnergyMeter.find(root)
    assert meter is not None
    began = meter.read()
    (root / zone / "energy_uj").write_text("950000")
    assert meter.joules_since(began) == pytest.approx(0.05)
    (root / zone / "energy_uj").write_text("100000")
    assert meter.joules_since(began) == pytest.approx(0.2)

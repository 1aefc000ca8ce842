"""Which machines a run watches; and several of them in one process, from real files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_asd.bundle.bundle import Bundle, save_bundle
from edge_asd.cli.machines import watched
from edge_asd.config import Config
from edge_asd.config.settings import AudioConfig, MachineConfig, ModelConfig
from edge_asd.errors import ConfigError, UsageError


def plant(**machines: MachineConfig) -> Config:
    return Config(audio=AudioConfig(device="mic0", aliases={"mic0": "usb:1"}), machines=machines)


def test_without_machines_the_bundle_names_the_one_there_is() -> None:
    config = Config(audio=AudioConfig(device="mic0"), model=ModelConfig(bundle="bundles/fan.asd"))
    (machine,) = watched(config, None, {})
    assert (machine.name, machine.bundle, machine.audio.device) == ("fan", Path("bundles/fan.asd"), "mic0")


def test_a_machine_takes_what_it_leaves_open_from_the_other_sections() -> None:
    config = plant(fan=MachineConfig("fan.asd", channel=1), pump=MachineConfig("pump.asd", device="mic1", rate=48000))
    fan, pump = watched(config, None, {})
    assert (fan.audio.device, fan.audio.channel, fan.audio.rate) == ("mic0", 1, None)
    assert (pump.audio.device, pump.audio.channel, pump.audio.rate) == ("mic1", None, 48000)


def test_one_machine_is_chosen_and_flags_are_said_of_it() -> None:
    config = plant(fan=MachineConfig("fan.asd", device="mic0"), pump=MachineConfig("pump.asd", device="mic1"))
    (pump,) = watched(config, "pump", {})
    assert (pump.name, pump.audio.device) == ("pump", "mic1")
    with pytest.raises(UsageError, match="--device is said of one machine"):
        watched(config, None, {"audio.device": "mic7"})
    with pytest.raises(UsageError, match=r"no machine is called 'pmup'; did you mean 'pump'"):
        watched(config, "pmup", {})
    with pytest.raises(UsageError, match=r"no machine is called 'saw'; choose of fan, pump"):
        watched(config, "saw", {})


def test_two_machines_that_claim_one_microphone_are_a_wrong_config() -> None:
    with pytest.raises(ConfigError, match="fan and pump both listen to usb:1, channel 0") as caught:
        watched(plant(fan=MachineConfig("fan.asd"), pump=MachineConfig("pump.asd", device="usb:1")), None, {})
    assert caught.value.exit_code == 78
    config = plant(fan=MachineConfig("fan.asd", channel=0), pump=MachineConfig("pump.asd", channel=1))
    assert len(watched(config, None, {})) == 2


def test_a_machine_without_a_bundle_is_a_wrong_config() -> None:
    with pytest.raises(ConfigError, match=r"machines\.fan has no bundle"):
        watched(plant(fan=MachineConfig(device="mic0")), None, {})


def test_a_machine_without_a_microphone_is_a_wrong_config_unless_a_file_is_its_sound() -> None:
    config = Config(machines={"fan": MachineConfig("fan.asd"), "pump": MachineConfig("pump.asd", device="mic1")})
    with pytest.raises(ConfigError, match=r"machines\.fan has no device; set machines\.fan\.device, or audio\.device"):
        watched(config, None, {})
    with pytest.raises(ConfigError, match=r"machines\.fan has no device"):
        watched(config, "fan", {})
    (fan,) = watched(config, "fan", {"input": "fan.wav"})
    assert (fan.name, fan.audio.device) == ("fan", None)


def run_plant(folder: Path, *words: str) -> tuple[int, list[dict[str, Any]], str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_ASD_")}
    command = [sys.executable, "-m", "edge_asd", "run", "--config", str(folder / "plant.yaml"), "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_a_machine_that_fails_does_not_stop_the_others_and_is_told(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """No microphone is there: both machines fail, one at its bundle, one at its device."""
    save_bundle(tiny_bundle, tmp_path / "fan.asd")
    (tmp_path / "pump.asd").write_bytes(b"damaged")
    machines = {"fan": {"bundle": "fan.asd", "device": "nowhere"}, "pump": {"bundle": "pump.asd", "device": "none"}}
    (tmp_path / "plant.yaml").write_text(json.dumps({"machines": machines}))
    code, records, _ = run_plant(tmp_path)
    assert code in (65, 69)
    ends = {record["machine"]: record for record in records if record["type"] == "summary"}
    assert set(ends) == {"fan", "pump"}
    assert {record["reason"] for record in ends.values()} == {"failed"}
    told = {record["machine"]: record["message"] for record in records if record["type"] == "source"}
    assert "not a bundle" in told["pump"] or "bundle" in told["pump"]

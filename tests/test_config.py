"""The configuration: merged in order of precedence, checked once, wrong in words a user can act on."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_asd.config import Config, Flag, as_yaml, load_config, nearest
from edge_asd.config.settings import SECTIONS, AlarmConfig, fields_of
from edge_asd.errors import ConfigError, MissingInputError, StorageError, UsageError
from edge_asd.monitor.alarm import AlarmSettings

GOOD = """\
# the fan in hall 3
audio:
  device: mic0
  aliases: {mic0: "usb:0d8c:0014:A1"}
  channel: 1
model:
  bundle: bundles/fan.asd
detector:
alarm:
  confirm_s: 4
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "fan.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_file_gives_its_values_and_defaults_fill_the_rest(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, GOOD), environment={}).config
    assert config.audio.device == "mic0"
    assert config.audio.aliases == {"mic0": "usb:0d8c:0014:A1"}
    assert config.audio.channel == 1
    assert config.alarm.confirm_s == 4.0
    assert isinstance(config.alarm.confirm_s, float)
    assert config.output == Config().output


def test_relative_paths_in_a_file_count_from_the_file(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, GOOD), environment={}).config
    assert config.model.bundle == str(tmp_path / "bundles/fan.asd")


def test_flag_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    path = written(tmp_path, "alarm:\n  confirm_s: 1\n  release_s: 1\n  cooldown_s: 1\n")
    environment = {"EDGE_ASD_ALARM_CONFIRM_S": "2", "EDGE_ASD_ALARM_RELEASE_S": "2", "PATH": "/bin"}
    loaded = load_config(path, environment=environment, flags={"alarm.confirm_s": Flag("--confirm", 3.0)})
    alarm = loaded.config.alarm
    assert (alarm.confirm_s, alarm.release_s, alarm.cooldown_s) == (3.0, 2.0, 1.0)
    assert alarm.release_ratio == AlarmConfig().release_ratio
    assert loaded.origins["alarm.confirm_s"] == "flag --confirm"
    assert loaded.origins["alarm.release_s"] == "environment EDGE_ASD_ALARM_RELEASE_S"
    assert loaded.origins["alarm.cooldown_s"] == f"{path}:4"
    assert loaded.origins["alarm.release_ratio"] == "default"


def test_the_environment_can_name_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    assert load_config(None, environment={"EDGE_ASD_CONFIG": str(path)}).config.audio.device == "mic0"


@pytest.mark.parametrize("name", [f"{section}.{key}" for section in SECTIONS for key in fields_of(section)])
def test_every_setting_can_come_from_the_environment(name: str) -> None:
    section, key = name.split(".")
    limits = fields_of(section)[key].metadata
    value = {
        "text": "usb",
        "path": "/x",
        "whole": "8000",
        "number": "60",
        "budget": "1/day",
        "allowance": "1.5",
        "names": "{mic0: usb}",
        "size": "2MB",
        "switch": "true",
        "words": "[/bin/true, now]",
        "secret": "/x",
    }[limits["kind"]]
    if "choices" in limits:
        value = limits["choices"][-1]
    if key in ("channel", "channels", "release_ratio", "threads"):
        value = "1"
    variable = f"EDGE_ASD_{section}_{key}".upper()
    loaded = load_config(None, environment={variable: value})
    assert loaded.origins[name] == f"environment {variable}"
    assert getattr(getattr(loaded.config, section), key) is not None


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("audio:\n  devcie: mic0\n", 2, "unknown key 'devcie' in audio; did you mean 'device'?"),
        ("alarms:\n  confirm_s: 1\n", 1, "did you mean 'alarm'?"),
        ("device: mic0\n", 1, "it belongs in the section 'audio'"),
        ("alarm:\n  channel: 1\n", 2, "it belongs in the section 'audio'"),
        ("alarm:\n  confirm_s: fast\n", 2, "alarm.confirm_s is 'fast'; give a number of at least 0"),
        ("alarm:\n  confirm_s: -1\n", 2, "alarm.confirm_s is -1"),
        ("alarm:\n  confirm_s: .nan\n", 2, "alarm.confirm_s is nan"),
        ("alarm:\n  confirm_s: true\n", 2, "alarm.confirm_s is true"),
        ("alarm:\n  release_ratio: 0\n", 2, "give a number above 0 and at most 1"),
        ("alarm:\n  confirm_s:\n", 2, "alarm.confirm_s is empty"),
        ("audio:\n  channel: 1.5\n", 2, "audio.channel is 1.5; give a whole number"),
        ("audio:\n\n  device: 7\n", 3, "audio.device is 7; give text (quote it to make it text)"),
        ("audio:\n  device: [a, b]\n", 2, "audio.device is a list"),
        ("audio:\n  aliases: usb\n", 2, "audio.aliases is 'usb'; give a map"),
        ("audio:\n  aliases: [usb]\n", 2, "audio.aliases is a list; give a map"),
        ("audio:\n  aliases: {mic0: 3}\n", 2, "audio.aliases.mic0 is 3; give text (quote it to make it text)"),
        ("audio:\n  aliases: {mic0: [usb]}\n", 2, "audio.aliases.mic0 is a list; give text"),
        ("audio:\n  aliases: {mic0: }\n", 2, "audio.aliases.mic0 is empty; give text"),
        ("audio:\n  aliases: {3: usb}\n", 2, "audio.aliases, one of its names is 3; give text (quote it"),
        ("audio:\n  aliases: {[a]: usb}\n", 2, "audio.aliases, one of its names is a list; give text"),
        ("hook:\n  command: [1, 2]\n", 2, "hook.command, word 1 is 1; give text (quote it to make it text)"),
        ("hook:\n  command: [a, [b]]\n", 2, "hook.command, word 2 is a list; give text"),
        ("hook:\n  command: [a, '']\n", 2, "hook.command, word 2 is ''; give text"),
        ("hook:\n  command: []\n", 2, "hook.command is an empty list; give a list of words, such as ["),
        ("hook:\n  command: ls -l\n", 2, "hook.command is 'ls -l'; give a list of words"),
        ("output:\n  format: xml\n", 2, "output.format is 'xml'; give auto, meter, json or events"),
        ("model:\n  bank_budget: 64 K\n", 2, "model.bank_budget is '64 K'; give bytes, such as 65536 or 64KiB"),
        ("model:\n  bank_budget: 0\n", 2, "model.bank_budget is 0"),
        ("model:\n  bank_budget: true\n", 2, "model.bank_budget is true"),
        ("audio:\n  rate: 10\n", 2, "audio.rate is 10; give a whole number of at least 4000 and at most 768000"),
        ("audio:\n  rate: 8000\n  rate: 16000\n", 3, "'rate' is given twice in audio"),
        ("audio: 5\n", 1, "audio is not a map"),
        ("- a\n", 1, "the file is not a map"),
        ("audio:\n  device: 'mic0\n", 3, "not valid YAML"),
        ("audio:\n  device: !!python/object:os.system x\n", 2, "not valid YAML"),
        ("? [a]\n: b\n", 1, "unknown key '?'"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, environment={})
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_of_two_settings_that_exclude_each_other_the_nearer_one_counts(tmp_path: Path) -> None:
    path = written(tmp_path, "detector:\n  percentile: 99\n")
    flags = {"detector.false_alarms": Flag("--false-alarms", "1/day")}
    loaded = load_config(path, environment={}, flags=flags)
    assert (loaded.config.detector.percentile, loaded.config.detector.false_alarms) == (None, "1/day")
    assert loaded.origins["detector.percentile"] == "overruled by flag --false-alarms"
    with pytest.raises(UsageError, match="exclude each other; choose one of them"):
        load_config(None, environment={}, flags={**flags, "detector.percentile": Flag("--live-percentile", 99.0)})
    with pytest.raises(ConfigError, match="exclude each other"):
        load_config(written(tmp_path, "detector:\n  percentile: 99\n  false_alarms: 1/day\n"), environment={})


def test_a_budget_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"false_alarms is 'often'; give a false-alarm budget such as 1/week"):
        load_config(written(tmp_path, "detector:\n  false_alarms: often\n"), environment={})


@pytest.mark.parametrize("text", [b"\xff\xfe\x00", b"a\x00b", b"[" * 5000, b"x" * 1_000_001])
def test_a_file_that_is_no_config_is_refused_in_one_line(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(written(tmp_path, text), environment={})
    assert "\n" not in str(caught.value)


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="/dev/zero: over 1000000 bytes; this is not a config file"):
        load_config("/dev/zero", environment={})


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, "# nothing\n"), environment={}).config == Config()


def test_nested_aliases_of_yaml_are_not_unfolded(tmp_path: Path) -> None:
    bomb = "\n".join(f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 9) if i else 'lol'}]" for i in range(9))
    with pytest.raises(ConfigError, match="unknown key 'x0'"):
        load_config(written(tmp_path, bomb), environment={})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no such config file"):
        load_config(tmp_path / "none.yaml", environment={})
    with pytest.raises(StorageError, match="cannot read"):
        load_config(tmp_path, environment={})


def test_an_unknown_variable_of_ours_is_refused_and_others_are_not() -> None:
    load_config(None, environment={"HOME": "/x", "EDGE": "1", "EDGE_ASD_DEBUG": "1"})
    with pytest.raises(ConfigError, match="did you mean EDGE_ASD_AUDIO_DEVICE"):
        load_config(None, environment={"EDGE_ASD_AUDIO_DEVCE": "mic0"})


def test_a_wrong_value_in_the_environment_names_the_variable() -> None:
    with pytest.raises(ConfigError, match="EDGE_ASD_ALARM_CONFIRM_S is 'soon'"):
        load_config(None, environment={"EDGE_ASD_ALARM_CONFIRM_S": "soon"})
    with pytest.raises(ConfigError, match="EDGE_ASD_AUDIO_ALIASES"):
        load_config(None, environment={"EDGE_ASD_AUDIO_ALIASES": "{mic0: "})


def test_a_wrong_flag_is_a_usage_error_and_names_the_flag() -> None:
    with pytest.raises(UsageError, match="--channel is -1"):
        load_config(None, environment={}, flags={"audio.channel": Flag("--channel", -1)})


def test_the_printed_config_loads_to_the_same_config_and_tells_origins(tmp_path: Path) -> None:
    loaded = load_config(written(tmp_path, GOOD), environment={"EDGE_ASD_OUTPUT_FORMAT": "json"})
    text = as_yaml(loaded)
    again = tmp_path / "again.yaml"
    again.write_text(text)
    assert load_config(again, environment={}).config == loaded.config
    (line,) = (line for line in text.splitlines() if line.strip().startswith("format:"))
    assert line.endswith("# environment EDGE_ASD_OUTPUT_FORMAT")


def test_defaults_keep_to_their_own_limits_and_to_the_alarms_defaults() -> None:
    from edge_asd.config.check import checked

    config = Config()
    for section in SECTIONS:
        for key, item in fields_of(section).items():
            value = getattr(getattr(config, section), key)
            assert checked(value, item.metadata, key) == value
    assert AlarmSettings(**vars(config.alarm)) == AlarmSettings()


def test_the_nearest_word_is_named_however_far() -> None:
    assert nearest("bundel", ["bundle", "device"]) == "bundle"
    assert nearest("zzz", ["bundle"]) == "bundle"


@pytest.mark.parametrize(("written", "expected"), [("64KiB", 65_536), ("1000", 1000), ("1.5 MB", 1_500_000)])
def test_a_size_may_be_written_with_its_unit(tmp_path: Path, written: str, expected: int) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"model:\n  bank_budget: {written}\n")
    assert load_config(path, environment={}).config.model.bank_budget == expected


PLANT = """\
audio: {device: mic0}
machines:
  fan: {bundle: fan.asd, channel: 0}
  pump:
    bundle: pump.asd
    device: mic1
"""


def test_several_machines_are_named_in_the_file(tmp_path: Path) -> None:
    loaded = load_config(written(tmp_path, PLANT), environment={})
    machines = loaded.config.machines
    assert list(machines) == ["fan", "pump"]
    assert (machines["fan"].bundle, machines["fan"].channel) == (str(tmp_path / "fan.asd"), 0)
    assert (machines["pump"].device, machines["pump"].channel) == ("mic1", None)
    again = load_config(written(tmp_path, as_yaml(loaded)), environment={})
    assert again.config == loaded.config
    assert loaded.origins["machines.pump.device"].endswith(":6")
    assert loaded.origins["machines.pump.rate"] == "default"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("machines:\n  fan: {bundel: fan.asd}\n", 2, "unknown key 'bundel' in machines.fan; did you mean 'bundle'"),
        ("machines:\n  fan: {}\n", 2, "machines.fan is empty"),
        ("machines:\n  fan:\n", 2, "machines.fan is empty"),
        ("machines:\n  ../fan: {bundle: a.asd}\n", 2, "'../fan' is no name for a machine"),
        ("machines: [fan]\n", 1, "machines is not a map"),
        ("machines:\n  fan: {bundle: a.asd}\n  fan: {bundle: b.asd}\n", 3, "given twice"),
        ("machines:\n  fan: {bundle: a.asd, channel: -1}\n", 2, "machines.fan.channel is -1"),
    ],
)
def test_what_is_wrong_with_a_machine_is_named_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, environment={})
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert words in str(caught.value)

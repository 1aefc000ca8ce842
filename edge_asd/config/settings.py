"""Every setting there is: its type, range, unit and default. `load.py` checks values against these classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_asd.config.setting import setting
from edge_asd.config.ways_out import HookConfig, MqttConfig, PrometheusConfig, QueueConfig, WebhookConfig
from edge_asd.monitor.alarm import AlarmSettings


@dataclass(frozen=True)
class AudioConfig:
    """Where the sound comes from."""

    device: str | None = setting(None, kind="text", optional=True)
    """Input device: a name of `aliases`, or a name (or a part of one) that `edge-asd devices` prints."""
    aliases: Mapping[str, str] = setting({}, kind="names")
    """Own names for devices, such as mic0: each stands for a stable name that `edge-asd devices` prints."""
    channel: int | None = setting(None, kind="whole", at_least=0, optional=True)
    """Channel to listen to, counted from 0; unset: the only one, or channel 0 with a note."""
    rate: int | None = setting(None, kind="whole", at_least=4000, at_most=768000, optional=True)
    """Rate asked of the device, or of raw sound on standard input, in Hz; unset: the model's if possible."""
    channels: int = setting(1, kind="whole", at_least=1, at_most=64)
    """Channels of raw sound on standard input; a device and a file know their own."""
    input_format: str = setting("s16le", kind="text", choices=("u8", "s16le", "s24le", "s32le", "f32le", "f64le"))
    """Samples of raw sound on standard input; WAV there is recognised by its header."""


@dataclass(frozen=True)
class ModelConfig:
    """What judges the sound."""

    bundle: str | None = setting(None, kind="path", optional=True)
    """The machine's .asd file, made by `edge-asd enroll`; a relative path counts from the config file."""
    package: str | None = setting(None, kind="path", optional=True)
    """Model package to enrol with (a directory); unset: the one that ships with edge-asd."""
    precision: str = setting("int8", kind="text", choices=("int8", "fp32"))
    """Network to enrol with; a bundle carries its own."""
    runtime: str = setting("auto", kind="text", choices=("auto", "onnxruntime", "litert", "tflite"))
    """Library that runs the network; auto: the first of these that is installed and runs the network's format."""
    threads: int = setting(1, kind="whole", at_least=1, at_most=64)
    """Threads of that library; one leaves the board's other cores alone."""
    accelerator: str = setting("none", kind="text", choices=("none", "cuda", "tensorrt"))
    """What ONNX Runtime uses of a Jetson, with NVIDIA's build of it; where that is not there, the CPU works."""
    engine_cache: str | None = setting(None, kind="path", optional=True)
    """Directory where TensorRT keeps the engines it builds, so that only the first start takes minutes."""
    bank_budget: int | None = setting(None, kind="size", optional=True)
    """What the windows kept in a bundle may take, such as 64KiB, when enrolling; unset: all windows are kept."""
    bank_method: str = setting("k-centre", kind="text", choices=("k-centre", "k-means"))
    """How those to keep are chosen: k-centre (none is far from a kept one) or k-means (the usual ones are near)."""
    public_key: str | None = setting(None, kind="path", optional=True)
    """Public key (`edge-asd sign --new-key` makes one): only bundles signed with its secret key are then taken."""


@dataclass(frozen=True)
class DetectorConfig:
    """How windows become a score. The threshold is fitted anew for whatever is set here."""

    step_s: float | None = setting(None, kind="number", above=0, optional=True)
    """Seconds from one scored window to the next, to enrol with; a bundle carries its own. Unset: the model's (1.02 s).
    Half the step is twice the work; smoothing and confirmation are times and do not change with it."""
    smoothing_s: float | None = setting(None, kind="number", at_least=0, at_most=3600, optional=True)
    """Span of windows, in seconds, whose mean is the score (0: one window); unset: as enrolled."""
    percentile: float | None = setting(None, kind="number", at_least=50, below=100, optional=True)
    """Share of normal scores, in percent, to stay below the threshold (higher: fewer alarms), in place of
    `false_alarms`; unset: as enrolled."""
    false_alarms: str | None = setting(None, kind="budget", optional=True)
    """False alarms accepted from a live stream: 1/week, 0.5/day, 2/month. The threshold is set for it; unset: as
    enrolled (1/week)."""
    session_allowance: str = setting("auto", kind="allowance")
    """To enrol with; a bundle carries its own. How many times further than the enrolled sound that of other days is
    taken to lie, which widens the thresholds: auto (by what the enrolment shows of how sessions differ: twice for a
    single one, nothing for ten), none, or a factor from 1 to 10."""
    adapt: bool = setting(False, kind="switch")
    """Whether a few windows a day of the running sound join the bank, so that slow drift is followed. Only calm sound
    well under the threshold does, after hours in quarantine; `edge-asd enroll --undo-adaptation` takes it back."""


@dataclass(frozen=True)
class AlarmConfig:
    """When scores become an alarm; how the spans add up is told at `edge_asd.monitor.alarm.AlarmSettings`."""

    confirm_s: float = setting(AlarmSettings.confirm_s, kind="number", at_least=0, at_most=86400)
    """Seconds the score stays above the threshold before an alarm starts."""
    release_ratio: float = setting(AlarmSettings.release_ratio, kind="number", above=0, at_most=1)
    """Share of the threshold (50) the score must fall below before an alarm can end: 0.9 means below 45."""
    release_s: float = setting(AlarmSettings.release_s, kind="number", at_least=0, at_most=86400)
    """Seconds it stays there before the alarm ends."""
    cooldown_s: float = setting(AlarmSettings.cooldown_s, kind="number", at_least=0, at_most=604800)
    """Seconds after an alarm's end in which no other starts."""


@dataclass(frozen=True)
class OutputConfig:
    """Where results go."""

    format: str = setting("auto", kind="text", choices=("auto", "meter", "json", "events"))
    """On standard output: a live meter, JSON lines, a line for each event but not for each score (as a service does),
    or auto (meter in a terminal, else JSON lines)."""
    file: str | None = setting(None, kind="path", optional=True)
    """JSON lines are also appended to this file; a relative path counts from the config file."""


@dataclass(frozen=True)
class StoreConfig:
    """What is kept of what happened: events, scores by the minute, clips."""

    enabled: bool | None = setting(None, kind="switch", optional=True)
    """Whether anything is kept; unset: by a service, and by hand where `directory` is set."""
    directory: str | None = setting(None, kind="path", optional=True)
    """Where; unset: the service's state directory, by hand ~/.local/state/edge-asd ($XDG_STATE_HOME). A relative path
    counts from the config file."""
    quota: int = setting(500_000_000, kind="size", at_least=1_000_000)
    """Bytes that all of it may take, such as 500MB; then the oldest clips that are not pinned go, then old scores."""
    reserve_free: int = setting(100_000_000, kind="size")
    """Bytes of the card that stay free: with less, no clips are kept; with less than half, no scores either."""
    clips: bool = setting(True, kind="switch")
    """Keep the sound of alarms. With false, no audio is ever stored."""
    pictures: bool | None = setting(None, kind="switch", optional=True)
    """Keep spectrograms of alarms; unset: as `clips`, since speech can in part be read back from a spectrogram."""
    pre_roll_s: float = setting(10.0, kind="number", at_least=0, at_most=120)
    """Seconds of sound before an alarm's start in its clip."""
    post_roll_s: float = setting(20.0, kind="number", at_least=1, at_most=600)
    """Seconds of sound in its clip after an alarm was raised."""


@dataclass(frozen=True)
class MachineConfig:
    """One of several machines; what is unset here is taken from the sections `audio` and `model`."""

    bundle: str | None = setting(None, kind="path", optional=True)
    """The machine's .asd file; a relative path counts from the config file."""
    device: str | None = setting(None, kind="text", optional=True)
    """Its input device; several machines may share one and listen to different channels."""
    channel: int | None = setting(None, kind="whole", at_least=0, optional=True)
    """Channel to listen to, counted from 0."""
    rate: int | None = setting(None, kind="whole", at_least=4000, at_most=768000, optional=True)
    """Rate asked of the device, in Hz."""


@dataclass(frozen=True)
class Config:
    """The whole configuration, one attribute a section."""

    audio: AudioConfig = field(default_factory=AudioConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    alarm: AlarmConfig = field(default_factory=AlarmConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    queue: QueueConfig = field(default_factory=QueueConfig)
    mqtt: MqttConfig = field(default_factory=MqttConfig)
    webhook: WebhookConfig = field(default_factory=WebhookConfig)
    prometheus: PrometheusConfig = field(default_factory=PrometheusConfig)
    hook: HookConfig = field(default_factory=HookConfig)
    machines: Mapping[str, MachineConfig] = field(default_factory=dict)
    """Name -> machine, to watch several in one process; only in the file. Empty: the one that audio and model set."""


ALTERNATIVES = (("detector.percentile", "detector.false_alarms"),)
"""Settings of which one replaces the other: the one that was given nearer to the command line counts."""

SECTIONS: dict[str, type] = {
    "audio": AudioConfig,
    "model": ModelConfig,
    "detector": DetectorConfig,
    "alarm": AlarmConfig,
    "output": OutputConfig,
    "store": StoreConfig,
    "queue": QueueConfig,
    "mqtt": MqttConfig,
    "webhook": WebhookConfig,
    "prometheus": PrometheusConfig,
    "hook": HookConfig,
}


MACHINES = "machines"
"""The section of named machines, each of them like a section of its own."""


def fields_of(section: str) -> dict[str, dataclasses.Field[Any]]:
    """Key -> field of one section, or of each machine."""
    kind = MachineConfig if section == MACHINES else SECTIONS[section]
    return {item.name: item for item in dataclasses.fields(kind)}

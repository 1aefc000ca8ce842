"""Faults of the configuration: refused with 78 (or what fits better), one line, and never half obeyed."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path
from typing import Any

from benchmarks.chaos.appliance import SETTINGS, Appliance
from benchmarks.chaos.fault import fault
from benchmarks.chaos.faults.bundles import must_refuse
from benchmarks.chaos.trial import Trial

AREA = "config"


def good_config(trial: Trial) -> dict[str, Any]:
    """One that is right."""
    return {"model": {"bundle": str(trial.room.bundle)}, "store": {"directory": "store"}, **SETTINGS}


def refused(trial: Trial, config: dict[str, Any] | str | bytes, code: int, *words: str) -> None:
    """Refused with `code` and one line with these words, before anything is written; mended, it listens."""
    device = trial.appliance()
    device.configure(config)
    must_refuse(trial, device, code, *words)
    trial.must(not device.records, "it listened all the same")
    mended(trial, device)


def mended(trial: Trial, device: Appliance) -> None:
    device.configure(good_config(trial))
    since = device.start()
    trial.recovered(device, since)
    trial.still_well(device)


@fault(
    "config-unknown-key",
    AREA,
    by="`alarm.confrim_s: 3` in the file",
    holds="refused: 78, one line with the nearest known key",
)
def unknown_key(trial: Trial) -> None:
    refused(trial, {**good_config(trial), "alarm": {"confrim_s": 3}}, 78, "confrim_s", "confirm_s")


@fault("config-bad-value", AREA, by="`store.quota: plenty` in the file", holds="refused: 78, key, value, what is meant")
def bad_value(trial: Trial) -> None:
    refused(trial, {**good_config(trial), "store": {"quota": "plenty"}}, 78, "store.quota", "plenty")


@fault(
    "config-two-claims",
    AREA,
    by="two machines that name the same microphone and channel, one of them by an alias",
    holds="refused: 78, both machines and the microphone named",
)
def two_claims(trial: Trial) -> None:
    machines = {"fan": {"device": "mic0"}, "pump": {"device": "mic16"}}
    config = {**good_config(trial), "audio": {"aliases": {"mic0": "mic16"}}, "machines": machines}
    refused(trial, config, 78, "fan", "pump", "mic16")


@fault(
    "config-claimed-by-another-process",
    AREA,
    by="a second service is started with the same store and microphone as the one that runs",
    holds="the first is not disturbed: no alarm of either is lost, the store is sound",
)
def two_processes(trial: Trial) -> None:
    device = trial.listening()
    second = trial.appliance()
    second.start()
    began = time.monotonic()
    trial.until(lambda: not second.running or any(r["type"] == "score" for r in second.records), "neither one")
    if second.running:
        second.stop()
    trial.recovered(device, time.monotonic())
    trial.must(time.monotonic() - began < 60.0, "the first stood still")
    trial.still_well(device)


@fault("config-missing", AREA, by="there is no such file", holds="refused: 66, one line, the file")
def missing(trial: Trial) -> None:
    device = trial.appliance()
    (device.folder / "config.yaml").unlink()
    must_refuse(trial, device, 66, "config.yaml")
    mended(trial, device)


@fault("config-not-utf8", AREA, by="Latin-1 in the file", holds="refused: 78, one line that says so")
def not_utf8(trial: Trial) -> None:
    refused(trial, "audio: {device: 'Lüfter'}\n".encode("latin-1"), 78, "config.yaml")


@fault("config-not-yaml", AREA, by="an unclosed bracket in the file", holds="refused: 78, file and line")
def not_yaml(trial: Trial) -> None:
    refused(trial, "audio: {device: mic0\nmodel: [\n", 78, "config.yaml")


@fault(
    "config-cut-off",
    AREA,
    by="the file is cut off after half its bytes, as by a power cut in an editor",
    holds="refused: 78; never taken for a shorter config",
)
def cut_off(trial: Trial) -> None:
    text = json.dumps(good_config(trial), default=str)
    refused(trial, text[: len(text) // 2], 78, "config.yaml")


@fault(
    "secret-missing",
    AREA,
    by="webhook.secret_file names a file that is not there",
    holds="refused: 66, key and file; never sent unsigned",
)
def secret_missing(trial: Trial) -> None:
    webhook = {"url": "http://127.0.0.1:9/hook", "secret_file": "no-such-secret"}
    refused(trial, {**good_config(trial), "webhook": webhook}, 66, "secret_file", "no-such-secret")


@fault(
    "secret-world-readable",
    AREA,
    by="the secret's file has mode 0644",
    holds="listens, and warns once with the command that mends it; the secret is in no record and no line",
)
def secret_readable(trial: Trial) -> None:
    secret = Path(trial.folder / "device" / "secret")
    webhook = {"url": "http://127.0.0.1:9/hook", "secret_file": str(secret)}
    device = trial.appliance({"webhook": webhook})
    secret.write_text("correct horse battery staple\n")
    secret.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH | stat.S_IWUSR)
    since = device.start()
    trial.recovered(device, since)
    device.said("chmod 600")
    trial.still_well(device)
    shown = device.stderr + json.dumps(device.records)
    trial.must("correct horse" not in shown, "the secret is shown")

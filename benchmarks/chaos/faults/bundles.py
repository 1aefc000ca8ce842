"""Faults of the bundle: cut, flipped, foreign, missing, exchanged under a running service."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.chaos.appliance import SETTINGS, Appliance
from benchmarks.chaos.fault import fault
from benchmarks.chaos.trial import Trial

AREA = "bundle"
MANIFEST = "manifest.json"


def own_bundle(trial: Trial) -> tuple[Appliance, Path]:
    """A service, not started, with a bundle of its own to be spoilt."""
    device = trial.appliance({"model": {"bundle": "fan.asd"}})
    bundle = device.folder / "fan.asd"
    shutil.copyfile(trial.room.bundle, bundle)
    return device, bundle


def refused(trial: Trial, spoil: Callable[[Path], object], code: int, *words: str) -> None:
    """Started with a spoilt bundle it ends with `code` and one line that has these words; mended, it listens."""
    device, bundle = own_bundle(trial)
    spoil(bundle)
    must_refuse(trial, device, code, *words)
    shutil.rmtree(bundle) if bundle.is_dir() else bundle.unlink(missing_ok=True)
    shutil.copyfile(trial.room.bundle, bundle)
    since = device.start()
    trial.recovered(device, since)
    trial.scores_equal(device, since)
    trial.still_well(device)


def must_refuse(trial: Trial, device: Appliance, code: int, *words: str) -> None:
    """It ends soon, with this code and one line."""
    device.stderr = ""
    device.start()
    ended = device.ended(20.0)
    time.sleep(0.2)
    said = device.stderr.strip()
    trial.must(ended == code, f"it ends with {ended}, not {code}: {said}")
    trial.must(said.count("\n") == 0 and said.startswith("edge-asd: "), f"not one line: {said!r}")
    for word in words:
        trial.must(word in said, f"{word!r} is not in {said!r}")


def rewritten(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest inside, with the right hash: as another version of edge-asd could have written it."""
    with zipfile.ZipFile(bundle) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
        old = hashlib.sha256(members[MANIFEST]).hexdigest().encode()
        comment = archive.comment
    manifest = json.loads(members[MANIFEST])
    change(manifest)
    members[MANIFEST] = json.dumps(manifest).encode()
    with zipfile.ZipFile(bundle, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
        archive.comment = comment.replace(old, hashlib.sha256(members[MANIFEST]).hexdigest().encode())


@fault("bundle-truncated", AREA, by="the last third of the file is cut off", holds="refused: 65, one line, the file")
def truncated(trial: Trial) -> None:
    def spoil(bundle: Path) -> None:
        bundle.write_bytes(bundle.read_bytes()[: -(bundle.stat().st_size // 3)])

    refused(trial, spoil, 65, "fan.asd")


@fault(
    "bundle-bits-flipped",
    AREA,
    by="one bit is flipped, at 12 places all over the file, one after the other",
    holds="refused every time (65), unless the bit is in none of its content, and then it scores as before",
)
def flipped(trial: Trial) -> None:
    device, bundle = own_bundle(trial)
    good = bundle.read_bytes()
    caught = 0
    for number in range(12):
        place = trial.rng.randrange(len(good) * number // 12, len(good) * (number + 1) // 12)
        data = bytearray(good)
        data[place] ^= 1 << trial.rng.randrange(8)
        bundle.write_bytes(bytes(data))
        device.stderr = ""
        since = device.start()
        trial.until(lambda: not device.running or any(r["arrived"] > since for r in device.records), "neither")  # noqa: B023
        if device.running:
            trial.scores_equal(device, since)
            device.kill()
        else:
            caught += 1
            trial.must(device.process.returncode == 65, f"it ends with {device.process.returncode}: {device.stderr}")
    trial.must(caught >= 10, f"of 12 flipped bits {caught} were noticed")
    bundle.write_bytes(good)
    since = device.start()
    trial.recovered(device, since)
    trial.still_well(device)


@fault("bundle-missing", AREA, by="there is no such file", holds="refused: 66, one line, the file")
def missing(trial: Trial) -> None:
    refused(trial, Path.unlink, 66, "fan.asd")


@fault("bundle-is-empty", AREA, by="the file has no byte", holds="refused: 65, one line, the file")
def empty(trial: Trial) -> None:
    refused(trial, lambda bundle: bundle.write_bytes(b""), 65, "fan.asd")


@fault(
    "bundle-of-newer-schema",
    AREA,
    by="its manifest says schema 99",
    holds="refused: 65, one line that says so",
)
def newer(trial: Trial) -> None:
    refused(trial, lambda bundle: rewritten(bundle, lambda manifest: manifest.update(schema=99)), 65, "99")


@fault(
    "bundle-replaced-while-running",
    AREA,
    by="the bundle in use is overwritten in place with noise under the running service",
    holds="what runs goes on with what it loaded, scores as before; the next start refuses (65)",
)
def replaced(trial: Trial) -> None:
    device, bundle = own_bundle(trial)
    began = device.start()
    device.score(began)
    with bundle.open("r+b") as file:
        file.write(trial.rng.randbytes(bundle.stat().st_size))
    since = time.monotonic()
    device.microphone("unplug")
    device.source("lost", since)
    since = time.monotonic()
    device.microphone("run")
    trial.recovered(device, since)
    trial.scores_equal(device, since)
    trial.still_well(device)
    must_refuse(trial, device, 65, "fan.asd")


@fault(
    "one-of-two-bundles-damaged",
    AREA,
    by="of two machines in one process one has a bundle of noise",
    holds="the other one is listened to; the first is told as waiting, tried again, and the status shows it",
)
def one_of_two(trial: Trial) -> None:
    machines = {"fan": {"device": "mic16"}, "pump": {"device": "spare", "bundle": "pump.asd"}}
    settings = {name: SETTINGS[name] for name in ("detector", "alarm")}
    device = trial.appliance({"machines": machines, "audio": {}, **settings})
    device.play("normal", "spare")
    (device.folder / "pump.asd").write_bytes(trial.rng.randbytes(4096))
    began = device.start()
    trial.recovered(device, began, "fan")
    device.wait(
        lambda r: r["type"] == "source" and r["machine"] == "pump" and r["event"] == "waiting", "word of the pump"
    )
    trial.must(device.status()["machines"]["pump"]["state"] != "listening", "the status says that all is well")
    trial.still_well(device)


def other_rate(manifest: dict[str, Any]) -> None:
    """A front end for 32 kHz in the contract of a network trained on 16 kHz."""
    manifest["contract"]["features"]["rate_hz"] = 32000


@fault(
    "bundle-for-another-rate",
    AREA,
    by="the rate in its contract is changed to 32 kHz; the microphone gives 16 kHz",
    holds="told as a microphone too slow for the bundle, in records and status; with the right one all is well",
)
def rate(trial: Trial) -> None:
    device, bundle = own_bundle(trial)
    rewritten(bundle, other_rate)
    since = device.start()
    told = device.wait(lambda r: r["type"] == "health" and r["kind"] == "narrow", "word of it", since=since)
    trial.must("16000 Hz" in told["message"] and "32000 Hz" in told["message"], f"told is {told['message']!r}")
    device.score(since)
    trial.must("narrow" in str(device.status()), "the status does not show it")
    device.stop()
    shutil.copyfile(trial.room.bundle, bundle)
    since = device.start()
    trial.recovered(device, since)
    trial.scores_equal(device, since)
    trial.still_well(device)

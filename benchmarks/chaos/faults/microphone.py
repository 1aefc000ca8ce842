"""Faults of the microphone, at the level of its ALSA driver: a real PortAudio meets them."""

from __future__ import annotations

import dataclasses
import time

from benchmarks.chaos.appliance import SETTINGS, Appliance
from benchmarks.chaos.fault import fault
from benchmarks.chaos.trial import Trial
from edge_asd.bundle.bundle import load_bundle, save_bundle

AREA = "microphone"


def health(trial: Trial, device: Appliance, sound: str, kind: str) -> None:
    """The microphone hears `sound`; that must be told as `kind`, and its end as well."""
    since = time.monotonic()
    device.play(sound)
    device.wait(
        lambda r: r["type"] == "health" and r["kind"] == kind and r["state"] == "start", f"word of {kind}", since=since
    )
    trial.must(kind in str(device.status().get("machines", {})), f"the status does not show {kind}")
    since = time.monotonic()
    device.play("normal")
    trial.recovered(device, since)
    device.wait(
        lambda r: r["type"] == "health" and r["kind"] == kind and r["state"] == "end", f"the end of {kind}", since=since
    )
    # The fault of the microphone may have sounded like one of the machine; that alarm ends as any other.
    trial.until(lambda: not open_alarms(device), "an alarm stays on")
    trial.still_well(device)


def open_alarms(device: Appliance) -> set[tuple[str, str]]:
    """Alarms told to have started and not to have ended."""
    told = device.told()
    return {(m, i) for m, i, s in told if s == "start"} - {(m, i) for m, i, s in told if s == "end"}


def away_and_back(trial: Trial, device: Appliance, state: str, away_s: float, *words: str) -> None:
    """The microphone does `state` for a while; it must be waited for, said so, and taken up again."""
    since = time.monotonic()
    device.microphone(state)
    lost = device.wait(
        lambda r: r["type"] == "source" and r["event"] in ("lost", "waiting"), "word of the loss", since=since
    )
    for word in words:
        trial.must(word in lost["message"], f"{word!r} is not in {lost['message']!r}")
    time.sleep(away_s)
    trial.must(device.running, "it ended")
    trial.must(device.status()["machines"]["fan"]["state"] != "listening", "the status says it listens")
    since = time.monotonic()
    device.microphone("run")
    back = device.source("back", since)
    trial.must(back["lost_s"] > 0, "the sound that was missed is not counted")
    trial.recovered(device, since)
    trial.scores_equal(device, since)


@fault(
    "unplugged-and-replugged",
    AREA,
    by="the driver says ENODEV for 4 s",
    holds="waits, says so, feeds the watchdog from waiting; back by itself, scores as before",
)
def unplugged(trial: Trial) -> None:
    device = trial.listening()
    away_and_back(trial, device, "unplug", 4.0)
    trial.still_well(device)


@fault(
    "unplugged-five-times",
    AREA,
    by="the driver says ENODEV for 1 s, five times within half a minute: a loose plug",
    holds="back each time",
)
def unplugged_often(trial: Trial) -> None:
    device = trial.listening()
    for _ in range(5):
        away_and_back(trial, device, "unplug", 1.0)
    trial.still_well(device)


@fault(
    "unplugged-mid-alarm",
    AREA,
    by="the driver says ENODEV while an alarm is on, for 4 s; the machine is mended meanwhile",
    holds="the alarm ends once, with its own id, when sound is back",
)
def unplugged_mid_alarm(trial: Trial) -> None:
    device = trial.listening()
    started = device.alarm(end=False)
    device.play("normal")
    away_and_back(trial, device, "unplug", 4.0)
    device.wait(lambda r: r["type"] == "alarm" and r["state"] == "end" and r["id"] == started["id"], "its end")
    trial.still_well(device)


@fault(
    "stalled-driver",
    AREA,
    by="the driver gives neither sound nor an error for 6 s",
    holds="noticed after 3 s, said, opened anew",
)
def stalled(trial: Trial) -> None:
    device = trial.listening()
    away_and_back(trial, device, "stall", 6.0, "no sound")
    trial.still_well(device)


@fault(
    "busy-at-start",
    AREA,
    by="opening the device says EBUSY for 5 s, also to whoever lists devices",
    holds="waits for it and says what it can be given instead; then listens",
)
def busy(trial: Trial) -> None:
    device = trial.appliance()
    device.microphone("busy")
    device.start()
    waiting = device.source("waiting")
    trial.must("mic16" in waiting["message"] and "spare" in waiting["message"], f"says {waiting['message']!r}")
    time.sleep(5.0)
    since = time.monotonic()
    device.microphone("run")
    trial.recovered(device, since)
    trial.scores_equal(device, 0.0)
    trial.still_well(device)


@fault(
    "not-there-at-boot",
    AREA,
    by="the driver says ENODEV from before the start, for 8 s",
    holds="READY and WATCHDOG=1 from the waiting state, then listens",
)
def not_there(trial: Trial) -> None:
    device = trial.appliance()
    device.microphone("unplug")
    began = device.start()
    device.source("waiting")
    trial.until(lambda: device.watched_by_manager(began) >= 2, "the watchdog is not fed while waiting")
    time.sleep(3.0)
    since = time.monotonic()
    device.microphone("run")
    trial.recovered(device, since)
    trial.scores_equal(device, 0.0)
    trial.still_well(device)


@fault(
    "back-at-another-rate",
    AREA,
    by="unplugged; the device that comes back runs at 48 kHz only",
    holds="opened at that rate and resampled; back at its own rate, scores as before",
)
def other_rate(trial: Trial) -> None:
    device = trial.listening()
    since = time.monotonic()
    device.microphone("unplug")
    device.source("lost", since)
    (device.folder / "mic16.rate").write_text("48000")
    since = time.monotonic()
    device.microphone("run")
    back = device.source("back", since)
    trial.must("48000" in back["message"], f"it came back with {back['message']!r}")
    trial.recovered(device, since)
    since = time.monotonic()
    (device.folder / "mic16.rate").unlink()
    device.microphone("unplug")
    device.source("lost", since)
    device.microphone("run")
    since = time.monotonic()
    device.source("back", since)
    trial.scores_equal(device, since)
    trial.until(lambda: not open_alarms(device), "an alarm stays on")
    trial.still_well(device)


@fault(
    "overrun-storm",
    AREA,
    by="the driver loses a quarter of a second and flags an xrun, 15 times in 15 s",
    holds="each loss is counted, the health event says so; it listens on",
)
def overruns(trial: Trial) -> None:
    device = trial.listening()
    since = time.monotonic()
    for number in range(1, 16):
        device.microphone(f"overrun:{number}:4000")
        time.sleep(1.0)
    device.wait(lambda r: r["type"] == "health" and r["kind"] == "overruns", "word of overruns", since=since)
    told = sum(r["type"] == "source" and r["lost_s"] > 0 and r["arrived"] >= since for r in list(device.records))
    trial.must(told >= 8, f"of 15 losses {told} were told")
    since = time.monotonic()
    device.microphone("run")
    trial.recovered(device, since)
    trial.until(lambda: not open_alarms(device), "an alarm stays on")
    trial.still_well(device)


@fault("dead-capsule", AREA, by="the driver gives nothing but zeros", holds="told as dead within 10 s, and its end")
def dead(trial: Trial) -> None:
    health(trial, trial.listening(), "dead", "dead")


@fault("clipped", AREA, by="the sound is 36 dB louder and cut at full scale", holds="told as clipped, and its end")
def clipped(trial: Trial) -> None:
    health(trial, trial.listening(), "clipped", "clipped")


@fault("mains-hum", AREA, by="50 Hz is added, as by a broken shield", holds="told as hum, and its end")
def hum(trial: Trial) -> None:
    health(trial, trial.listening(), "hum", "hum")


@fault(
    "swapped-microphone",
    AREA,
    by="the bundle was enrolled with a microphone of another name",
    holds="told as swapped at the start; it listens all the same",
)
def swapped(trial: Trial) -> None:
    bundle = load_bundle(trial.room.bundle)
    other = trial.folder / "fan.asd"
    save_bundle(dataclasses.replace(bundle, provenance={**bundle.provenance, "microphone": "usb:1:2:3"}), other)
    device = trial.appliance({"model": {"bundle": str(other)}})
    since = device.start()
    device.wait(lambda r: r["type"] == "health" and r["kind"] == "swapped", "word of it")
    trial.recovered(device, since)
    trial.scores_equal(device, since)
    trial.still_well(device)


@fault(
    "prepare-fails",
    AREA,
    by="after an xrun the driver can no longer be prepared: PortAudio's thread spins without end",
    holds="noticed; while the driver hangs the watchdog starves, so that it is started anew; then it listens",
)
def prepare_fails(trial: Trial) -> None:
    device = trial.listening()
    since = time.monotonic()
    device.microphone("broken")
    device.source("lost", since)
    time.sleep(12.0)
    starved = not device.watched_by_manager(time.monotonic() - 1.0)
    since = time.monotonic()
    device.microphone("run")
    if starved:
        device.kill()  # as the manager does, after WatchdogSec
        since = device.start()
    trial.recovered(device, since)
    trial.still_well(device)


@fault(
    "driver-hangs",
    AREA,
    by="no sound, and stopping the stream never returns, for 30 s",
    holds="said once; the watchdog starves; killed as the manager would, the next start listens",
)
def driver_hangs(trial: Trial) -> None:
    device = trial.listening()
    since = time.monotonic()
    device.microphone("hang")
    device.source("lost", since)
    device.wait(lambda r: "does not answer" in r.get("message", ""), "word of the hanging driver", since=since)
    since = time.monotonic()
    time.sleep(15.0)
    trial.must(not device.watched_by_manager(since), "the watchdog is fed while the driver hangs")
    device.kill()
    device.microphone("run")
    since = device.start()
    trial.recovered(device, since)
    trial.scores_equal(device, since)
    trial.still_well(device)


def two_machines(trial: Trial, **machines: dict[str, object]) -> Appliance:
    """A fan and a pump, each with a microphone of its own."""
    config = {"fan": {"device": "mic16"}, "pump": {"device": "spare"}}
    for name, own in machines.items():
        config[name] = {**config[name], **own}  # type: ignore[dict-item]
    device = trial.appliance({"machines": config, "audio": {}, **{k: SETTINGS[k] for k in ("detector", "alarm")}})
    device.play("normal", "spare")
    return device


@fault(
    "one-of-two-unplugged",
    AREA,
    by="two machines in one process; the microphone of one says ENODEV for 6 s",
    holds="the other one's scores and alarms go on; the first comes back by itself",
)
def one_of_two(trial: Trial) -> None:
    device = two_machines(trial)
    began = device.start()
    device.score(began, "fan")
    device.score(began, "pump")
    since = time.monotonic()
    device.microphone("unplug")
    device.source("lost", since)
    started = device.alarm("spare")
    trial.must(started["machine"] == "pump", "the wrong machine raised the alarm")
    time.sleep(2.0)
    since = time.monotonic()
    device.microphone("run")
    trial.recovered(device, since, "fan")
    device.score(time.monotonic(), "pump")
    trial.until(lambda: not open_alarms(device), "an alarm stays on")
    trial.still_well(device)

"""Faults of a webhook's receiver and of the queue before it: over real sockets."""

from __future__ import annotations

import socket
import time

import numpy as np
import soundfile

from benchmarks.chaos.appliance import Appliance
from benchmarks.chaos.fault import fault
from benchmarks.chaos.receivers import WebhookReceiver
from benchmarks.chaos.room import RATE_HZ
from benchmarks.chaos.telling import AREA, QUEUE, ends_told, never_waited, told_after_all, untold
from benchmarks.chaos.trial import Trial

WEEK_ALARMS = 150


def queued(receiver: WebhookReceiver) -> dict[str, object]:
    """Settings for a webhook with its queue."""
    return {"webhook": {"url": receiver.url, "timeout_s": 2, "send": "alarms"}, **QUEUE}


def webhook(trial: Trial, **settings: object) -> tuple[WebhookReceiver, Appliance]:
    """A receiver that listens, and a service, not started, that tells it."""
    receiver = WebhookReceiver()
    receiver.start()
    trial.leave(receiver.stop)
    return receiver, trial.appliance({**queued(receiver), **settings})


@fault(
    "webhook-down",
    AREA,
    by="nobody listens on the port for two alarms' time; then the receiver is back",
    holds="listening never waits; both alarms wait on the card and arrive, under the same ids",
)
def down(trial: Trial) -> None:
    receiver, device = webhook(trial)
    device.score(device.start())
    device.alarm()
    receiver.stop()
    untold(trial, device, 2)
    receiver.start()
    told_after_all(trial, device, receiver)


@fault(
    "webhook-down-and-power-cut",
    AREA,
    by="nobody listens; an alarm; SIGKILL; the receiver is back; a new start",
    holds="what waited is sent by the next start",
)
def down_and_killed(trial: Trial) -> None:
    receiver, device = webhook(trial)
    device.score(device.start())
    receiver.stop()
    device.alarm()
    time.sleep(0.5)
    device.kill()
    receiver.start()
    since = device.start()
    told_after_all(trial, device, receiver, since)


@fault(
    "webhook-down-for-a-week",
    AREA,
    by=f"nobody listens for {2 * WEEK_ALARMS} alarms (one every 34 minutes of a week) and a restart, faster than real",
    holds="the queue stays bounded; every alarm arrives afterwards",
)
def down_for_a_week(trial: Trial) -> None:
    receiver, device = webhook(trial)
    receiver.stop()
    loops = [np.fromfile(trial.room.sound(name), "<i2") for name in ("normal", "faulty")]
    cycle = np.concatenate([loops[0][: 5 * RATE_HZ], loops[1][: 4 * RATE_HZ]])
    sound = trial.folder / "week.wav"
    soundfile.write(sound, np.tile(cycle, WEEK_ALARMS), RATE_HZ, subtype="PCM_16")
    for _ in range(2):
        playing = trial.appliance(queued(receiver), words=["--input", str(sound), "--fast"])
        playing.start()
        trial.must(playing.ended(120.0) == 0, f"it ends with {playing.process.returncode}: {playing.stderr[-300:]}")
        time.sleep(0.5)
        device.records += playing.records
    trial.must(len(device.told()) >= 3 * WEEK_ALARMS, f"only {len(device.told())} starts and ends of alarms were told")
    receiver.start()
    since = device.start()
    told_after_all(trial, device, receiver, since)


@fault(
    "webhook-slow",
    AREA,
    by="the receiver takes 1.5 s for each answer, then longer than the limit of 2 s, then none",
    holds="listening never waits; all alarms arrive",
)
def slow(trial: Trial) -> None:
    receiver, device = webhook(trial)
    device.score(device.start())
    since = time.monotonic()
    for receiver.slow_s in (1.5, 6.0):
        device.alarm()
    never_waited(trial, device, since)
    receiver.slow_s = 0.0
    told_after_all(trial, device, receiver)


@fault(
    "webhook-answers-503",
    AREA,
    by="the receiver answers 503 for two alarms' time, then 204",
    holds="tried again with growing pauses; both arrive",
)
def unavailable(trial: Trial) -> None:
    receiver, device = webhook(trial)
    device.score(device.start())
    receiver.answer = 503
    untold(trial, device, 2)
    trial.must(receiver.asked < 20, f"the receiver was asked {receiver.asked} times")
    receiver.answer = 204
    told_after_all(trial, device, receiver)


@fault(
    "webhook-answers-400",
    AREA,
    by="the receiver answers 400 to one alarm, then 204",
    holds="what is refused is said and dropped, and does not block what follows; the store has it",
)
def refusing(trial: Trial) -> None:
    receiver, device = webhook(trial)
    device.score(device.start())
    receiver.answer = 400
    refused = device.alarm()
    device.said("refused")
    trial.until(lambda: receiver.asked >= 2, "its end is never sent")
    receiver.answer = 204
    since = time.monotonic()
    later = device.alarm()
    trial.until(lambda: ("fan", later["id"], "end") in receiver.alarms, "the next alarm does not arrive")
    trial.recovery_s = time.monotonic() - since
    trial.must(("fan", refused["id"], "start") not in receiver.alarms, "the refused one was taken")
    trial.ends_well(device)


@fault(
    "webhook-black-hole",
    AREA,
    by="connections are accepted and nothing is ever answered, for two alarms' time",
    holds="listening never waits; afterwards both arrive",
)
def black_hole(trial: Trial) -> None:
    receiver, device = webhook(trial)
    receiver.stop()
    hole = socket.create_server(("127.0.0.1", receiver.port))
    device.score(device.start())
    untold(trial, device, 2)
    hole.close()
    receiver.start()
    told_after_all(trial, device, receiver)


@fault(
    "queue-damaged",
    AREA,
    by="stopped; the queue's database is overwritten with noise; started",
    holds="put aside and said; a new queue; alarms from then on arrive",
)
def queue_damaged(trial: Trial) -> None:
    receiver, device = webhook(trial)
    device.score(device.start())
    device.alarm()
    device.stop()
    for path in (device.folder / "queue").glob("webhook.db*"):
        path.write_bytes(trial.rng.randbytes(max(4096, path.stat().st_size)))
    device.records.clear()
    since = device.start()
    trial.recovered(device, since)
    ends_told(trial, device, receiver)


@fault(
    "queue-card-full",
    AREA,
    by="the queue's file system has no byte left for an alarm's time",
    holds="said; the alarm goes out all the same, once there is room",
)
def queue_full(trial: Trial) -> None:
    from benchmarks.chaos.faults.disk import fill

    receiver, device = webhook(trial, queue={"directory": "card/queue"})
    card = trial.mounted(device.folder / "card", "1m")
    device.score(device.start())
    device.alarm()
    since = time.monotonic()
    fill(card / "hog")
    device.alarm()
    never_waited(trial, device, since)
    (card / "hog").unlink()
    told_after_all(trial, device, receiver)

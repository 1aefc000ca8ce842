"""Faults of an MQTT broker: a real mosquitto."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from benchmarks.chaos.appliance import Appliance
from benchmarks.chaos.fault import NotPossible, fault
from benchmarks.chaos.receivers import Subscriber
from benchmarks.chaos.telling import AREA, QUEUE, first_told, told_after_all, untold
from benchmarks.chaos.trial import Trial
from tests.fakes.broker import PROGRAM, Mosquitto
from tests.fakes.certificates import Authority


def broker(trial: Trial, *lines: str, anonymous: bool = True) -> Mosquitto:
    """A broker of this trial's own."""
    if PROGRAM is None:
        raise NotPossible("mosquitto is not installed (apt install mosquitto)")
    folder = trial.folder / "broker"
    # So that it still knows, after SIGKILL, for whom it must keep messages until they subscribe again.
    memory = ("persistence true", f"persistence_location {folder}/", "autosave_on_changes true", "autosave_interval 1")
    made = Mosquitto(folder, *memory, *lines, anonymous=anonymous)
    trial.leave(made.kill)
    return made


def mqtt(trial: Trial, port: int, **settings: object) -> Appliance:
    """A service, not started, that tells a broker."""
    own = {"host": "localhost", "port": port, "device_id": "pi", "keepalive_s": 5, **settings}
    return trial.appliance({"mqtt": own, **QUEUE})


def subscribed(trial: Trial, port: int, **login: str) -> Subscriber:
    """Somebody who listens to the broker."""
    listener = Subscriber(port, **login)
    trial.leave(listener.close)
    trial.until(listener.ready, "nobody can subscribe", 20.0)
    return listener


@fault(
    "broker-down-at-start",
    AREA,
    by="mosquitto is not running at the start and for one alarm, then it is",
    holds="listening never waits; the alarm arrives",
)
def broker_down(trial: Trial) -> None:
    running = broker(trial)
    running.kill()
    device = mqtt(trial, running.port)
    device.score(device.start())
    untold(trial, device)
    running.start()
    listener = subscribed(trial, running.port)
    told_after_all(trial, device, listener)


@fault(
    "broker-restarts",
    AREA,
    by="mosquitto is killed (SIGKILL) for one alarm's time and started again",
    holds="connected again, machines announced anew; the alarm arrives",
)
def broker_restarts(trial: Trial) -> None:
    running = broker(trial)
    listener = subscribed(trial, running.port)
    device = mqtt(trial, running.port)
    first_told(trial, device, listener)
    running.kill()
    untold(trial, device)
    running.start()
    trial.until(listener.ready, "the listener does not come back", 20.0)
    told_after_all(trial, device, listener)


@fault(
    "broker-freezes",
    AREA,
    by="mosquitto is stopped (SIGSTOP) with its connections open for 12 s and one alarm",
    holds="noticed by silence; listening never waits; the alarm arrives",
)
def broker_freezes(trial: Trial) -> None:
    running = broker(trial)
    listener = subscribed(trial, running.port)
    device = mqtt(trial, running.port)
    first_told(trial, device, listener)
    running.freeze()
    untold(trial, device, lasts_s=12.0)
    running.thaw()
    trial.until(listener.ready, "the listener does not come back", 20.0)
    told_after_all(trial, device, listener)


@fault(
    "broker-wrong-password",
    AREA,
    by="the broker asks for another password than the one set, for one alarm's time; then it is given the right one",
    holds="said, the password never shown; listening goes on; the alarm arrives afterwards",
)
def wrong_password(trial: Trial) -> None:
    passwords = trial.folder / "passwords"
    _set(passwords, "other")
    running = broker(trial, f"password_file {passwords}", anonymous=False)
    secret = trial.folder / "secret"
    secret.write_text("rosebud\n")
    secret.chmod(0o600)
    device = mqtt(trial, running.port, user="edge", password_file=str(secret))
    device.score(device.start())
    untold(trial, device, said="mqtt:")
    running.kill()
    _set(passwords, "rosebud")
    running.start()
    listener = subscribed(trial, running.port, user="edge", password="rosebud")
    told_after_all(trial, device, listener)
    trial.must("rosebud" not in device.stderr + json.dumps(device.records), "the password is shown")


def _set(passwords: Path, password: str) -> None:
    passwords.unlink(missing_ok=True)
    done = subprocess.run(
        ["mosquitto_passwd", "-b", "-c", str(passwords), "edge", password], capture_output=True, text=True
    )
    if done.returncode:
        raise NotPossible(f"mosquitto_passwd: {done.stderr.strip()}")
    passwords.chmod(0o644)


@fault(
    "broker-bad-certificate",
    AREA,
    by="the broker shows a certificate of the right authority for another host, for one alarm's time; then a right one",
    holds="said; nothing is sent over it; listening goes on; the alarm arrives afterwards",
)
def bad_certificate(trial: Trial) -> None:
    authority = Authority(trial.folder)
    wrong, key = authority.issue("other.example")
    right, right_key = authority.issue("localhost")
    shown, shown_key = trial.folder / "shown.pem", trial.folder / "shown.key"
    shown.write_bytes(wrong.read_bytes())
    shown_key.write_bytes(key.read_bytes())
    for path in (shown, shown_key):
        path.chmod(0o644)
    running = broker(trial, f"cafile {authority.certificate}", f"certfile {shown}", f"keyfile {shown_key}")
    device = mqtt(trial, running.port, tls=True, ca_file=str(authority.certificate))
    device.score(device.start())
    untold(trial, device, said="certificate")
    running.kill()
    shown.write_bytes(right.read_bytes())
    shown_key.write_bytes(right_key.read_bytes())
    running.start()
    listener = subscribed(trial, running.port, ca=str(authority.certificate))
    told_after_all(trial, device, listener)

"""Faults of the network and of those who are told: over real sockets, a real mosquitto, real commands."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.chaos.appliance import Appliance
from benchmarks.chaos.fault import NotPossible, fault
from benchmarks.chaos.receivers import Received, Subscriber, WebhookReceiver, free_port
from benchmarks.chaos.room import RATE_HZ
from benchmarks.chaos.trial import Trial
from tests.fakes.broker import PROGRAM, Mosquitto
from tests.fakes.certificates import Authority

AREA = "receiver"
LONGEST_GAP_S = 3.0
"""Between two scores (they are due every 0.26 s): more means that somebody waits for a receiver."""
WEEK_ALARMS = 150


def queued(receiver: WebhookReceiver) -> dict[str, object]:
    """Settings for a webhook, its queue in the appliance's folder."""
    return {"webhook": {"url": receiver.url, "timeout_s": 2, "send": "alarms"}, "queue": {"directory": "queue"}}


def webhook(trial: Trial) -> tuple[WebhookReceiver, Appliance]:
    """A receiver that listens, and a service, not started, that tells it."""
    receiver = WebhookReceiver()
    receiver.start()
    trial.leave(receiver.stop)
    return receiver, trial.appliance(queued(receiver))


def never_waited(trial: Trial, device: Appliance, since: float) -> None:
    """Scores kept coming all the time."""
    arrived = [since] + [r["arrived"] for r in list(device.records) if r["type"] == "score" and r["arrived"] > since]
    arrived.append(time.monotonic())
    longest = max(b - a for a, b in itertools.pairwise(arrived))
    trial.must(longest < LONGEST_GAP_S, f"for {longest:.1f} s there was no score")


def all_there(trial: Trial, device: Appliance, receiver: Received, since: float) -> None:
    """Every alarm told so far arrives, each under one id; how long that takes is the time to recover."""
    try:
        trial.until(lambda: device.told() <= receiver.alarms, "alarms do not arrive", 90.0)
    finally:
        trial.events_lost += len(device.told() - receiver.alarms)
    trial.recovery_s = time.monotonic() - since
    trial.must(not receiver.renamed, f"came under two ids: {receiver.renamed}")


def ends_told(trial: Trial, device: Appliance, receiver: Received) -> None:
    """One more alarm, which arrives as well; then an orderly end."""
    device.alarm()
    trial.until(lambda: device.told() <= receiver.alarms, "the last alarm does not arrive")
    trial.ends_well(device)


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
    since = time.monotonic()
    device.alarm()
    device.alarm()
    never_waited(trial, device, since)
    receiver.start()
    all_there(trial, device, receiver, time.monotonic())
    ends_told(trial, device, receiver)


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
    all_there(trial, device, receiver, since)
    ends_told(trial, device, receiver)


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
    all_there(trial, device, receiver, since)
    ends_told(trial, device, receiver)


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
    all_there(trial, device, receiver, time.monotonic())
    ends_told(trial, device, receiver)


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
    since = time.monotonic()
    device.alarm()
    device.alarm()
    trial.must(receiver.asked < 20, f"the receiver was asked {receiver.asked} times")
    never_waited(trial, device, since)
    receiver.answer = 204
    all_there(trial, device, receiver, time.monotonic())
    ends_told(trial, device, receiver)


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
    since = time.monotonic()
    device.alarm()
    device.alarm()
    never_waited(trial, device, since)
    hole.close()
    receiver.start()
    all_there(trial, device, receiver, time.monotonic())
    ends_told(trial, device, receiver)


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

    receiver = WebhookReceiver()
    receiver.start()
    trial.leave(receiver.stop)
    device = trial.appliance({**queued(receiver), "queue": {"directory": "card/queue"}})
    card = trial.mounted(device.folder / "card", "1m")
    device.score(device.start())
    device.alarm()
    since = time.monotonic()
    fill(card / "hog")
    device.alarm()
    never_waited(trial, device, since)
    (card / "hog").unlink()
    all_there(trial, device, receiver, time.monotonic())
    ends_told(trial, device, receiver)


# MQTT


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
    return trial.appliance({"mqtt": own, "queue": {"directory": "queue"}})


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
    began = device.start()
    device.score(began)
    since = time.monotonic()
    device.alarm()
    never_waited(trial, device, since)
    running.start()
    listener = subscribed(trial, running.port)
    all_there(trial, device, listener, time.monotonic())
    ends_told(trial, device, listener)


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
    device.score(device.start())
    device.alarm()
    trial.until(lambda: device.told() <= listener.alarms, "not even the first alarm arrives")
    running.kill()
    since = time.monotonic()
    device.alarm()
    never_waited(trial, device, since)
    running.start()
    trial.until(listener.ready, "the listener does not come back", 20.0)
    all_there(trial, device, listener, time.monotonic())
    ends_told(trial, device, listener)


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
    device.score(device.start())
    device.alarm()
    trial.until(lambda: device.told() <= listener.alarms, "not even the first alarm arrives")
    running.freeze()
    since = time.monotonic()
    device.alarm()
    time.sleep(max(0.0, since + 12.0 - time.monotonic()))
    never_waited(trial, device, since)
    running.thaw()
    trial.until(listener.ready, "the listener does not come back", 20.0)
    all_there(trial, device, listener, time.monotonic())
    ends_told(trial, device, listener)


@fault(
    "broker-wrong-password",
    AREA,
    by="the broker asks for another password than the one set, for one alarm's time; then it is given the right one",
    holds="said, the password never shown; listening goes on; the alarm arrives afterwards",
)
def wrong_password(trial: Trial) -> None:
    passwords = trial.folder / "passwords"
    running = broker(trial, f"password_file {passwords}", anonymous=False) if _set(passwords, "other") else None
    assert running is not None
    secret = trial.folder / "secret"
    secret.write_text("rosebud\n")
    secret.chmod(0o600)
    device = mqtt(trial, running.port, user="edge", password_file=str(secret))
    device.score(device.start())
    since = time.monotonic()
    device.alarm()
    device.said("mqtt:")
    never_waited(trial, device, since)
    running.kill()
    _set(passwords, "rosebud")
    running.start()
    listener = subscribed(trial, running.port, user="edge", password="rosebud")
    all_there(trial, device, listener, time.monotonic())
    ends_told(trial, device, listener)
    trial.must("rosebud" not in device.stderr + json.dumps(device.records), "the password is shown")


def _set(passwords: Path, password: str) -> bool:
    passwords.unlink(missing_ok=True)
    done = subprocess.run(
        ["mosquitto_passwd", "-b", "-c", str(passwords), "edge", password], capture_output=True, text=True
    )
    if done.returncode:
        raise NotPossible(f"mosquitto_passwd: {done.stderr.strip()}")
    passwords.chmod(0o644)
    return True


@fault(
    "broker-bad-certificate",
    AREA,
    by="the broker shows a certificate of the right authority for another host, for one alarm's time; then a right one",
    holds="said; nothing is sent over it; listening goes on; the alarm arrives afterwards",
)
def bad_certificate(trial: Trial) -> None:
    if PROGRAM is None:
        raise NotPossible("mosquitto is not installed (apt install mosquitto)")
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
    since = time.monotonic()
    device.alarm()
    device.said("certificate")
    never_waited(trial, device, since)
    running.kill()
    shown.write_bytes(right.read_bytes())
    shown_key.write_bytes(right_key.read_bytes())
    running.start()
    listener = subscribed(trial, running.port, ca=str(authority.certificate))
    all_there(trial, device, listener, time.monotonic())
    ends_told(trial, device, listener)


# Prometheus and the hook


@fault(
    "scraped-hard",
    AREA,
    by="8 clients fetch /metrics without pause for 8 s, and 40 connect and say nothing",
    holds="listening never waits; figures are served again afterwards",
)
def scraped(trial: Trial) -> None:
    port = free_port()
    device = trial.appliance({"prometheus": {"port": port}})
    device.score(device.start())
    url = f"http://127.0.0.1:{port}/metrics"
    trial.until(lambda: _fetched(url), "no figures are served")
    stop = threading.Event()

    def hammer() -> None:
        while not stop.is_set():
            _fetched(url)

    threads = [threading.Thread(target=hammer, daemon=True) for _ in range(8)]
    since = time.monotonic()
    for thread in threads:
        thread.start()
    silent = []
    for _ in range(40):
        try:
            silent.append(socket.create_connection(("127.0.0.1", port), timeout=1.0))
        except OSError:
            break
    device.alarm()
    time.sleep(max(0.0, since + 8.0 - time.monotonic()))
    stop.set()
    never_waited(trial, device, since)
    for connection in silent:
        connection.close()
    since = time.monotonic()
    trial.until(lambda: "edge_asd" in _fetched(url), "no figures are served afterwards")
    trial.recovery_s = time.monotonic() - since
    trial.still_well(device)


def _fetched(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=3.0) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


HOOK = """
import json, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
with (folder / "got.jsonl").open("a") as file:
    file.write(sys.stdin.read())
mode = (folder / "mode").read_text()
time.sleep(600 if mode == "hang" else 0)
sys.exit(int(mode) if mode.isdigit() else 0)
"""


def hooked(trial: Trial, mode: str) -> Appliance:
    """A service, not started, whose hook notes what it is given and then does as `mode` says."""
    (trial.folder / "mode").write_text(mode)
    (trial.folder / "got.jsonl").touch()
    command = [sys.executable, "-c", HOOK, str(trial.folder)]
    return trial.appliance({"hook": {"command": command, "timeout_s": 2}, "queue": {"directory": "queue"}})


def got(trial: Trial) -> Received:
    """What the hook was given."""
    received = Received()
    for line in (trial.folder / "got.jsonl").read_text().splitlines():
        received.take(line)
    return received


@fault(
    "hook-hangs",
    AREA,
    by="the command never returns, for one alarm's time",
    holds="killed after its limit, with what it started; listening never waits; the next alarm is handed to it",
)
def hook_hangs(trial: Trial) -> None:
    device = hooked(trial, "hang")
    device.score(device.start())
    since = time.monotonic()
    device.alarm()
    device.said("killed")
    never_waited(trial, device, since)
    (trial.folder / "mode").write_text("0")
    since = time.monotonic()
    device.alarm()
    trial.until(lambda: device.told() <= got(trial).alarms, "the hook is not called any more")
    trial.recovery_s = time.monotonic() - since
    trial.ends_well(device)


@fault(
    "hook-fails-for-a-while",
    AREA,
    by="the command ends with 75 (try later) for one alarm's time, then with 0",
    holds="called again until it takes it, with the same id",
)
def hook_fails(trial: Trial) -> None:
    device = hooked(trial, "75")
    device.score(device.start())
    since = time.monotonic()
    device.alarm()
    never_waited(trial, device, since)
    (trial.folder / "mode").write_text("0")
    since = time.monotonic()
    trial.until(lambda: device.told() <= got(trial).alarms, "the alarm is not handed over", 90.0)
    trial.recovery_s = time.monotonic() - since
    trial.must(not got(trial).renamed, "it came under two ids")
    trial.still_well(device)


@fault(
    "network-gone",
    AREA,
    by="in a network name space of its own, the loopback interface is down for two alarms' time",
    holds="listening never waits; alarms arrive once the network is back",
)
def network_gone(trial: Trial) -> None:
    if os.geteuid() != 0:
        raise NotPossible("a network name space needs root")
    # The receiver lives in the same name space: a small program that notes what it is posted.
    receiver = WebhookReceiver()
    server = [sys.executable, "-c", SERVER, str(receiver.port), str(trial.folder / "got.jsonl")]
    (trial.folder / "got.jsonl").touch()
    inside = subprocess.Popen(["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *server])
    trial.leave(lambda: inside.send_signal(signal.SIGKILL))
    enter = ["nsenter", f"--net=/proc/{inside.pid}/ns/net"]
    trial.until(
        lambda: subprocess.run([*enter, "ip", "-o", "link", "show", "up"], capture_output=True).stdout,
        "no name space",
        10.0,
    )
    device = trial.appliance(queued(receiver), before=enter)
    device.score(device.start())
    device.alarm()
    trial.until(lambda: device.told() <= got(trial).alarms, "not even the first alarm arrives")
    subprocess.run([*enter, "ip", "link", "set", "lo", "down"], check=True)
    since = time.monotonic()
    device.alarm()
    device.alarm()
    never_waited(trial, device, since)
    trial.must(not device.told() <= got(trial).alarms, "the network was not gone")
    subprocess.run([*enter, "ip", "link", "set", "lo", "up"], check=True)
    since = time.monotonic()
    trial.until(lambda: device.told() <= got(trial).alarms, "alarms do not arrive", 90.0)
    trial.recovery_s = time.monotonic() - since
    trial.still_well(device)


SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(sys.argv[2], "ab") as file:
            file.write(body + b"\\n")
        self.send_response(204)
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

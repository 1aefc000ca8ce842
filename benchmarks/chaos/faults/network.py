"""The network itself goes: in a name space of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from benchmarks.chaos.fault import NotPossible, fault
from benchmarks.chaos.faults.webhook import queued
from benchmarks.chaos.receivers import WebhookReceiver
from benchmarks.chaos.telling import AREA, Noted, first_told, told_after_all, untold
from benchmarks.chaos.trial import Trial

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
    given = Noted(trial.folder / "got.jsonl")
    server = [sys.executable, "-c", SERVER, str(receiver.port), str(trial.folder / "got.jsonl")]
    inside = subprocess.Popen(["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *server])
    trial.leave(lambda: inside.send_signal(signal.SIGKILL))
    enter = ["nsenter", f"--net=/proc/{inside.pid}/ns/net"]
    trial.until(
        lambda: subprocess.run([*enter, "ip", "-o", "link", "show", "up"], capture_output=True).stdout,
        "no name space",
        10.0,
    )
    device = trial.appliance(queued(receiver), before=enter)
    first_told(trial, device, given)
    subprocess.run([*enter, "ip", "link", "set", "lo", "down"], check=True)
    untold(trial, device, 2)
    trial.must(not device.told() <= given.alarms, "the network was not gone")
    subprocess.run([*enter, "ip", "link", "set", "lo", "up"], check=True)
    told_after_all(trial, device, given)

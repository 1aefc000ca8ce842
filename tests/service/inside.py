"""Runs inside a booted container as root: installs the service, breaks it in many ways, writes down what it saw.

Arguments: the edge-asd program, the folder shared with the test (bundle, fake microphones), the repository.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PROGRAM, SHARED, REPOSITORY = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
CONFIG = Path("/etc/edge-asd/config.yaml")
STATUS = Path("/run/edge-asd/status.json")
ENVIRONMENT = {"PYTHONPATH": REPOSITORY, "ALSA_CONFIG_PATH": f"/usr/share/alsa/alsa.conf:{SHARED}/asound.conf"}
DROP_IN = f"""\
[Service]
Environment={" ".join(f"{name}={value}" for name, value in ENVIRONMENT.items())}
# Python itself may live in a home directory here; the spans are shortened so that the test is quick.
ProtectHome=no
WatchdogSec=8
TimeoutAbortSec=2
RestartSec=1
"""
LIMIT_S = 60.0


def edge_asd(*words: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **ENVIRONMENT}
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, env=environment, user=user)


def shown(*properties: str) -> dict[str, str]:
    command = ["systemctl", "show", "edge-asd", f"--property={','.join(properties)}"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines)


def systemctl(*words: str) -> int:
    return subprocess.run(["systemctl", *words], capture_output=True, timeout=LIMIT_S).returncode


def status() -> dict[str, Any]:
    try:
        return dict(json.loads(STATUS.read_text()))
    except (OSError, ValueError):
        return {}


def until(true: Callable[[], Any]) -> bool:
    """Wait, a minute at most, until something is true."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.2)
    return False


def microphone(state: str) -> None:
    (SHARED / "mic16").write_text(state)


def main_pid() -> int:
    return int(shown("MainPID")["MainPID"])


def active() -> bool:
    return shown("ActiveState")["ActiveState"] == "active"


def machine() -> dict[str, Any]:
    return dict(status().get("machines", {}).get("fan", {}))


def journal(lines: str) -> str:
    """The service's own last lines. By its name: in a container in a container, journald may not see units."""
    command = ["journalctl", "--identifier=edge-asd", "--output=cat", "--lines", lines]
    return subprocess.run(command, capture_output=True, text=True).stdout


def install(*more: str) -> dict[str, Any]:
    where = ("--bundle", str(SHARED / "fan.asd"), "--device", "mic16", "--alias", "mic0")
    done = edge_asd("service", "install", *where, *more)
    return {"code": done.returncode, "stderr": done.stderr, **shown("ActiveState", "NRestarts", "StatusText")}


def restarted_after(harm: Callable[[int], None]) -> dict[str, Any]:
    before = main_pid()
    harm(before)
    back = until(lambda: active() and main_pid() not in (0, before) and machine().get("state") == "listening")
    return {"back": back, **shown("ActiveState", "NRestarts")}


def first_start() -> dict[str, Any]:
    drop_in = Path("/etc/systemd/system/edge-asd.service.d/test.conf")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(DROP_IN)
    return install()


def scores_keep_coming() -> dict[str, Any]:
    first = machine().get("last_score")
    user = shown("User", "DynamicUser")["DynamicUser"]
    owner = Path(f"/proc/{main_pid()}").stat().st_uid
    return {"came": until(lambda: machine().get("last_score") != first), "dynamic": user, "root": owner == 0}


def command_status() -> dict[str, Any]:
    done = edge_asd("status", "--json")
    seen = edge_asd("service", "status", user="nobody")
    logs = edge_asd("service", "logs", "--lines=3").returncode
    return {"logs": logs, "code": done.returncode, "state": machine().get("state"), "service": seen.stdout}


def killed() -> dict[str, Any]:
    return restarted_after(lambda pid: os.kill(pid, signal.SIGKILL))


def hung() -> dict[str, Any]:
    return restarted_after(lambda pid: os.kill(pid, signal.SIGSTOP))


def stalled_microphone() -> dict[str, Any]:
    before = main_pid()
    microphone("stall")
    waiting = until(lambda: machine().get("state") in ("lost", "waiting"))
    code = edge_asd("status").returncode
    microphone("run")
    back = until(lambda: machine().get("state") == "listening")
    return {"waiting": waiting, "status_code": code, "back": back, "same_process": main_pid() == before}


def broken_driver() -> dict[str, Any]:
    """PortAudio neither gives sound nor lets go: only a new process helps, and that finds the card still broken."""
    before = main_pid()
    lines = len(journal("100000").splitlines())
    microphone("broken")
    restarted = until(lambda: main_pid() not in (0, before))
    waiting = until(lambda: active() and machine().get("state") == "waiting")
    said = len(journal("100000").splitlines()) - lines
    microphone("run")
    back = until(lambda: machine().get("state") == "listening")
    return {"restarted": restarted, "waiting": waiting, "back": back, "lines": said}


def no_card_at_boot() -> dict[str, Any]:
    microphone("unplug")
    code = systemctl("restart", "edge-asd")
    ready = {"code": code, "state": machine().get("state"), **shown("ActiveState", "StatusText")}
    microphone("run")
    return {**ready, "back": until(lambda: machine().get("state") == "listening")}


def events_read() -> dict[str, Any]:
    done = edge_asd("events", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    missing = edge_asd("events", "--pin", "none").returncode  # root has opened the store, and must not have taken it
    microphone("stall")
    until(lambda: machine().get("state") in ("lost", "waiting"))
    microphone("run")
    until(lambda: machine().get("state") == "listening")
    more = len(edge_asd("events", "--json").stdout.splitlines()) - len(lines)
    owner = Path("/var/lib/edge-asd/events.db").stat().st_uid
    disk = status().get("disk") or {}
    return {
        "code": done.returncode,
        "events": sorted({line["event"] for line in lines if line["type"] == "source"}),
        "pin": missing,
        "more": more > 0,
        "root": owner == 0,
        "as_nobody": edge_asd("events", user="nobody").stderr,
        "fault": disk.get("fault"),
        "used": disk.get("used_bytes", 0) > 0,
    }


def upgraded() -> dict[str, Any]:
    before = main_pid()
    CONFIG.write_text(CONFIG.read_text() + "alarm: {confirm_s: 4}\n")
    result = install()
    return {**result, "new_process": main_pid() != before, "kept": "confirm_s" in CONFIG.read_text()}


def wrong_config() -> dict[str, Any]:
    right = CONFIG.read_text()
    CONFIG.write_text("modle: {}\n")
    systemctl("restart", "edge-asd")
    until(lambda: shown("ActiveState")["ActiveState"] == "failed")
    time.sleep(3.0)
    seen = shown("ActiveState", "NRestarts", "ExecMainStatus")
    said = journal("5")
    CONFIG.write_text(right)
    systemctl("reset-failed", "edge-asd")
    return {**seen, "journal": said, "start": systemctl("start", "edge-asd")}


def ways_out() -> dict[str, Any]:
    """Over the network drop-in, signed with a secret that only systemd could read."""
    got: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            got.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(204)
            self.end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    secret = Path("/etc/edge-asd/web-secret")
    secret.write_text("hush-hush\n")
    secret.chmod(0o600)
    Path("/etc/systemd/system/edge-asd.service.d/web.conf").write_text(f"[Service]\nLoadCredential=web:{secret}\n")
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    CONFIG.write_text(CONFIG.read_text() + f"webhook: {{url: '{url}', secret_file: 'credential:web'}}\n")
    installed = install("--network")
    arrived = until(lambda: got)
    said = subprocess.run(["journalctl", "-a", "--no-pager"], capture_output=True, text=True).stdout
    return {
        "code": installed["code"],
        "arrived": arrived,
        "signed": all(one.get("webhook-signature", "").startswith("v1,") for one in got),
        "queue": Path("/var/lib/edge-asd/queue/webhook.db").is_file(),
        "told": "hush-hush" in said,
    }


def stopped() -> dict[str, Any]:
    code = systemctl("stop", "edge-asd")
    said = journal("8")
    seen = shown("ActiveState", "Result", "ExecMainStatus")
    return {**seen, "code": code, "journal": said, "status_file": STATUS.exists()}


def uninstalled() -> dict[str, Any]:
    done = edge_asd("service", "uninstall")
    return {"code": done.returncode, "unit": Path("/etc/systemd/system/edge-asd.service").exists()}


STEPS = (
    first_start,
    scores_keep_coming,
    command_status,
    killed,
    hung,
    stalled_microphone,
    broken_driver,
    no_card_at_boot,
    events_read,
    upgraded,
    wrong_config,
    ways_out,
    stopped,
    uninstalled,
)


def main(steps: Sequence[Callable[[], dict[str, Any]]]) -> None:
    """Take the steps, write down what they saw."""
    results: dict[str, Any] = {}
    for step in steps:
        try:
            results[step.__name__] = step()
        except Exception:
            results[step.__name__] = {"fault": traceback.format_exc()}
    whole = subprocess.run(["journalctl", "-a", "--no-pager"], capture_output=True, text=True)
    (SHARED / "journal.txt").write_text(whole.stdout)
    (SHARED / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(STEPS)

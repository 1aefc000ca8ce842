"""`edge-asd service`: install edge-asd as a systemd service, look at it, take it away."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge_asd.cli.parsing import Parser, Subparsers, new_command
from edge_asd.cli.progress import note
from edge_asd.errors import MissingInputError, StorageError, UnavailableError, UsageError

if TYPE_CHECKING:
    from edge_asd.service.install import Microphone

START_TIMEOUT_S = 180
"""Longer than the unit's own TimeoutStartSec, so that systemd's verdict comes first."""
WITHOUT_SYSTEMD = {
    "install": "watch with edge-asd run, or write the files into an image with --root DIR",
    "uninstall": "take the files out of an image with --root DIR; a run by hand ends with Ctrl-C",
    "status": "ask edge-asd status, or watch with edge-asd run, which shows how it fares",
    "logs": "edge-asd run tells the same where it is started; edge-asd events shows what a run with --store kept",
}
"""What to do in place of each action."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = new_command(
        subparsers,
        "service",
        summary="install edge-asd as a systemd service",
        description="Watch a machine unattended: systemd starts edge-asd at boot, restarts it after a crash and when "
        "no sound is scored any more, and a microphone that is not there is waited for.\n\n"
        "`install` copies the bundle to /etc/edge-asd, writes the config there (one that exists is kept), the unit, "
        "and for a USB microphone a udev rule that names its card; then it starts the service and waits for the first "
        "score. Run again, it upgrades in place. `uninstall` keeps config and events unless --purge is given.",
        examples=(
            "edge-asd service status",
            "sudo edge-asd service install --bundle fan.asd --device mic0",
            "edge-asd service logs --since -1h",
            "sudo edge-asd service uninstall",
        ),
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions", parser_class=Parser)
    install = new_command(
        actions,
        "install",
        summary="write unit, config and udev rule; start the service",
        description="Write unit, config, bundle and, for a USB microphone, a udev rule; start the service and wait "
        "for its first score. Run again, it upgrades in place and keeps the config. Needs root, or --root.\n\n"
        "With --root the files go into an image, where the service starts at its next boot. edge-asd itself is not put "
        "there: --program names where the image has it.",
        examples=(
            "sudo edge-asd service install --bundle fan.asd --device mic0",
            "sudo edge-asd service install --bundle fan.asd --device mic0 --network",
            "edge-asd service install --bundle fan.asd --device mic0 --root /mnt/card "
            "--program /opt/edge-asd/bin/edge-asd",
        ),
    )
    install.add_argument("--bundle", type=Path, required=True, metavar="FILE.asd", help="the machine's bundle")
    install.add_argument(
        "--device", required=True, metavar="NAME", help="microphone, by a name `edge-asd devices` prints"
    )
    install.add_argument("--alias", default="mic0", metavar="NAME", help="the microphone's own name (default mic0)")
    install.add_argument("--channel", type=int, metavar="N", help="channel to listen to, counted from 0")
    install.add_argument(
        "--public-key", type=Path, metavar="FILE.pub", help="take only bundles signed with its secret key"
    )
    install.add_argument("--network", action="store_true", help="let the service use the network (MQTT, webhooks)")
    install.add_argument("--replace-config", action="store_true", help="write the config anew even if there is one")
    install.add_argument(
        "--program", metavar="PATH", help="the edge-asd to start, by its absolute path (default: this one)"
    )
    uninstall = new_command(
        actions,
        "uninstall",
        summary="stop the service and remove unit and udev rule",
        description="Stop the service and remove unit and udev rule. Config, bundles, events and clips are kept unless "
        "--purge is given. Needs root, or --root.",
        examples=("sudo edge-asd service uninstall", "sudo edge-asd service uninstall --purge"),
    )
    uninstall.add_argument("--purge", action="store_true", help="also remove config, bundles, events and clips")
    for action in (install, uninstall):
        action.add_argument(
            "--root", type=Path, metavar="DIR", help="of a system that is not running: only its files are touched"
        )
    new_command(
        actions,
        "status",
        summary="what systemd and the service itself say",
        description="What systemd says of the service, then what `edge-asd status` does.\n\n"
        "The exit code is 0 when every machine is being listened to, else 69.",
        examples=("edge-asd service status",),
    )
    logs = new_command(
        actions,
        "logs",
        summary="the journal of the service",
        description="What the service told, out of systemd's journal. Other users than root must be in the group adm "
        "or systemd-journal to read it. The exit code is that of journalctl.",
        examples=(
            "edge-asd service logs --since -1h",
            "edge-asd service logs --lines 20 --follow",
        ),
    )
    logs.add_argument("--since", metavar="TIME", help="as journalctl takes it: -1h, today, 2026-01-31 12:00")
    logs.add_argument("--lines", type=int, metavar="N", help="only the last N lines")
    logs.add_argument("--follow", action="store_true", help="go on with new lines until Ctrl-C")


def run(args: argparse.Namespace) -> int:
    """Do the action."""
    if args.action is None:
        raise UsageError(
            "no action given", remedy="say install, uninstall, status or logs; see edge-asd service --help"
        )
    return {"install": _install, "uninstall": _uninstall, "status": _status, "logs": _logs}[args.action](args)


def _install(args: argparse.Namespace) -> int:
    from edge_asd.config import load_config
    from edge_asd.service import install as files

    root = _root(args)
    new_config = args.replace_config or not (root / files.CONFIG).is_file()
    kept = None if new_config else load_config(root / files.CONFIG, environment={}).config
    trusted = None if kept is None else kept.model.public_key
    if args.public_key:
        trusted = str(args.public_key)
    microphone = _microphone(args.device, args.alias, look=args.root is None)
    program = args.program or str(Path(sys.argv[0]).resolve())
    hidden = files.hidden_home(Path(program), *([] if args.root else [Path(sys.prefix), Path(sys.base_prefix)]))
    if hidden is not None:
        note(
            f"warning: the service cannot start {hidden}: homes are hidden from it; install edge-asd elsewhere: "
            "sudo python3 -m venv /opt/edge-asd && sudo /opt/edge-asd/bin/pip install . (or set ProtectHome=read-only, "
            "systemctl edit edge-asd)"
        )
    bundle = files.CONFIG_DIRECTORY / args.bundle.name
    wanted = {files.UNIT: files.unit_text(program).encode(), **_bundle_files(args.bundle, bundle, trusted)}
    key_name = args.public_key.name if args.public_key else None
    if key_name is not None:
        wanted[files.CONFIG_DIRECTORY / key_name] = args.public_key.read_bytes()
    if args.network:
        wanted[files.NETWORK] = files.network_text().encode()
    rule = files.udev_rule(microphone)
    if rule:
        wanted[files.UDEV] = rule.encode()
    if new_config:
        wanted[files.CONFIG] = files.config_text(args.bundle.name, microphone, args.channel, key_name).encode()
    else:
        note(f"{root / files.CONFIG} exists and is kept; --replace-config writes it anew")
    for path in files.write_files(root, wanted):
        print(f"written {path}")
    config = load_config(root / files.CONFIG, environment={}).config
    named = {machine.bundle or config.model.bundle for machine in config.machines.values()} or {config.model.bundle}
    if str(root / bundle) not in named:
        others = ", ".join(sorted(str(path) for path in named))
        note(f"warning: {root / files.CONFIG} does not name that bundle, but {others}")
    if key_name is not None and config.model.public_key != str(root / files.CONFIG_DIRECTORY / key_name):
        note(f"warning: {root / files.CONFIG} does not name that key; set model.public_key: {key_name}")
    if args.root is not None:
        for link in files.enable_in(root):
            print(f"enabled {link}")
        if not files.is_in(root, program):
            note(
                f"warning: the service will not start: the image has no {program}; install edge-asd there, "
                "or name where the image has it with --program PATH"
            )
        return 0
    if rule and shutil.which("udevadm"):
        _call("udevadm", "control", "--reload")
        _call("udevadm", "trigger", "--action=add", "--subsystem-match=sound")
    _call("systemctl", "daemon-reload")
    _call("systemctl", "enable", files.NAME)
    note("starting; this waits for the first score, or until the microphone is known to be missing")
    _call("systemctl", "restart", files.NAME)
    print("edge-asd is running; see: edge-asd status")
    return 0


def _bundle_files(source: Path, target: Path, public_key: str | None) -> dict[Path, bytes]:
    """The bundle as it was checked, and its signature if it has one. Refused here, not by a service nobody watches."""
    from edge_asd.bundle.bundle import load_bundle
    from edge_asd.bundle.signing import signature_path
    from edge_asd.cli.bundles import bundle_check

    check = bundle_check(public_key, source)
    read: list[bytes] = []

    def keep(data: bytes) -> None:
        if check is not None:
            check(data)
        read.append(data)

    load_bundle(source, check=keep)
    found = {target: read[0]}
    if signature_path(source).is_file():
        found[signature_path(target)] = signature_path(source).read_bytes()
    return found


def _uninstall(args: argparse.Namespace) -> int:
    from edge_asd.service import install as files

    root = _root(args)
    if args.root is None and (root / files.UNIT).is_file():
        _call("systemctl", "disable", "--now", files.NAME)
    removed = files.remove_files(root, purge=args.purge)
    for path in removed:
        print(f"removed {path}")
    if args.root is None and removed:
        _call("systemctl", "daemon-reload")
    if not removed:
        note("nothing was installed")
    return 0


def _status(args: argparse.Namespace) -> int:
    from edge_asd.cli.status import print_status

    _systemd("systemctl", args.action)
    shown = subprocess.run(
        ["systemctl", "show", "edge-asd", "--property=ActiveState,SubState,NRestarts,Result,StatusText"],
        capture_output=True,
        text=True,
        check=False,
    )
    print(shown.stdout.strip())
    return print_status(None, as_json=False)


def _logs(args: argparse.Namespace) -> int:
    _systemd("journalctl", args.action)
    command = ["journalctl", "--unit=edge-asd", "--no-pager"]
    command += [f"--since={args.since}"] if args.since else []
    command += [f"--lines={args.lines}"] if args.lines is not None else []
    command += ["--follow"] if args.follow else []
    return subprocess.run(command, check=False).returncode


def _root(args: argparse.Namespace) -> Path:
    if args.root is not None:
        if not args.root.is_dir():
            raise MissingInputError(f"--root {args.root}: no such directory", remedy="make it, or mount the card there")
        return Path(args.root)
    _systemd("systemctl", args.action)
    if os.geteuid() != 0:
        raise StorageError(f"only root can {args.action} a service", remedy="run it with sudo")
    return Path("/")


def _microphone(device: str, alias: str, *, look: bool) -> Microphone:
    """The microphone `device` means, with its stable name when it is there to be asked."""
    from edge_asd.service.install import Microphone

    if not look:
        return Microphone(alias, device)
    from edge_asd.audio.devices import list_inputs, resolve

    try:
        return Microphone(alias, resolve(None if device == "default" else device, list_inputs(probe=False)).stable_name)
    except UnavailableError as error:
        note(f"warning: {error.message}; the service will wait for it under that name")
        return Microphone(alias, device)


def _systemd(program: str, action: str) -> None:
    if not Path("/run/systemd/system").is_dir() or shutil.which(program) is None:
        raise UnavailableError("systemd does not run here", remedy=WITHOUT_SYSTEMD[action])


def _call(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{' '.join(command)} does not return", remedy="see edge-asd service logs") from error
    if done.returncode != 0:
        words = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise UnavailableError(f"{' '.join(command)} failed: {words}", remedy="see edge-asd service logs")

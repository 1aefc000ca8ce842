"""The same under a real systemd, booted in a container: installed by `edge-asd service install`, with its own unit.

All of these faults happen in one boot, one after the other, to one service. WatchdogSec is 8 s there instead of 90 and
RestartSec 1 s instead of 5: the times to recover on a device are longer by 4 s, those of a hang by up to 86 s.
"""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

from benchmarks.chaos.fault import NotPossible, fault
from benchmarks.chaos.room import Room
from benchmarks.chaos.trial import Trial
from tests.fakes.microphone import FakeMicrophones
from tests.service.container import NoContainer, StuckContainer, booted

AREA = "systemd"
LIMIT_S = 300
_booting = threading.Lock()
_results: dict[Path, dict[str, Any]] = {}


def results(room: Room, folder: Path) -> dict[str, Any]:
    """What one boot saw; booted when first asked for."""
    with _booting:
        if room.folder not in _results:
            shared = folder / "edge"
            shared.mkdir()
            for path in (room.plugin, room.bundle, room.sound("normal"), room.sound("faulty")):
                shutil.copyfile(path, shared / path.name)
            FakeMicrophones(Path("/edge"), Path("/edge/libfakemic.so"), on_disk=shared).environment()
            (shared / "mic16.sound").symlink_to("normal.raw")
            try:
                _results[room.folder] = booted(folder, shared, Path(__file__).parents[1] / "inside.py", LIMIT_S)
            except NoContainer as why:
                raise NotPossible(str(why)) from None
            except StuckContainer as why:
                _results[room.folder] = {"stuck": str(why)}
        return _results[room.folder]


def seen(trial: Trial, step: str) -> dict[str, Any]:
    """What one step saw: it was back, and an alarm came; no alarm of the boot is missing in the store."""
    found = results(trial.room, trial.folder)
    trial.must(step in found, f"the boot never came to it: {str(found)[:300]}")
    result = dict(found[step])
    trial.must("fault" not in result, f"the harness failed: {result.get('fault')}")
    trial.must(result["back"], f"it does not come back: {result}")
    trial.recovery_s = float(result["recovery_s"])
    trial.must(result["alarm"], "no alarm afterwards")
    kept = found["events"]
    trial.events_lost = len(set(kept["told"]) - set(kept["stored"]))
    trial.must(not trial.events_lost, f"told {kept['told']}, stored {kept['stored']}")
    return result


@fault("systemd-kill-9", AREA, by="SIGKILL to the main process", holds="started again by systemd; it listens")
def killed(trial: Trial) -> None:
    seen(trial, "killed")


@fault(
    "systemd-hang",
    AREA,
    by="SIGSTOP to the main process",
    holds="the watchdog is not fed: systemd aborts it and starts it again; it listens",
)
def hung(trial: Trial) -> None:
    seen(trial, "hung")


@fault(
    "systemd-driver-hangs",
    AREA,
    by="the driver gives no sound and never returns from stopping, until the process is gone",
    holds="the watchdog starves though the process lives: started again; it listens",
)
def driver_hung(trial: Trial) -> None:
    seen(trial, "driver_hung")


@fault(
    "systemd-boot-without-microphone",
    AREA,
    by="the driver says ENODEV before the start and 3 s after READY",
    holds="READY from the waiting state, then it listens",
)
def no_card(trial: Trial) -> None:
    result = seen(trial, "no_card_at_boot")
    trial.must((result["code"], result["ActiveState"], result["state"]) == (0, "active", "waiting"), f"{result}")


@fault(
    "systemd-start-without-memory",
    AREA,
    by="LimitAS=150M by a drop-in for three starts, then without it",
    holds="systemd tries again and again, for ever; once there is memory it listens",
)
def starved(trial: Trial) -> None:
    trial.must(seen(trial, "starved")["tried"], "systemd gave it up")


@fault(
    "systemd-wrong-config",
    AREA,
    by="a config with an unknown section, then the right one",
    holds="78, and not started again and again; started with the right one it listens",
)
def wrong_config(trial: Trial) -> None:
    result = seen(trial, "wrong_config")
    trial.must((result["ActiveState"], result["ExecMainStatus"]) == ("failed", "78"), f"{result}")

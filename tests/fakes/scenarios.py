"""What happens to a microphone, each in a process of its own: python scenarios.py NAME -> JSON on standard output."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd.audio import capture, devices, look, microphone, portaudio
from edge_asd.audio.block import AudioBlock
from edge_asd.audio.captures import Captures
from edge_asd.audio.microphone import MicrophoneSource, SourceEvent
from edge_asd.errors import EdgeAsdError

FOLDER = Path(os.environ["FAKE_MICROPHONES"])
RETRY_S = (0.3, 0.6)
FOREVER = 10**6


def control(name: str, word: str) -> None:
    """Tell a fake microphone what to do, never half a word."""
    temporary = FOLDER / f"{name}.new"
    temporary.write_text(word)
    temporary.replace(FOLDER / name)


class Run:
    """Listens to one microphone and keeps all that comes; `after` block counts or event kinds trigger actions."""

    def __init__(self, name: str, rate_hz: int = 16000, **settings: Any) -> None:
        self.stop = threading.Event()
        self.blocks: list[AudioBlock] = []
        self.events: list[SourceEvent] = []
        self.on_kind: dict[str, Any] = {}
        settings = {"dc_block": False, "stall_s": 0.8, "retry_s": RETRY_S, **settings}
        self.source = MicrophoneSource(name, rate_hz, on_event=self._event, stop=self.stop, **settings)

    def _event(self, event: SourceEvent) -> None:
        self.events.append(event)
        action = self.on_kind.pop(event.kind, None)
        if action:
            action()

    def listen(self, n_blocks: int, at: dict[int, Any] | None = None) -> Run:
        """Take `n_blocks` in all, calling at[k] after the k-th, then stop."""
        for block in self.source.blocks():
            self.blocks.append(block)
            if at and len(self.blocks) in at:
                at[len(self.blocks)]()
            if len(self.blocks) >= n_blocks:
                self.stop.set()
        return self

    def kinds(self) -> list[str]:
        """Of the events so far."""
        return [event.kind for event in self.events]

    def report(self, keep: str = "") -> dict[str, Any]:
        """Everything but the samples, which go to the file `keep`."""
        if keep:
            np.save(FOLDER / keep, np.concatenate([b.samples for b in self.blocks]))
        return {
            "kinds": self.kinds(),
            "details": [e.detail for e in self.events],
            "lost": [e.lost_samples for e in self.events],
            "sizes": [b.samples.size for b in self.blocks],
            "positions": [b.position for b in self.blocks],
            "gaps": [b.gap_samples for b in self.blocks],
            "captured_at": [b.captured_at for b in self.blocks],
            "first": [float(b.samples[0]) for b in self.blocks],
            "last": [float(b.samples[-1]) for b in self.blocks],
            "note": self.source.note,
        }


def exact_16k() -> dict[str, Any]:
    return {**Run("mic16").listen(4).report("16k.npy"), "now": time.time()}


def exact_48k() -> dict[str, Any]:
    return Run("mic48", 48000, channel=1).listen(3).report("48k.npy")


def resampled() -> dict[str, Any]:
    return Run("mic48", 16000, dc_block=True).listen(4).report("resampled.npy")


def overrun() -> dict[str, Any]:
    run = Run("mic16", stall_s=3.0)
    return run.listen(5, {2: lambda: control("mic16", "overrun:1:8000")}).report("overrun.npy")


def slow_reader() -> dict[str, Any]:
    capture.RING_S = 0.5
    return Run("mic16").listen(6, {2: lambda: time.sleep(1.6)}).report("slow.npy")


def stall() -> dict[str, Any]:
    run = Run("mic16")
    run.on_kind["lost"] = lambda: control("mic16", "run")
    return run.listen(4, {2: lambda: control("mic16", "stall")}).report()


def unplug() -> dict[str, Any]:
    run = Run("mic16")
    run.on_kind["waiting"] = lambda: control("mic16", "run")
    return run.listen(4, {2: lambda: control("mic16", "unplug")}).report()


def appears_late() -> dict[str, Any]:
    control("mic16", "unplug")
    run = Run("mic16", wait=True)
    run.on_kind["waiting"] = lambda: control("mic16", "run")
    return run.listen(1).report()


def together(runs: dict[str, Run], n_blocks: dict[str, int], at: dict[str, dict[int, Any]]) -> None:
    """Listen to several microphones, a thread each."""
    threads = [threading.Thread(target=run.listen, args=(n_blocks[name], at.get(name))) for name, run in runs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def beside(run: Run, others: Callable[[], Any], until: Callable[[], bool]) -> None:
    """Listen to one microphone, do `others` once it has given sound, and stop some blocks after `until` is true."""
    begun = threading.Event()
    listener = threading.Thread(target=run.listen, args=(FOREVER, {4: begun.set}))
    listener.start()
    begun.wait()
    others()
    while not until():
        time.sleep(0.05)
    enough = len(run.blocks) + 3
    while len(run.blocks) < enough:
        time.sleep(0.05)
    run.stop.set()
    listener.join()


def shared_device() -> dict[str, Any]:
    captures = Captures()
    runs = {f"channel{c}": Run("mic48", 48000, channel=c, captures=captures) for c in (0, 1)}
    together(runs, {"channel0": 3, "channel1": 3}, {})
    captures.close()
    return {name: run.report(f"{name}.npy") for name, run in runs.items()}


def one_of_two_unplugged() -> dict[str, Any]:
    captures = Captures()
    runs = {name: Run(name, captures=captures) for name in ("mic16", "spare")}
    runs["mic16"].on_kind["waiting"] = lambda: control("mic16", "run")
    together(runs, {"mic16": 5, "spare": 14}, {"mic16": {2: lambda: control("mic16", "unplug")}})
    captures.close()
    return {name: run.report() for name, run in runs.items()}


def one_of_two_appears_late() -> dict[str, Any]:
    control("mic16", "unplug")
    captures = Captures()
    runs = {name: Run(name, captures=captures, wait=True) for name in ("mic16", "spare")}
    late = threading.Thread(target=runs["mic16"].listen, args=(3,))
    late.start()

    def plug_in() -> None:
        while "waiting" not in runs["mic16"].kinds():
            time.sleep(0.05)
        control("mic16", "run")
        late.join()

    beside(runs["spare"], plug_in, lambda: "back" in runs["spare"].kinds())
    captures.close()
    return {name: run.report() for name, run in runs.items()}


def late_beside_an_old_list(**old: Any) -> dict[str, Any]:
    """mic16 comes beside spare, while PortAudio's list, until it is read again, says `old` of it."""
    real_list, real_refresh = devices.list_inputs, portaudio.refresh

    def old_list(**settings: Any) -> list[devices.InputDevice]:
        return [dataclasses.replace(d, **old) if d.name == "mic16" else d for d in real_list(**settings)]

    def refresh(sounddevice: Any) -> None:
        look.list_inputs = real_list
        real_refresh(sounddevice)

    look.list_inputs, portaudio.refresh = old_list, refresh
    captures = Captures()
    runs = {name: Run(name, captures=captures, wait=True) for name in ("spare", "mic16")}
    beside(runs["spare"], lambda: runs["mic16"].listen(8), lambda: "back" in runs["spare"].kinds())
    captures.close()
    return {name: run.report() for name, run in runs.items()}


def one_of_two_under_an_old_number() -> dict[str, Any]:
    """As after plugging it into another port."""
    return late_beside_an_old_list(index=-1, channels=0, problem="cannot be opened")


def one_of_two_in_the_place_of_another() -> dict[str, Any]:
    """As after plugging it in where one of the same name and number was, which had two channels."""
    return late_beside_an_old_list(channels=2)


def one_of_two_stays_away() -> dict[str, Any]:
    tried: dict[str, list[int]] = {"mic16": [], "spare": []}

    class Counted(capture.Capture):
        def __init__(self, sounddevice: Any, device: devices.InputDevice, rate_hz: int, *others: Any, **more: Any):
            tried[device.name].append(rate_hz)
            super().__init__(sounddevice, device, rate_hz, *others, **more)

    capture.Capture = Counted
    captures = Captures()
    runs = {
        name: Run(alias, captures=captures, aliases={alias: name})
        for alias, name in (("fan", "mic16"), ("pump", "spare"))
    }
    away = threading.Thread(target=runs["mic16"].listen, args=(FOREVER, {2: lambda: control("mic16", "unplug")}))
    beside(runs["spare"], away.start, lambda: runs["mic16"].kinds().count("waiting") >= 2)
    runs["mic16"].stop.set()
    away.join()
    captures.close()
    return {"tried": tried, **{name: run.report() for name, run in runs.items()}}


def broken() -> dict[str, Any]:
    microphone.HANG_S = 1.0
    run = Run("mic16")

    def at_first_loss() -> None:
        run.on_kind["lost"] = lambda: control("mic16", "run")

    run.on_kind["lost"] = at_first_loss
    return run.listen(4, {2: lambda: control("mic16", "broken")}).report()


def broken_from_the_start() -> dict[str, Any]:
    devices.list_inputs(probe=False)
    control("mic16", "broken")
    try:
        Run("mic16").listen(1)
    except EdgeAsdError as error:
        return {"code": error.exit_code, "message": str(error)}
    return {}


def hang() -> dict[str, Any]:
    run = Run("mic16")
    return run.listen(2, {2: lambda: control("mic16", "hang")}).report()


def names() -> dict[str, Any]:
    errors = {}
    control("spare", "busy")
    listed = [d.name for d in devices.list_inputs(probe=False)]
    control("spare", "run")
    settings: dict[str, dict[str, Any]] = {
        "nowhere": {},
        "mic": {},
        "0": {},
        "attic": {"aliases": {"attic": "gone"}},
        "mic48": {"channel": 2},
        "mic16": {"device_rate_hz": 44100},
    }
    for name, extra in settings.items():
        try:
            Run(name, **extra).listen(1)
        except EdgeAsdError as error:
            errors[name] = [error.exit_code, str(error)]
    portaudio.refresh(portaudio.load())
    run = Run("m16", aliases={"m16": "mic16"}).listen(1)
    found = {d.name: [list(d.rates_hz), d.channels, d.problem] for d in devices.list_inputs()}
    return {"errors": errors, "listed_while_busy": listed, "found": found, "alias_gave": len(run.blocks)}


def hidden_card() -> dict[str, Any]:
    root = FOLDER / "root"
    asound = root / "proc/asound"
    (asound / "card3").mkdir(parents=True)
    (asound / "card3/id").write_text("Webcam\n")
    (asound / "pcm").write_text("03-00: USB Audio : USB Audio : capture 1\n")
    found = devices.list_inputs(probe=False, root=root)[-1]
    try:
        capture.open_capture(portaudio.load(), found, 16000)
    except EdgeAsdError as error:
        return {"name": found.stable_name, "problem": found.problem, "error": str(error)}
    return {}


def busy() -> dict[str, Any]:
    devices.list_inputs(probe=False)
    control("mic16", "busy")
    problem = {d.name: d.problem for d in devices.list_inputs()}["mic16"]
    try:
        Run("mic16").listen(1)
    except EdgeAsdError as error:
        return {"problem": problem, "code": error.exit_code, "message": str(error)}
    return {"problem": problem}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))

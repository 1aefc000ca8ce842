"""Asking a new process for a microphone: `python -m edge_asd.audio.look`. It has a list of devices of its own.

The question is JSON on standard input, the fields of `Wanted`; the exit code is 0 when that microphone can be opened,
and standard output then says as what, or why not otherwise. See `edge_asd.audio.captures`.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_asd.audio import portaudio
from edge_asd.audio.capture import Capture, open_capture
from edge_asd.audio.devices import InputDevice, list_inputs, resolve
from edge_asd.errors import UnavailableError

LIMIT_S = 9.0


@dataclass(frozen=True)
class Wanted:
    """A microphone as it is asked for.

    name, aliases: as `resolve` takes them. model_rate_hz, channel, rate_hz: as `open_capture` takes them.
    """

    name: str | None
    model_rate_hz: int
    channel: int | None
    rate_hz: int | None
    aliases: Mapping[str, str]

    def device(self) -> InputDevice:
        """In PortAudio's list as it is now. Raises UnavailableError."""
        return resolve(self.name, list_inputs(probe=False), self.aliases)

    def capture(
        self,
        device: InputDevice,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Capture:
        """Open a device of that list. Raises UnavailableError."""
        return open_capture(
            portaudio.load(),
            device,
            self.model_rate_hz,
            channel=self.channel,
            rate_hz=self.rate_hz,
            clock=clock,
            monotonic=monotonic,
        )


@dataclass(frozen=True)
class Found:
    """What a new process opened: PortAudio's name of it, how many channels it has, and the rate."""

    name: str
    channels: int
    rate_hz: int

    def listed(self) -> InputDevice | None:
        """The same in this process's list; None where that is older than the microphone, or than its card's number."""
        return next(
            (d for d in list_inputs(probe=False) if (d.name, d.channels, d.problem) == (self.name, self.channels, "")),
            None,
        )


def look(wanted: Wanted) -> Found:
    """Ask. Raises UnavailableError, in the words of the new process, when that cannot open the microphone either."""
    command = [sys.executable, "-m", "edge_asd.audio.look"]
    question = json.dumps(dataclasses.asdict(wanted))
    try:
        done = subprocess.run(command, input=question, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError("the audio driver does not answer when asked for its devices") from error
    *_, answer = ["", *done.stdout.splitlines()]  # a plugin of the driver may have printed before
    if done.returncode:
        raise UnavailableError(answer.strip() or "the list of devices cannot be read")
    try:
        return Found(**json.loads(answer))
    except (ValueError, TypeError) as error:
        raise UnavailableError(f"the list of devices cannot be read: {answer!r}") from error


def main() -> int:
    """Look; give the exit code."""
    wanted = Wanted(**json.load(sys.stdin))
    try:
        device = wanted.device()
        capture = wanted.capture(device)
    except UnavailableError as error:
        print(error)
        return error.exit_code
    capture.close()
    print(json.dumps({"name": device.name, "channels": device.channels, "rate_hz": capture.rate_hz}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

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

LIMIT_S = 20.0


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

    def listed(self) -> bool:
        """Whether PortAudio's list, which may be older than the microphone or than its card's number, has that name."""
        return any(d.name == self.name and not d.problem for d in list_inputs(probe=False))

    def capture(
        self, *, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> Capture:
        """Open it. Raises UnavailableError."""
        return open_capture(
            portaudio.load(),
            self.device(),
            self.model_rate_hz,
            channel=self.channel,
            rate_hz=self.rate_hz,
            clock=clock,
            monotonic=monotonic,
        )


def look(wanted: Wanted) -> Wanted:
    """`wanted` under the name and at the rate that a new process opened. Raises UnavailableError, in its words."""
    command = [sys.executable, "-m", "edge_asd.audio.look"]
    question = json.dumps(dataclasses.asdict(wanted))
    try:
        done = subprocess.run(command, input=question, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError("the audio driver does not answer when asked for its devices") from error
    if done.returncode:
        raise UnavailableError(done.stdout.strip() or "the list of devices cannot be read")
    return dataclasses.replace(wanted, aliases={}, **json.loads(done.stdout))


def main() -> int:
    """Look; give the exit code."""
    wanted = Wanted(**json.load(sys.stdin))
    try:
        capture = wanted.capture()
    except UnavailableError as error:
        print(error)
        return error.exit_code
    capture.close()
    print(json.dumps({"name": capture.device.name, "rate_hz": capture.rate_hz}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""One thread for all calls into the audio driver, because any of them may hang and none may overlap."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any


class Job:
    """A call under way. `done` is set when it returned or raised."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.done = threading.Event()
        self._call = call
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """On the worker's thread."""
        try:
            self._result = self._call()
        except BaseException as error:  # handed to whoever asks for the result
            self._error = error
        self.done.set()

    def result(self) -> Any:
        """What the call returned, or raise what it raised. Only once `done`."""
        if self._error is not None:
            raise self._error
        return self._result


class Worker:
    """Runs jobs in order on a daemon thread, which a driver that hangs cannot turn into a process that never ends."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._began_s: float | None = None
        threading.Thread(target=self._loop, name=name, daemon=True).start()

    def submit(self, call: Callable[[], Any]) -> Job:
        """Queue `call`."""
        job = Job(call)
        self._jobs.put(job)
        return job

    def busy_s(self) -> float:
        """How long the call under way has taken so far; 0 between calls."""
        began_s = self._began_s
        return 0.0 if began_s is None else time.monotonic() - began_s

    def close(self) -> None:
        """End the thread after the jobs queued so far."""
        self._jobs.put(None)

    def _loop(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._began_s = time.monotonic()
            job.run()
            self._began_s = None

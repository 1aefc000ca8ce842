"""Several machines at once: a thread each, one set of sinks; what fails in one does not stop the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from edge_asd.errors import EdgeAsdError
from edge_asd.monitor.records import Record, SourceRecord, SummaryRecord

if TYPE_CHECKING:
    from edge_asd.monitor.live import LiveRun
    from edge_asd.monitor.sinks import Sink

RETRY_S = 60.0
"""Between two attempts to start a machine that fails, such as one whose bundle is damaged."""
POLL_S = 0.5
FAILED = "failed"


class Together:
    """One sink of many, for records that come from several threads."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks
        self._lock = threading.Lock()

    def write(self, record: Record) -> None:
        """Take one record; sinks see records one at a time."""
        with self._lock:
            for sink in self._sinks:
                sink.write(record)

    def close(self) -> None:
        """The sinks stay the caller's."""


def watch(
    runs: Mapping[str, Callable[[], LiveRun]],
    sink: Sink,
    *,
    stop: threading.Event,
    clock: Callable[[], float],
    retry_s: float | None = None,
) -> dict[str, SummaryRecord | EdgeAsdError]:
    """Watch all machines until each has ended or `stop` is set; give each one's summary, or what it failed with.

    runs: name -> what makes its run (loads the bundle, opens the source); called on the machine's own thread.
    sink: told when a machine fails; it is the sink of the runs as well. clock: UTC seconds.
    retry_s: seconds until a machine that failed is started again; None: it is given up.
    """
    ends: dict[str, SummaryRecord | EdgeAsdError] = {}
    faults: list[BaseException] = []

    def one(name: str, make: Callable[[], LiveRun]) -> None:
        try:
            ends[name] = _kept_running(name, make, sink, stop=stop, clock=clock, retry_s=retry_s)
        except BaseException as fault:  # of edge-asd itself: the others must not go on as if nothing were
            faults.append(fault)
            stop.set()

    threads = [threading.Thread(target=one, args=item, name=f"edge-asd {item[0]}") for item in runs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():  # a plain join would not let signals through
            thread.join(POLL_S)
    if faults:
        raise faults[0]
    return ends


def _kept_running(
    name: str,
    make: Callable[[], LiveRun],
    sink: Sink,
    *,
    stop: threading.Event,
    clock: Callable[[], float],
    retry_s: float | None,
) -> SummaryRecord | EdgeAsdError:
    while True:
        try:
            return make().run()
        except EdgeAsdError as error:
            failure = error
        if retry_s is None or stop.is_set():
            sink.write(SourceRecord(name, clock(), name, FAILED, str(failure)))
            sink.write(SummaryRecord(name, clock(), reason=FAILED))
            return failure
        sink.write(SourceRecord(name, clock(), name, "waiting", f"{failure}; next attempt in {retry_s:g} s"))
        if stop.wait(retry_s):
            return failure

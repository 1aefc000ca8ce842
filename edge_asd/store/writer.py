"""The one thread that writes to the card. It may wait for the card, fail and try again; nobody waits for it."""

from __future__ import annotations

import errno
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_asd.formats import binary_size
from edge_asd.store.backlog import CLIPS, EVENTS, MINUTES, Backlog, Entry
from edge_asd.store.clipfiles import ClipJob, clip_entry, found_files, remove_remains, written_files
from edge_asd.store.ledger import Ledger
from edge_asd.store.outages import Outages
from edge_asd.store.quota import Limits, Room, usage
from edge_asd.store.schema import FILE, Damaged, is_damage, set_aside

RETRY_S = 5.0
"""Between two attempts at a card that refuses."""
CLOSING_S = 8.0
"""A card that does not answer is not waited for any longer than this when the run ends."""
MINUTES_SHARE = 2
"""With less than one in so many of the reserved bytes free, minute scores are given up as well."""
WAY_BYTES = 65536
"""What a full card is freed of at a time, for the sake of the events."""
_OUR_FAULT = (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError, OverflowError)


class Writer:
    """Writes a backlog into the store at `directory`, from now until `close`.

    run, began: see `Ledger`. clock: UTC seconds. warn: told what goes wrong, for the journal.
    told: given (time, what) that the store itself should keep about its own troubles.

    `unstored` counts the events that are lost because the card did not take them; complete once it is closed.
    """

    def __init__(
        self,
        directory: Path,
        backlog: Backlog,
        limits: Limits,
        *,
        run: str,
        began: float,
        clock: Callable[[], float],
        warn: Callable[[str], None],
        told: Callable[[float, str], None],
    ) -> None:
        self._directory = directory
        self._backlog = backlog
        self._limits = limits
        self._run, self._began = run, began
        self._clock, self._warn, self._told = clock, warn, told
        self._outages = Outages(warn=self._say, told=told, clock=clock)
        self._ledger: Ledger | None = None
        self._check = True
        self._retry_at = 0.0
        self._clip_bytes = 0
        self._disk: dict[str, Any] | None = None
        self._reason = ""
        self.unstored = 0
        self._thread = threading.Thread(target=self._loop, name="edge-asd store", daemon=True)
        self._thread.start()

    def disk(self) -> dict[str, Any] | None:
        """Bytes used and free when last looked at, and what is wrong (None: nothing); asks the card nothing."""
        fault = self._outages.in_words()
        known = self._disk or ({"used_bytes": 0, "free_bytes": 0} if fault else None)
        return None if known is None else {**known, "fault": fault}

    def close(self) -> None:
        """Write what waits, once more if need be, and end; a card that hangs is left behind. Says what is lost."""
        first = not self._backlog.closing
        self._backlog.close()
        self._thread.join(CLOSING_S)
        if not first:
            return
        hangs = self._thread.is_alive()
        if hangs:
            self._reason = "the card does not answer"
        self.unstored += self._backlog.events_unwritten() + self._backlog.lost(EVENTS)
        if self.unstored:
            events = "1 event" if self.unstored == 1 else f"{self.unstored} events"
            self._say(f"{events} of this run could not be stored, lost with its end: {self._reason}")
        elif hangs:
            self._say(self._reason)

    def _say(self, words: str) -> None:
        self._warn(f"store {self._directory}: {words}")

    def _loop(self) -> None:
        last = False
        while True:
            well = self._work()
            if last and not (well and self._backlog.waiting()):
                break
            self._backlog.wait(self._retry_at, time.monotonic)
            last = self._backlog.closing
        if self._ledger is not None:
            self._end_in_order(self._ledger)

    def _work(self) -> bool:
        """Write what waits, and a clip; whether the card took it."""
        entries, job = self._backlog.take()
        try:
            ledger = self._opened()
            written = self._written(ledger, entries)
            entries = []
            self._backlog.written()
            for entry in written:
                entry.stored()
            lost = self._backlog.lost(EVENTS)
            self.unstored += lost
            self._outages.end(EVENTS, lost)
            if job is not None:
                self._keep_clip(ledger, job)
                job = None
            self._look(ledger)
        except Exception as error:  # whatever it is, the thread must live: nobody else writes
            self._backlog.give_back(entries)
            self._failed(error, job)
            return False
        finally:
            self._backlog.rest()
        return True

    def _written(self, ledger: Ledger, entries: list[Entry]) -> list[Entry]:
        """Write them; give those that are on the card."""
        entries = self._affordable(entries)
        try:
            if entries:
                ledger.apply(entry.apply for entry in entries)
            return entries
        except _OUR_FAULT:
            return self._one_by_one(ledger, entries)

    def _one_by_one(self, ledger: Ledger, entries: list[Entry]) -> list[Entry]:
        """One of them cannot be written at all: the others must not suffer from it."""
        written = []
        for entry in entries:
            try:
                ledger.apply([entry.apply])
                written.append(entry)
            except _OUR_FAULT as error:
                self._say(f"fault in edge-asd itself: one of the {entry.kind} cannot be written: {error}")
                self._reason = str(error)
                self.unstored += entry.kind == EVENTS
        return written

    def _affordable(self, entries: list[Entry]) -> list[Entry]:
        """Of a card that is nearly full, the rest belongs to the events."""
        minutes = sum(entry.kind == MINUTES for entry in entries)
        if not minutes:
            return entries
        free = usage(self._directory).free
        if free >= self._limits.reserve_bytes // MINUTES_SHARE:
            self._outages.end(MINUTES, self._backlog.lost(MINUTES))
            return entries
        self._outages.begin(MINUTES, "the card is nearly full, only events are kept")
        self._backlog.lose(MINUTES, minutes)
        return [entry for entry in entries if entry.kind != MINUTES]

    def _opened(self) -> Ledger:
        if self._ledger is None:
            try:
                self._ledger = self._open()
            except Damaged as damage:
                stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
                aside = set_aside(self._directory / FILE, stamp)
                self._ledger = self._open()
                rescued = self._rescued(self._ledger, aside)
                words = f"damaged ({damage}); set aside as {aside.name}, a new one is begun with {rescued} alarms of it"
                self._say(words)
                self._told(self._clock(), words)
            self._check = False
            remove_remains(self._directory)
            self._adopt(self._ledger)
        return self._ledger

    def _open(self) -> Ledger:
        return Ledger(self._directory, FILE, self._run, self._began, check=self._check)

    def _rescued(self, ledger: Ledger, damaged: Path) -> int:
        rescued = 0

        def rescue(ledger: Ledger) -> None:
            nonlocal rescued
            rescued = ledger.rescue(damaged)

        ledger.apply([rescue])
        return rescued

    def _adopt(self, ledger: Ledger) -> None:
        """Take in clips whose files were there when the power went, but not yet their names in the database."""
        for machine, alarm in ledger.clipless():
            files = found_files(self._directory, machine, alarm)
            if any(files):
                ledger.apply([clip_entry(machine, alarm, files, {})])

    def _keep_clip(self, ledger: Ledger, job: ClipJob) -> None:
        files, about = job.files(), job.about()
        size = sum(len(data) for data in files)
        names: tuple[str | None, str | None] = (None, None)
        try:
            if Room(self._directory, self._limits, ledger.pinned).make(size):
                names = written_files(self._directory, job.machine, job.alarm, files)
                self._outages.end(CLIPS, self._backlog.lost(CLIPS))
            else:
                about["dropped"] = f"no room for {binary_size(size)} within the quota and the reserve"
        except OSError as error:
            about["dropped"] = error.strerror or str(error)
        if "dropped" in about:
            self._clip_bytes = size
            self._backlog.lose(CLIPS, 1)
            self._outages.begin(CLIPS, about["dropped"])
        ledger.apply([clip_entry(job.machine, job.alarm, names, about)])

    def _look(self, ledger: Ledger) -> None:
        """At what is used and free; shorten the database where it alone is more than the quota allows."""
        now = usage(self._directory)
        quota = Room(self._directory, Limits(self._limits.quota_bytes, 0), ledger.pinned)
        while now.used > self._limits.quota_bytes and not quota.make(0) and ledger.trim():
            before, now = now, usage(self._directory)
            if now.used >= before.used:
                break
        now = usage(self._directory)
        self._disk = {"used_bytes": now.used, "free_bytes": now.free}
        if now.room(self._limits) >= self._clip_bytes:
            self._outages.end(CLIPS, self._backlog.lost(CLIPS))

    def _failed(self, error: Exception, job: ClipJob | None) -> None:
        self._retry_at = time.monotonic() + RETRY_S
        if isinstance(error, sqlite3.Error) and is_damage(error):
            self._check = True
        if self._ledger is not None:
            if _is_full(error):
                self._make_way(self._ledger)
            self._ledger.close()
            self._ledger = None
        if job is not None:
            self._backlog.lose(CLIPS, 1)
        self._reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self._outages.begin(EVENTS, f"{self._reason}; they wait in memory")

    def _make_way(self, ledger: Ledger) -> None:
        """A full card: the oldest clips go for the sake of the events."""
        try:
            free = usage(self._directory).free
            Room(self._directory, Limits(self._limits.quota_bytes, free + WAY_BYTES), ledger.pinned).make(0)
        except (OSError, sqlite3.Error) as error:
            self._say(f"nothing can be removed either: {error}")

    def _end_in_order(self, ledger: Ledger) -> None:
        try:
            ledger.apply([lambda ledger: ledger.end_run(self._clock())])
        except (sqlite3.Error, OSError) as error:
            self._say(f"the end of the run cannot be written: {error}")
        ledger.close()


def _is_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, sqlite3.Error) and "full" in str(error)

"""From a record to a receiver's hands, without the listening thread ever waiting for card or network.

The listening thread only appends to a list in memory. One thread keeps: puts what came on the card at once, and synced.
Another sends: the oldest first, one at a time, taken off the card when the receiver has it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from edge_asd.errors import StorageError
from edge_asd.monitor.records import Record
from edge_asd.outputs.delivery import Backoff, Receiver, Refused, TryLater
from edge_asd.outputs.message import Chosen, Message, made_of, message_of
from edge_asd.outputs.queue import DiskQueue, Waiting

HELD_AT_MOST = 1000
"""Messages in memory while the card takes none."""
KEEP_AGAIN_S = 5.0
"""Between two attempts to write to a card that refuses."""
LAST_WORDS_S = 3.0
"""Given to a receiver that answers, when the run ends; what it has not by then is sent by the next run."""


class Outlet:
    """A sink with a queue on the card.

    name: of the way out, for people. device: the board's name, in each message. chosen: which records are sent.
    backoff: its pauses. warn: told in words when the receiver, or the card, fails and recovers.

    `sent`, `refused` and `dropped` count messages.
    """

    def __init__(
        self,
        name: str,
        queue: DiskQueue,
        receiver: Receiver,
        *,
        device: str,
        chosen: Chosen,
        backoff: Backoff,
        warn: Callable[[str], None],
    ) -> None:
        self.name = name
        self.queue = queue
        self.sent = self.refused = self.dropped = 0
        self._receiver = receiver
        self._device = device
        self._chosen = chosen
        self._backoff = backoff
        self._warn = warn
        self._held: deque[Message] = deque()
        self._came = threading.Condition()
        self._closing = threading.Event()
        self._kept = threading.Event()
        self._failing = ""
        if queue.damaged is not None:
            warn(f"{name}: the queue was damaged and is now {queue.damaged}; what waited in it is not sent")
        self._keeper = threading.Thread(target=self._keep, name=f"edge-asd {name} keeps", daemon=True)
        self._sender = threading.Thread(target=self._send, name=f"edge-asd {name} sends", daemon=True)
        self._keeper.start()
        self._sender.start()

    def write(self, record: Record) -> None:
        """Take one record; never waits."""
        if self._chosen(record):
            message = message_of(record, self._device)
            with self._came:
                if len(self._held) >= HELD_AT_MOST:
                    self._held.popleft()
                    self.dropped += 1
                self._held.append(message)
                self._came.notify()

    def close(self) -> None:
        """Put all on the card and give the receiver a moment to take it; safe to call twice."""
        with self._came:
            first = not self._closing.is_set()
            self._closing.set()
            self._came.notify()
        self._keeper.join(KEEP_AGAIN_S)
        self._kept.set()
        self._sender.join(LAST_WORDS_S)
        self._receiver.close()
        self._sender.join(LAST_WORDS_S)
        if first and len(self.queue):
            where = "on the card for the next run" if self.queue.is_kept else "in memory, and are lost"
            self._warn(f"{self.name}: {_counted(len(self.queue))} {where}")
        if not self._sender.is_alive() and not self._keeper.is_alive():
            self.queue.close()

    def _keep(self) -> None:
        failed = False
        while True:
            with self._came:
                while not self._held and not self._closing.is_set():
                    self._came.wait()
                messages = list(self._held)
            if not messages:
                return
            try:
                dropped = self.queue.put(messages)
            except StorageError as error:
                if not failed:
                    self._warn(f"{self.name}: {error}; what is to be sent waits in memory")
                failed = True
                if self._closing.is_set():
                    self._warn(f"{self.name}: {len(messages)} messages are lost: {error}")
                    return
                self._closing.wait(KEEP_AGAIN_S)
                continue
            if failed:
                self._warn(f"{self.name}: the queue can be written again")
                failed = False
            if dropped:
                if not self.queue.dropped - dropped:
                    self._warn(f"{self.name}: the queue is full; the oldest messages are dropped")
                self.dropped += dropped
            with self._came:
                # Some of these may have gone from memory's end meanwhile; only what was put is taken away.
                put = {id(message) for message in messages}
                while self._held and id(self._held[0]) in put:
                    self._held.popleft()
            self._kept.set()

    def _send(self) -> None:
        deadline_s = float("inf")
        while True:
            if self._closing.is_set():
                deadline_s = min(deadline_s, time.monotonic() + LAST_WORDS_S)
                if time.monotonic() >= deadline_s:
                    return
            try:
                waiting = self.queue.first()
                if waiting is None:
                    if self._closing.is_set() and not self._keeper.is_alive():
                        return
                    self._kept.wait()
                    self._kept.clear()
                    if self._closing.is_set() and not self._keeper.is_alive() and not len(self.queue):
                        return
                    continue
                self._deliver(waiting)
            except TryLater as failure:
                if self._closing.is_set():
                    return
                self._fails(str(failure))
                self._closing.wait(self._backoff.next_s(failure.pause_s))
            except Exception as fault:  # the card's, or one of edge-asd: this thread must outlive it
                if self._closing.is_set():
                    return
                self._fails(str(fault) if isinstance(fault, StorageError) else f"{type(fault).__name__}: {fault}")
                self._closing.wait(KEEP_AGAIN_S)

    def _deliver(self, waiting: Waiting) -> None:
        """Deliver the oldest message, and before it word of those that were dropped."""
        dropped = self.queue.dropped
        try:
            if dropped:
                self._receiver.deliver(self._word_of(dropped, waiting))
                self.queue.told(dropped)
            self._receiver.deliver(waiting.message)
            self.sent += 1
        except Refused as refusal:
            self.refused += 1
            self._warn(f"{self.name}: message {waiting.message.id} is refused and dropped: {refusal}")
        self.queue.done(waiting)
        self._backoff.reset()
        if self._failing:
            lost = f"; {dropped} messages were dropped meanwhile" if dropped else ""
            self._warn(f"{self.name}: works again, {_counted(len(self.queue))}{lost}")
            self._failing = ""

    def _word_of(self, dropped: int, waiting: Waiting) -> Message:
        """The same for the same gap, however often it is sent."""
        content = {"type": "dropped", "messages": dropped, "before": waiting.message.id}
        return made_of(content, self._device)

    def _fails(self, reason: str) -> None:
        """Say it once for each reason."""
        if reason != self._failing:
            self._warn(f"{self.name}: {reason}; {_counted(len(self.queue))} on the card, to be tried again")
        self._failing = reason


def _counted(n: int) -> str:
    return "1 message waits" if n == 1 else f"{n} messages wait"

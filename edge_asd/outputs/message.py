"""What is sent: a record with an id that stays the same however often it is sent."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from edge_asd.monitor.records import AlarmRecord, Record, ScoreRecord, SourceRecord

ID_DIGITS = 24


@dataclass(frozen=True)
class Message:
    """One thing to tell a receiver.

    id: the same each time it is sent, letters and digits only; a receiver that keeps ids takes nothing twice.
    body: strict JSON, an object with "message_id" and what the record says.
    """

    id: str
    body: str


def message_of(record: Record, device: str) -> Message:
    """The record as a message. device: the board's name, since one receiver may hear many boards."""
    return made_of(record.to_dict(), device)


def made_of(content: dict[str, object], device: str) -> Message:
    """Any content as a message.

    An alarm's start and end are each one message, whatever their words; all else is told apart by its content.
    """
    if content["type"] == "alarm":
        named: object = [content[key] for key in ("type", "machine", "id", "state")]
    else:
        named = content
    text = json.dumps([device, named], sort_keys=True, allow_nan=False)
    mark = "msg" + hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]
    body = json.dumps({"message_id": mark, "device": device, **content}, allow_nan=False, separators=(",", ":"))
    return Message(mark, body)


class Chosen:
    """Chooses the records worth a message: never each score, and what a source repeats word by word only once.

    alarms_only: all else is left out, too.
    """

    def __init__(self, *, alarms_only: bool = False) -> None:
        self._alarms_only = alarms_only
        self._said: dict[str, tuple[str, str]] = {}

    def __call__(self, record: Record) -> bool:
        """Whether to send it."""
        if isinstance(record, AlarmRecord):
            return True
        if isinstance(record, ScoreRecord) or self._alarms_only:
            return False
        if isinstance(record, SourceRecord):
            words = (record.event, record.message)
            if self._said.get(record.machine) == words:
                return False
            self._said[record.machine] = words
        return True

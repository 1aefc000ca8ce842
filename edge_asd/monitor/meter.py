"""The screen: one moving line with level and score, and lasting lines for alarms, in words for a person.

Without a terminal (or on a dumb one) every record is a plain line instead, so a log of the screen stays readable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import TextIO

from edge_asd.monitor.records import (
    AlarmRecord,
    ClockRecord,
    HealthRecord,
    Record,
    ScoreRecord,
    SourceRecord,
    SummaryRecord,
)

LEVEL_FLOOR_DBFS = -80.0
"""Left end of the level bar; the right end is full scale."""
SCORE_SPAN = 100.0
"""Right end of the score bar; the threshold's mark stands in the middle, at 50."""
NARROW_COLUMNS, WIDE_COLUMNS = 60, 100
ERASE_LINE = "\r\x1b[2K"
COLOURS = {"normal": "32", "above": "33", "ALARM": "31;1"}


@dataclass(frozen=True)
class ScreenStyle:
    """What a screen can show.

    live: it can rewrite a line; else every record is a line of its own.
    colour: it takes ANSI colours.
    blocks: its encoding has block characters; else bars are made of # and -.
    """

    live: bool
    colour: bool
    blocks: bool

    @classmethod
    def of(cls, stream: TextIO, environment: Mapping[str, str]) -> ScreenStyle:
        """What `stream` can show, given TERM and NO_COLOR (https://no-color.org)."""
        live = stream.isatty() and environment.get("TERM", "dumb") != "dumb"
        encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "")
        return cls(live=live, colour=live and not environment.get("NO_COLOR"), blocks=encoding.startswith("utf"))


class Meter:
    """A sink that draws.

    stream: the terminal or file.
    style: what it can show.
    columns: gives the width in characters, asked anew for every line, since windows are resized.
    zone: of the times shown; None: the machine's local time.
    """

    def __init__(
        self, stream: TextIO, *, style: ScreenStyle, columns: Callable[[], int], zone: tzinfo | None = None
    ) -> None:
        self._stream = stream
        self._style = style
        self._columns = columns
        self._zone = zone
        self._drawn = False
        self._latest: dict[str, ScoreRecord] = {}

    def write(self, record: Record) -> None:
        """Show one record."""
        if isinstance(record, ScoreRecord):
            self._moving(record)
        elif isinstance(record, AlarmRecord):
            text = self._named(record, alarm_line(record, self._local))
            self._lasting(text, "31;1" if record.event.state == "start" else "32")
        elif isinstance(record, SourceRecord):
            self._lasting(f"{self._local(record.time)}  {record.source}: {record.message}", "")
        elif isinstance(record, HealthRecord):
            line = f"{self._local(record.time)}  {health_line(record)}"
            self._lasting(self._named(record, line), "33" if record.state == "start" else "32")
        elif isinstance(record, ClockRecord):
            self._lasting(clock_line(record, self._local), "")
        else:
            self._lasting(summary_line(record, self._local), "")

    def _named(self, record: Record, line: str) -> str:
        """The line with its machine's name, where there are several."""
        return f"{record.machine}: {line}" if len(self._latest) > 1 else line

    def close(self) -> None:
        """Leave the cursor on a line of its own; safe to call twice."""
        if self._drawn:
            self._stream.write("\n")
        self._drawn = False
        self._stream.flush()

    def _moving(self, record: ScoreRecord) -> None:
        self._latest[record.machine] = record
        if len(self._latest) > 1 and self._style.live:
            # One line has room for one machine: the one that is worst off.
            record = max(self._latest.values(), key=lambda r: (r.alarm is not None, r.score / max(r.threshold, 1e-9)))
        state = state_of(record)
        line = self._named(record, score_line(record, self._local, self._columns(), blocks=self._style.blocks))
        line = line[: self._columns() - 1]
        if self._style.live:
            self._stream.write(ERASE_LINE + self._coloured(line, COLOURS[state]))
            self._drawn = True
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def _lasting(self, text: str, colour: str) -> None:
        if not self._style.blocks:
            text = text.encode("ascii", "replace").decode()
        self._stream.write((ERASE_LINE if self._drawn else "") + self._coloured(text, colour) + "\n")
        self._drawn = False
        self._stream.flush()

    def _coloured(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._style.colour and colour else text

    def _local(self, seconds: float) -> str:
        return datetime.fromtimestamp(seconds, tz=self._zone).strftime("%H:%M:%S")


def state_of(record: ScoreRecord) -> str:
    """ "ALARM" while one is on, "above" while the score is over the threshold, else "normal"."""
    if record.alarm is not None:
        return "ALARM"
    return "above" if record.anomalous else "normal"


def score_line(record: ScoreRecord, local: Callable[[float], str], columns: int, *, blocks: bool) -> str:
    """Level and score in one line of fewer than `columns` characters, as much of it as there is room for."""
    numbers = f"score {record.score:4.1f} / {record.threshold:.0f}"
    state = state_of(record)
    if columns < NARROW_COLUMNS:
        return f"{numbers} {state}"[: max(1, columns - 1)]
    cells = 10 if columns < WIDE_COLUMNS else 20
    level = bar((record.level_dbfs - LEVEL_FLOOR_DBFS) / -LEVEL_FLOOR_DBFS, cells, blocks=blocks)
    score = bar(record.score / SCORE_SPAN, cells, mark=record.threshold / SCORE_SPAN, blocks=blocks)
    time = f"{local(record.time)}  " if columns >= 80 else ""
    line = f"{time}{level} {record.level_dbfs:6.1f} dBFS  {score} {numbers}  {state}"
    return line[: columns - 1]


def bar(share: float, cells: int, *, mark: float | None = None, blocks: bool) -> str:
    """A bar filled to `share` (0..1, cut to that), with a mark standing at `mark`, framed: cells + 2 characters."""
    full, empty, line, left, right = ("█", "░", "│", "▕", "▏") if blocks else ("#", "-", "|", "[", "]")
    n_full = min(cells, max(0, round(share * cells)))
    drawn = [full] * n_full + [empty] * (cells - n_full)
    if mark is not None:
        drawn[min(cells - 1, round(mark * cells))] = line
    return left + "".join(drawn) + right


def alarm_line(record: AlarmRecord, local: Callable[[float], str]) -> str:
    """What happened, when, how badly, and what changed in the sound."""
    event = record.event
    if event.state == "start":
        since = "" if event.time - event.start < 1.0 else f" since {local(event.start)}"
        return (
            f"{local(event.time)}  ALARM  score {event.peak:.1f}, above {event.threshold:.0f}{since}. "
            f"What changed: {record.explanation.text}"
        )
    end = event.end if event.end is not None else event.time
    ending = "alarm over" if event.reason == "released" else "run ends while the alarm is on"
    return (
        f"{local(event.time)}  {ending}, {duration_words(end - event.start)} long, "
        f"peak {event.peak:.1f} at {local(event.peak_time)}. What changed: {record.explanation.text}"
    )


def summary_line(record: SummaryRecord, local: Callable[[float], str]) -> str:
    """What the run came to."""
    parts = [
        f"{duration_words(record.sound_s)} of sound",
        counted(record.windows, "window"),
        f"{record.anomalous} above the threshold",
        counted(record.alarms, "alarm"),
    ]
    if record.peak is not None and record.peak_time is not None:
        parts.append(f"highest score {record.peak:.1f} at {local(record.peak_time)}")
    if record.gaps:
        parts.append(f"{counted(record.gaps, 'gap')}, {record.lost_s:.2f} s lost")
    endings = {"ended": "Ended", "duration": "Ended as asked", "stopped": "Stopped", "failed": "Broken off"}
    return f"{endings[record.reason]}: {', '.join(parts)}."


def health_line(record: HealthRecord) -> str:
    """What is wrong with the sound itself."""
    return f"HEALTH  {record.kind}: {record.message}"


def clock_line(record: ClockRecord, local: Callable[[float], str]) -> str:
    """That the clock was set, and what that means for what was said before."""
    return f"{local(record.time)}  the clock was set; add {record.step_s:.1f} s to the times of this run before now"


def counted(number: int, thing: str) -> str:
    """ "1 alarm", "2 alarms"."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def duration_words(seconds: float) -> str:
    """ "12 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"

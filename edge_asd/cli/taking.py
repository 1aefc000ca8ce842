"""Taking normal sound for an enrolment, from recordings or a microphone, and minding what does not belong."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from edge_asd.cli.progress import Once, Progress, confirmed, note
from edge_asd.cli.reach import differ, rates_text
from edge_asd.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from edge_asd.audio.microphone import SourceEvent
    from edge_asd.config import Config
    from edge_asd.enrolment.enrol import Enrolment


def mind_outliers(enrolment: Enrolment, *, drop: bool) -> None:
    """Name what is unlike all the rest, and leave it out if that is wanted."""
    outliers = enrolment.outliers()
    if not outliers:
        return
    for outlier in outliers:
        note(f"unlike the rest: {outlier.text}")
    if drop or confirmed("leave that out of the normal sound?"):
        enrolment.drop(outliers)
        note(f"left out; {enrolment.seconds:.0f} s of sound remain")
    else:
        note("kept as normal sound; if it was an accident (a slammed door, a voice), enrol again with --drop-outliers")


def take_clips(
    enrolment: Enrolment, paths: list[str], config: Config, domain: str | None = None, *, sessions: bool = False
) -> dict[str, str]:
    """Take the recordings that are named; tells the source, for the provenance.

    sessions: each path that is named is a session of its own. Raises DataError, MissingInputError.
    """
    from edge_asd.audio.files import find_clips, sound_hz
    from edge_asd.clips import LOG_MEL_SUFFIX

    named = [(clip, path) for path in paths for clip in find_clips([path])]
    first: dict[Path, tuple[Path, str]] = {}
    for clip, path in named:
        first.setdefault(clip.resolve(), (clip, path))
    clips = list(first.values())
    if len(clips) < len(named):
        note(f"warning: {len(named) - len(clips)} clips were named twice and count once")
    progress, say_once, refused = Progress(len(clips)), Once(), []
    rates_hz: set[int] = set()
    try:
        for done, (clip, path) in enumerate(clips, 1):
            group = path if sessions else None
            try:
                enrolment.add_clip(clip, config.audio.channel, group, domain=domain, on_note=say_once)
                if clip.suffix != LOG_MEL_SUFFIX:
                    rates_hz.add(sound_hz(clip))
            except DataError as error:
                # All of them are named in one run; enrolling the rest would hide that sound is missing.
                refused.append(error)
            progress.at(done, f"{done} of {len(clips)} clips, {enrolment.seconds:.0f} s of sound")
    finally:
        progress.end()
    if len(refused) == 1:
        raise refused[0]
    if refused:
        for reason in refused:
            note(reason)
        raise DataError(f"{len(refused)} of {len(clips)} clips cannot be enrolled", remedy="leave them out")
    if differ(rates_hz, enrolment.model.contract.features.rate_hz):
        rates = rates_text(rates_hz).replace(",", ", ")
        note(f"warning: clips of {rates} Hz were enrolled together, whose upper bands differ: use one source of sound")
    return {"source": f"{len(clips)} clips", "sound_hz": rates_text(rates_hz)}


def listen(
    enrolment: Enrolment, config: Config, wanted_s: float, *, wait: bool, domain: str | None = None
) -> dict[str, str]:
    """Listen to the microphone that is set; tells the source. Raises DataError, UnavailableError."""
    from edge_asd.audio.block import level_dbfs
    from edge_asd.cli.sources import open_microphone
    from edge_asd.monitor.recorder import stretches

    rate_hz = enrolment.model.contract.features.rate_hz
    progress = Progress(wanted_s)

    def on_event(event: SourceEvent) -> None:
        progress.end()
        note(f"{event.kind}: {event.detail}")

    source = open_microphone(config.audio, rate_hz, wait=wait, stop=threading.Event(), on_event=on_event)
    blocks, least_s, skipped_s, heard_s = source.blocks(), enrolment.model.contract.window_s, 0.0, 0.0
    try:
        # A slammed door must not cost ten minutes: a bad stretch is left out and more is listened to in its place.
        while (missing_s := wanted_s - enrolment.seconds) >= least_s:
            heard_any = False
            for stretch in stretches(blocks, rate_hz, missing_s, least_s):
                heard_any = True
                heard = f"{level_dbfs(stretch):.0f} dBFS"
                try:
                    enrolment.add_samples(stretch, source.name, domain=domain, start_s=heard_s)
                except DataError as error:
                    skipped_s += stretch.size / rate_hz
                    if skipped_s >= wanted_s:
                        raise
                    progress.end()
                    note(f"{error.message}: {stretch.size / rate_hz:.0f} s left out")
                heard_s += stretch.size / rate_hz
                progress.at(enrolment.seconds, f"{enrolment.seconds:.0f} of {wanted_s:.0f} s heard, {heard}")
            if not heard_any:
                break  # the source has ended
    finally:
        progress.end()
        source.close()
    if source.note:
        note(f"{source.name}: {source.note}")
    microphone = {"microphone": source.stable_name, "microphone_hz": str(source.heard_hz)}
    return {"source": f"device {source.name}", **microphone}

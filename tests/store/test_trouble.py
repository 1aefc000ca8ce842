"""A card that is full, nearly full or read-only; a quota; and sound that may not be stored."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from PIL import Image

from benchmarks.records import NOON, RATE_HZ, alarm_at, score_at
from edge_asd.audio.block import AudioBlock
from edge_asd.contract import LogMelSpec
from edge_asd.monitor.records import ScoreRecord
from edge_asd.store import writer
from edge_asd.store.quota import Limits, Room, usage
from edge_asd.store.reading import Query, Reader, mark_alarm
from edge_asd.store.sink import ClipSettings, EventStore

if TYPE_CHECKING:
    from .conftest import Opened

SPEC = LogMelSpec()


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Samples that int16 holds exactly, and that FLAC cannot make small."""
    rng = np.random.default_rng(seed)
    return (rng.integers(-20000, 20000, round(seconds * RATE_HZ)) / 32768.0).astype(np.float32)


def alarm_with_sound(store: EventStore, number: int, sound: np.ndarray) -> str:
    """An alarm 2 s into `sound`, which becomes its clip of 1 s before and 1 s after; give the alarm's id."""
    (tap,) = store.taps("fan", SPEC)
    record = alarm_at(NOON + 100.0 * number, end_position=2 * RATE_HZ, late_s=0.0)
    tap.hear(AudioBlock(sound[: 2 * RATE_HZ], 0, NOON))
    store.write(record)
    tap.hear(AudioBlock(sound[2 * RATE_HZ :], 2 * RATE_HZ, NOON))
    assert store.keep_up()
    return record.event.id


def clips(directory: Path) -> dict[str, str | None]:
    with Reader(directory) as reader:
        return {e["id"]: e["clip"] for e in reader.events(Query(alarms_only=True))}


def test_a_clip_is_the_very_sound_and_its_picture_lies_beside_it(stores: Opened) -> None:
    store, sound = stores(), noise(4.0)
    alarm_with_sound(store, 0, sound)
    with Reader(stores.directory) as reader:
        (event,) = reader.events(Query())
    assert event["clip"] == "clips/2026-01/20260101T120000-000Z_fan.flac"
    samples, rate_hz = soundfile.read(stores.directory / event["clip"], dtype="float32")
    assert rate_hz == RATE_HZ
    assert np.array_equal(samples, sound[RATE_HZ : 3 * RATE_HZ])
    assert event["clip_about"] == {"duration_s": 2.0, "alarm_s": 1.0, "gaps": []}
    with Image.open(stores.directory / event["picture"]) as picture:
        assert picture.width == 800
    disk = store.disk()
    assert disk is not None
    assert disk["used_bytes"] == usage(stores.directory).used
    assert (disk["free_bytes"] > 0, disk["fault"]) == (True, None)


def test_with_the_privacy_switch_no_audio_reaches_the_card_not_even_memory(stores: Opened) -> None:
    store = stores(clips=ClipSettings(sound=False, pictures=False))
    assert store.taps("fan", SPEC) == []
    store.write(alarm_at(NOON))
    store.close()
    with Reader(stores.directory) as reader:
        (event,) = reader.events(Query())
    assert (event["clip"], event["picture"]) == (None, None)
    assert event["explanation"]
    assert not (stores.directory / "clips").exists()


def test_pictures_alone_can_be_kept(stores: Opened) -> None:
    store = stores(clips=ClipSettings(sound=False, pictures=True, before_s=1.0, after_s=1.0))
    alarm_with_sound(store, 0, noise(4.0))
    assert [path.suffix for path in (stores.directory / "clips").glob("*/*")] == [".png"]


def test_the_run_s_end_keeps_the_clip_under_way(stores: Opened) -> None:
    store = stores()
    (tap,) = store.taps("fan", SPEC)
    tap.hear(AudioBlock(noise(2.0), 0, NOON))
    store.write(alarm_at(NOON, end_position=2 * RATE_HZ))
    store.close()
    (name,) = clips(stores.directory).values()
    assert name is not None
    assert soundfile.info(stores.directory / name).frames == RATE_HZ


def test_clips_over_the_quota_go_oldest_first_and_pinned_ones_stay(stores: Opened) -> None:
    store = stores(limits=Limits(700_000, 1))
    ids = [alarm_with_sound(store, i, noise(4.0, i)) for i in range(4)]
    assert all(clips(stores.directory).values())
    mark_alarm(stores.directory, ids[0], "pinned", True)
    mark_alarm(stores.directory, f"fan/{ids[3]}", "acknowledged", True)
    ids += [alarm_with_sound(store, i, noise(4.0, i)) for i in range(4, 12)]
    assert usage(stores.directory).used <= 700_000
    kept = [alarm for alarm, clip in clips(stores.directory).items() if clip]
    assert kept[0] == ids[0]
    assert kept[1:] == ids[-len(kept) + 1 :]
    with Reader(stores.directory) as reader:
        found = reader.events(Query(alarms_only=True))
    assert [e["pinned"] for e in found] == [True] + [False] * 11
    assert [e["acknowledged"] for e in found].index(True) == 3
    assert found[2]["clip_about"]["evicted"]


def test_where_only_pinned_clips_are_left_a_new_one_is_given_up_and_said(stores: Opened) -> None:
    store = stores()
    for i in range(2):
        mark_alarm(stores.directory, alarm_with_sound(store, i, noise(4.0, i)), "pinned", True)
    store.close()
    store = stores(limits=Limits(usage(stores.directory).used + 60_000, 1))
    last = alarm_with_sound(store, 5, noise(4.0, 5))
    kept = clips(stores.directory)
    assert kept.pop(last) is None
    assert all(kept.values())
    assert any("no room for" in words for words in stores.said)
    disk = store.disk()
    assert disk is not None
    assert "clips: no room" in disk["fault"]


def test_a_database_that_alone_outgrows_the_quota_loses_its_oldest_minutes(stores: Opened) -> None:
    store = stores(limits=Limits(600_000, 1))
    store.write(alarm_at(NOON))
    for i in range(12_000):
        store.write(score_at(NOON + 60.0 * i))
        if i % 500 == 0:
            assert store.keep_up()
    store.close()
    assert usage(stores.directory).used <= 600_000
    with Reader(stores.directory) as reader:
        assert len(reader.events(Query(alarms_only=True))) == 1
        times = [minute["time"] for minute in reader.minutes(Query())]
    assert 1000 < len(times) < 11_000
    assert times[-1] == "2026-01-09T19:59:00.000Z"


def test_room_is_not_made_where_it_would_not_help(tmp_path: Path) -> None:
    clip = tmp_path / "clips/2026-01/a.flac"
    clip.parent.mkdir(parents=True)
    clip.write_bytes(bytes(1000))
    free = usage(tmp_path).free
    assert not Room(tmp_path, Limits(10**9, 2 * free), set).make(500)
    assert clip.exists()
    assert Room(tmp_path, Limits(1200, 1), set).make(500)
    assert not clip.parent.exists()


def test_a_damaged_database_goes_before_any_clip_and_what_others_keep_stays(tmp_path: Path) -> None:
    clip, damaged, other = (tmp_path / n for n in ("clips/2026-01/a.flac", "events-damaged-x.db", "queue.bin"))
    clip.parent.mkdir(parents=True)
    for path in (clip, damaged, other):
        path.write_bytes(bytes(1000))
    assert usage(tmp_path).used == 2000
    assert Room(tmp_path, Limits(2100, 1), set).make(500)
    assert [path.exists() for path in (clip, damaged, other)] == [True, False, True]


@pytest.fixture
def small_card(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    card = tmp_path / "card"
    card.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(card)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small file system")
    yield card
    subprocess.run(["umount", "-l", str(card)], check=True)


def fill(card: Path, name: str = "filler", *, leave: int = 0) -> Path:
    """What somebody else writes to the card, until so much is left."""
    filler = card / name
    free = os.statvfs(card).f_bavail * os.statvfs(card).f_frsize - leave
    with filler.open("wb") as file:
        file.write(bytes(max(0, free)))
    return filler


def test_a_full_card_takes_the_clips_first_and_the_events_wait_in_memory(
    stores: Opened, small_card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.05)
    store = stores(directory=small_card / "store", limits=Limits(10**9, 1))
    alarm_with_sound(store, 0, noise(4.0))
    assert clips(small_card / "store").popitem()[1] is not None
    filler = fill(small_card)
    before = len(stores.stored)
    for i in range(1, 60):
        store.write(alarm_at(NOON + 100.0 * i))
        store.write(alarm_at(NOON + 100.0 * i, "end"))
    store.settle(1.0)
    assert clips(small_card / "store")["20260101T120000-000Z"] is None, "makes way for events"
    more = fill(small_card, "more")
    for i in range(60, 400):
        store.write(alarm_at(NOON + 100.0 * i))
    assert not store.settle(0.5)
    assert any("full" in words and "wait in memory; listening goes on" in words for words in stores.said)
    disk = store.disk()
    assert disk is not None
    assert "events: " in disk["fault"]
    assert len(stores.stored) < before + 59 * 2 + 340
    filler.unlink()
    more.unlink()
    assert store.settle(10.0)
    assert len(stores.stored) == before + 59 * 2 + 340
    assert len(clips(small_card / "store")) == 400
    assert any("events are written again; none of them lost" in words for words in stores.said)
    disk = store.disk()
    assert disk is not None
    assert disk["fault"] is None
    with Reader(small_card / "store") as reader:
        told = [e["message"] for e in reader.events(Query()) if e["type"] == "health"]
    assert any("full" in words for words in told)


def test_what_is_not_on_the_card_at_the_end_is_counted_by_events(stores: Opened, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("where the store should be")
    store = stores(directory=tmp_path / "file")
    for i in range(2):
        store.write(alarm_at(NOON + 100.0 * i))
        store.write(alarm_at(NOON + 100.0 * i, "end"))
    store.write(score_at(NOON))
    store.close()
    store.close()
    words = f"store {tmp_path / 'file'}: 2 events of this run could not be stored, lost with its end: File exists"
    assert [said for said in stores.said if "could not be stored" in said] == [words]
    assert store.unstored == 2


def test_a_card_that_takes_all_at_the_very_end_has_lost_nothing(stores: Opened, tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("where the store should be")
    store = stores(directory=place)
    store.write(alarm_at(NOON))
    assert not store.settle(0.2)
    place.unlink()
    store.close()
    assert store.unstored == 0
    assert not any("could not be stored" in said for said in stores.said)
    with Reader(place) as reader:
        told = [e["message"] for e in reader.events(Query()) if e["type"] == "health"]
    assert told == ["events: File exists; they wait in memory; written again, none of them lost"]


def test_the_last_of_a_card_belongs_to_the_events(stores: Opened, small_card: Path) -> None:
    store = stores(directory=small_card / "store", limits=Limits(10**9, 400_000))
    assert store.settle()
    filler = fill(small_card, leave=350_000)
    alarm_with_sound(store, 0, noise(4.0))
    store.write(score_at(NOON))
    store.write(score_at(NOON + 60))
    assert store.settle()
    assert clips(small_card / "store").popitem()[1] is None
    filler.unlink()
    filler = fill(small_card, leave=180_000)
    store.write(score_at(NOON + 120))
    assert store.settle()
    store.write(alarm_at(NOON + 1000))
    assert store.settle()
    with Reader(small_card / "store") as reader:
        assert [m["time"][11:16] for m in reader.minutes(Query())] == ["12:00"]
    assert len(clips(small_card / "store")) == 2
    disk = store.disk()
    assert disk is not None
    assert "only events are kept" in disk["fault"]
    filler.unlink()
    store.write(score_at(NOON + 180))
    assert store.settle()
    disk = store.disk()
    assert disk is not None
    assert disk["fault"] is None
    assert any("minute scores are written again; 1 of them lost" in words for words in stores.said)


def test_a_card_that_turns_read_only_is_waited_for(
    stores: Opened, small_card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.05)
    store = stores(directory=small_card / "store")
    store.write(alarm_at(NOON))
    assert store.settle()
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_card)], check=True)
    store = stores(directory=small_card / "store")  # as after a boot with a worn card
    store.write(alarm_at(NOON + 100))
    store.write(ScoreRecord("fan", NOON, 1.0, 1.0, 50.0, False, -30.0, None))
    assert not store.settle(0.4)
    assert any("Read-only file system" in words or "readonly" in words for words in stores.said)
    assert len(clips(small_card / "store")) == 1, "it can be read all the same"
    subprocess.run(["mount", "-o", "remount,rw", str(small_card)], check=True)
    assert store.settle(10.0)
    assert len(clips(small_card / "store")) == 2

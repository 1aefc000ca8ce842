"""Clips cut from memory: to the sample, across gaps, around the ring's end."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.audio.block import AudioBlock
from edge_asd.store.ring import LATE_S, Clip, ClipRing

RATE_HZ = 100
"""So few that places can be counted on: sample i is i / 32768."""


def sound(first: int, stop: int) -> np.ndarray:
    return (np.arange(first, stop) % 30000 / 32768.0).astype(np.float32)


def hear(ring: ClipRing, first: int, stop: int, size: int = 7) -> None:
    for at in range(first, stop, size):
        end = min(stop, at + size)
        ring.hear(AudioBlock(sound(at, end), at, 0.0))


def ring_and_clips(before_s: float = 2.0, after_s: float = 3.0) -> tuple[ClipRing, list[Clip]]:
    return ClipRing(RATE_HZ, before_s=before_s, after_s=after_s), []


@pytest.mark.parametrize("size", [1, 7, 64, 5000], ids="blocks of {}".format)
def test_pre_roll_and_post_roll_are_exact_to_the_sample(size: int) -> None:
    ring, clips = ring_and_clips()
    hear(ring, 0, 1000, size)
    ring.want(900, 950, clips.append)
    hear(ring, 1000, 1249, size)
    assert clips == []
    hear(ring, 1249, 12000, size)
    (clip,) = clips
    assert clip.samples.dtype == np.int16
    assert clip.samples.tolist() == list(range(700, 1250))
    assert (clip.alarm_s, clip.duration_s, clip.gaps) == (2.0, 5.5, ())


def test_clips_of_a_long_stream_are_right_wherever_the_ring_begins_anew() -> None:
    ring, clips = ring_and_clips()
    for start in range(1000, 20000, 1130):
        hear(ring, ring.position, start + 40)
        ring.want(start, start + 40, clips.append)
        hear(ring, ring.position, start + 340)
    assert [(c.samples[0], c.samples[-1], len(c.samples)) for c in clips] == [
        (start - 200, start + 339, 540) for start in range(1000, 20000, 1130)
    ]
    assert all((np.diff(clip.samples) == 1).all() for clip in clips)


def test_at_the_beginning_of_the_sound_there_is_less_before_the_alarm() -> None:
    ring, clips = ring_and_clips()
    hear(ring, 0, 100)
    ring.want(50, 90, clips.append)
    hear(ring, 100, 500)
    assert clips[0].samples.tolist() == list(range(390))
    assert clips[0].alarm_s == 0.5


def test_an_alarm_raised_very_late_is_cut_at_the_front_to_what_the_ring_holds() -> None:
    ring, clips = ring_and_clips()
    hear(ring, 0, 20000)
    ring.want(100, 19990, clips.append)
    hear(ring, 20000, 21000)
    (clip,) = clips
    assert clip.samples[-1] == 20289
    assert RATE_HZ * LATE_S < len(clip.samples) <= RATE_HZ * (2 + 3 + LATE_S + 1)
    assert (np.diff(clip.samples) == 1).all()


def test_lost_sound_is_left_out_and_told() -> None:
    ring, clips = ring_and_clips()
    hear(ring, 0, 500)
    ring.want(480, 490, clips.append)
    hear(ring, 650, 1000)
    (clip,) = clips
    assert clip.samples.tolist() == [*range(280, 500), *range(650, 790)]
    assert clip.alarm_s == 2.0
    assert clip.gaps == ((2.2, 1.5),)


def test_a_gap_before_the_alarm_shortens_the_pre_roll_by_what_was_lost() -> None:
    ring, clips = ring_and_clips()
    hear(ring, 0, 500)
    hear(ring, 600, 700)
    ring.want(650, 660, clips.append)
    hear(ring, 700, 1000)
    (clip,) = clips
    assert clip.samples.tolist() == [*range(450, 500), *range(600, 960)]
    assert (clip.alarm_s, clip.gaps) == (1.0, ((0.5, 1.0),))


def test_a_clip_ends_with_a_gap_longer_than_its_post_roll_and_with_the_run() -> None:
    ring, clips = ring_and_clips()
    hear(ring, 0, 500)
    ring.want(480, 490, clips.append)
    ring.hear(AudioBlock(sound(9000, 9001), 9000, 0.0))
    assert clips.pop().samples.tolist() == list(range(280, 500))
    ring.want(9000, 9001, clips.append)
    ring.finish()
    assert clips.pop().samples.tolist() == [9000]
    ring.finish()
    assert clips == []


def test_two_alarms_share_sound() -> None:
    ring, clips = ring_and_clips()
    hear(ring, 0, 1000)
    ring.want(900, 950, clips.append)
    hear(ring, 1000, 1100)
    ring.want(1050, 1100, clips.append)
    hear(ring, 1100, 2000)
    assert [(c.samples[0], c.samples[-1]) for c in clips] == [(700, 1249), (850, 1399)]


def test_what_is_louder_than_full_scale_stays_loud() -> None:
    ring, clips = ring_and_clips()
    ring.hear(AudioBlock(np.array([2.0, 1.0, -1.0, -2.0], np.float32), 0, 0.0))
    ring.want(0, 4, clips.append)
    ring.finish()
    assert clips[0].samples.tolist() == [32767, 32767, -32768, -32768]

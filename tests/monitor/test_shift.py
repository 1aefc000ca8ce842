"""A shifted baseline is an event of its own: slow, lasting, everywhere, steady; a fault is not taken for one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from edge_asd.audio.block import AudioBlock
from edge_asd.bundle.bundle import Bundle
from edge_asd.detector import WindowScore
from edge_asd.explain import Explanation
from edge_asd.frontend import mel_edges_hz
from edge_asd.monitor.records import HealthRecord
from edge_asd.monitor.shift import ShiftBaseline, ShiftSettings, ShiftWatch, change_words

RATE_HZ = 16000
FAST = ShiftSettings(span_s=40.0, minute_s=4.0, forget_s=20.0)


def gain(*parts: tuple[float, float, float]) -> np.ndarray:
    """(seconds, dB at its start, dB at its end) one after the other, as a factor for each sample."""
    db = [np.linspace(start, end, round(seconds * RATE_HZ)) for seconds, start, end in parts]
    return (10.0 ** (np.concatenate(db) / 20.0)).astype(np.float32)


def windows(bundle: Bundle, sound: np.ndarray) -> list[WindowScore]:
    return bundle.detector().push(AudioBlock(sound, 0, 0.0))


def watched(
    bundle: Bundle, scores: Iterable[WindowScore], alarm: str | None = None
) -> tuple[ShiftWatch, list[HealthRecord]]:
    watch = ShiftWatch("fan", ShiftBaseline.of(bundle), RATE_HZ, bundle="fan.asd", settings=FAST)
    return watch, [record for score in scores for record in watch.judge(score, alarm)]


def test_a_slow_rise_of_everything_is_a_shift_and_its_return_ends_it(tiny_bundle: Bundle, steady_sound) -> None:
    sound = steady_sound(270.0, seed=3) * gain((40, 0, 0), (40, 0, 8), (80, 8, 8), (40, 8, 0), (70, 0, 0))
    watch, records = watched(tiny_bundle, windows(tiny_bundle, sound), alarm="20260101T000000Z")
    assert [(record.kind, record.state) for record in records] == [("shift", "start"), ("shift", "end")]
    start = records[0]
    assert 70.0 < start.time < 150.0
    assert "level +" in start.message
    assert "as enrolled again (it was: level +" in records[1].message
    assert "alarm 20260101T000000Z is this shift" in start.message
    assert "edge-asd enroll --append fan.asd --domain target" in start.message
    assert not watch.on


def test_normal_sound_and_a_jump_are_no_shift(tiny_bundle: Bundle, steady_sound) -> None:
    assert watched(tiny_bundle, windows(tiny_bundle, steady_sound(200.0, seed=4)))[1] == []
    jumped = steady_sound(200.0, seed=5) * gain((60, 0, 0), (140, 8, 8))
    assert watched(tiny_bundle, windows(tiny_bundle, jumped))[1] == []


def test_a_tone_that_grows_slowly_is_no_shift(tiny_bundle: Bundle, steady_sound) -> None:
    time_s = np.arange(200 * RATE_HZ) / RATE_HZ
    growing = np.interp(time_s, [40.0, 90.0], [0.0, 0.2]) * np.sin(2 * np.pi * 1500.0 * time_s)
    scores = windows(tiny_bundle, steady_sound(200.0, seed=6) + growing.astype(np.float32))
    assert np.median([score.window_score for score in scores[-40:]]) > 50.0
    assert watched(tiny_bundle, scores)[1] == []


def test_what_was_there_from_the_start_can_be_a_shift(tiny_bundle: Bundle, steady_sound) -> None:
    scores = windows(tiny_bundle, steady_sound(80.0, seed=7) * gain((80, 6, 6)))
    watch, records = watched(tiny_bundle, scores)
    assert [record.state for record in records] == ["start"] and watch.on
    explanation = watch.told(Explanation("everything is louder", ()))
    assert explanation.text.startswith("the baseline has shifted") and "everything is louder" in explanation.text


def test_sound_that_swings_is_no_shift(tiny_bundle: Bundle, steady_sound) -> None:
    swings = [(4.0, level, level) for level in (16.0, 2.0) * 20]
    assert watched(tiny_bundle, windows(tiny_bundle, steady_sound(160.0, seed=8) * gain(*swings)))[1] == []


def test_a_long_silence_of_the_source_forgets_what_was_before(tiny_bundle: Bundle, steady_sound) -> None:
    scores = windows(tiny_bundle, steady_sound(60.0, seed=9) * gain((60, 6, 6)))
    half, gap = len(scores) // 2, 3600 * RATE_HZ
    later = [
        dataclasses.replace(s, start_position=s.start_position + gap, end_position=s.end_position + gap)
        for s in scores[half:]
    ]
    assert watched(tiny_bundle, [*scores[:half], *later])[1] == []


def test_words_tell_the_level_and_what_moved_beside_it(tiny_bundle: Bundle) -> None:
    edges = mel_edges_hz(tiny_bundle.contract.features)
    change = np.where(edges[1:-1] < 500.0, 2.0, 5.0)
    assert change_words(change, edges) == (
        "level +5.0 dB; beside that below 500 Hz -3.0 dB, 500 Hz to 2.0 kHz +0.0 dB, above 2.0 kHz +0.0 dB"
    )

"""The detector: the same windows whatever the blocks, none across a gap, each with its place and time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asd.audio.block import AudioBlock
from edge_asd.bundle.bundle import Bundle
from edge_asd.calibration.aggregation import Aggregation
from edge_asd.calibration.budget import Budget
from edge_asd.calibration.scale import raw
from edge_asd.calibration.thresholds import Calibration, LiveTarget, fit_stream
from edge_asd.clips import score_distances
from edge_asd.detector import Detector, WindowScore
from edge_asd.frontend import LogMel, log_mel
from edge_asd.monitor.alarm import AlarmSettings, AlarmTracker
from edge_asd.windows import clip_windows

RATE_HZ = 16000
STARTED_AT = 1_800_000_000.0
HOP, N_FFT = 512, 1024
WINDOW_SAMPLES, STEP_SAMPLES = 15 * HOP + N_FFT, 8 * HOP


def blocks_of(samples: np.ndarray, cuts: list[int], first_position: int = 0, gap_samples: int = 0) -> list[AudioBlock]:
    """The samples as blocks that end at the running sums of `cuts`, and one for the rest."""
    ends = [*np.minimum(np.cumsum(cuts, dtype=int), samples.size).tolist(), samples.size]
    starts = [0, *ends[:-1]]
    return [
        AudioBlock(
            samples[start:end],
            first_position + start,
            STARTED_AT + (first_position + start) / RATE_HZ,
            gap_samples if i == 0 else 0,
        )
        for i, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def made_detector(bundle: Bundle, calibrations: Sequence[Calibration]) -> Detector:
    return Detector(bundle.contract, bundle.normal, calibrations, bundle.aggregation, bundle.embedder)


def detector_of(bundle: Bundle, smoothing_windows: int = 3) -> Detector:
    return made_detector(bundle, bundle.live_calibrations[:smoothing_windows])


def run(detector: Detector, blocks: list[AudioBlock]) -> list[WindowScore]:
    return [score for block in blocks for score in detector.push(block)]


def assert_same(found: list[WindowScore], expected: list[WindowScore]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.frames_db, other.frames_db)
        np.testing.assert_array_equal(one.stretch_db, other.stretch_db)
        assert one.time == pytest.approx(other.time, abs=1e-5)
        # everything else to the last bit
        a, b = (dataclasses.replace(score, frames_db=None, time=0.0) for score in (one, other))
        assert a == b


@settings(max_examples=20)
@given(cuts=st.lists(st.one_of(st.sampled_from([0, 1, 160, 4000, STEP_SAMPLES]), st.integers(0, 30000)), max_size=30))
def test_scores_do_not_depend_on_how_the_sound_is_cut(tiny_bundle, steady_sound, cuts: list[int]) -> None:
    samples = steady_sound(3.0, seed=5)
    expected = run(detector_of(tiny_bundle), blocks_of(samples, []))
    assert len(expected) == (samples.size - WINDOW_SAMPLES) // STEP_SAMPLES + 1
    assert_same(run(detector_of(tiny_bundle), blocks_of(samples, cuts)), expected)


def test_a_window_is_scored_by_the_block_that_completes_it(tiny_bundle, steady_sound) -> None:
    samples = steady_sound(2.0)
    detector = detector_of(tiny_bundle)
    first, last, rest = blocks_of(samples, [WINDOW_SAMPLES - 1, 1])
    assert detector.push(first) == []
    assert len(detector.push(last)) == 1
    assert len(detector.push(rest)) == (samples.size - WINDOW_SAMPLES) // STEP_SAMPLES


def test_places_and_times(tiny_bundle, steady_sound) -> None:
    scores = run(detector_of(tiny_bundle), blocks_of(steady_sound(3.0), [700] * 60, first_position=12345))
    for i, score in enumerate(scores):
        assert score.start_position == 12345 + i * STEP_SAMPLES
        assert score.end_position - score.start_position == WINDOW_SAMPLES
        assert score.time == pytest.approx(STARTED_AT + score.end_position / RATE_HZ, abs=1e-5)


def test_each_window_has_the_level_and_spectrum_of_its_own_sound(tiny_bundle) -> None:
    loud = 0.5 * np.ones(WINDOW_SAMPLES, np.float32)
    quiet = 0.05 * np.ones(STEP_SAMPLES, np.float32)
    first, second = run(detector_of(tiny_bundle), blocks_of(np.concatenate((loud, quiet)), []))
    assert first.level_dbfs == pytest.approx(20 * np.log10(0.5), abs=1e-3)
    assert second.level_dbfs == pytest.approx(20 * np.log10(0.05), abs=1e-3)
    frames = LogMel(tiny_bundle.contract.features, padded=False).push(loud)
    np.testing.assert_allclose(first.frames_db, frames, atol=1e-4)
    np.testing.assert_array_equal(first.stretch_db, first.frames_db)
    np.testing.assert_array_equal(second.stretch_db[: len(frames)], first.frames_db)
    np.testing.assert_array_equal(second.stretch_db[-len(frames) :], second.frames_db)


def test_the_score_is_the_rarity_of_the_last_windows_mean_distances(tiny_bundle, steady_sound) -> None:
    samples, contract = steady_sound(4.0), tiny_bundle.contract
    scores = run(detector_of(tiny_bundle, smoothing_windows=3), blocks_of(samples, []))
    frames = LogMel(contract.features, padded=False).push(samples)
    windows = np.stack([frames[i * 8 : i * 8 + 16] for i in range(len(scores))])
    compared = tiny_bundle.normal.compare(windows, tiny_bundle.embedder)
    live = tiny_bundle.live_calibrations
    assert len(scores) > 6
    for i, score in enumerate(scores):
        last = compared.distances[max(0, i - 2) : i + 1]
        calibration = live[len(last) - 1]
        rarity = calibration.fusion.score(last.mean(axis=0)[None])[0]
        assert raw(score.score, calibration.threshold) == pytest.approx(rarity, rel=1e-3)
        assert score.threshold == 50.0
        assert score.window_score == pytest.approx(live[0].score(last[-1:])[0], rel=1e-3)
        assert score.nearest == compared.nearest[i]


def test_a_score_above_the_threshold_is_anomalous(tiny_bundle, steady_sound) -> None:
    blocks = blocks_of(steady_sound(3.0, seed=6), [])
    scores = run(detector_of(tiny_bundle), blocks)
    live = tiny_bundle.live_calibrations[:3]
    middle = float(np.median([score.score for score in scores[2:]]))
    calibrations = [dataclasses.replace(one, threshold=raw(middle, one.threshold)) for one in live]
    detector = made_detector(tiny_bundle, calibrations)
    again = run(detector, blocks)
    assert [score.anomalous for score in again] == [score.score > middle for score in scores]
    assert {score.anomalous for score in again} == {True, False}
    assert {score.threshold for score in again} == {50.0}


@pytest.mark.parametrize("heard_before", [100, WINDOW_SAMPLES - 1, WINDOW_SAMPLES + 3 * STEP_SAMPLES + 17])
def test_after_a_gap_all_starts_afresh(tiny_bundle, steady_sound, heard_before: int) -> None:
    before, after = steady_sound(4.0, seed=7)[:heard_before], steady_sound(3.0, seed=8)
    gap_samples = 900
    resumed_at = heard_before + gap_samples
    detector = detector_of(tiny_bundle)
    run(detector, blocks_of(before, [300] * 50))
    found = run(detector, blocks_of(after, [5000], first_position=resumed_at, gap_samples=gap_samples))
    assert found[0].start_position == resumed_at
    assert found[0].score == found[0].window_score
    assert_same(found, run(detector_of(tiny_bundle), blocks_of(after, [], first_position=resumed_at)))


def test_no_window_holds_sound_from_both_sides_of_a_gap(tiny_bundle, steady_sound) -> None:
    samples = steady_sound(6.0, seed=9)
    detector = detector_of(tiny_bundle)
    lost = range(30000, 31000)
    scores = run(detector, blocks_of(samples[: lost.start], [777] * 20))
    scores += run(detector, blocks_of(samples[lost.stop :], [777] * 20, lost.stop, gap_samples=len(lost)))
    assert min(score.start_position for score in scores) < lost.start
    assert max(score.end_position for score in scores) > lost.stop
    assert all(score.end_position <= lost.start or score.start_position >= lost.stop for score in scores)


def test_a_stream_scores_as_a_clip_of_the_same_frames(tiny_bundle, steady_sound) -> None:
    """A stream begun one step into the clip, less half a transform, sees the clip's inner windows."""
    samples = steady_sound(5.0, seed=10)
    contract = tiny_bundle.contract
    windows, starts = clip_windows(log_mel(samples, contract.features), contract)
    compared = tiny_bundle.normal.compare(windows, tiny_bundle.embedder)
    of_clip = tiny_bundle.live_calibrations[0].score(compared.distances)
    stream = samples[STEP_SAMPLES - N_FFT // 2 :]
    scores = run(detector_of(tiny_bundle), blocks_of(stream, []))
    of_stream = np.array([score.window_score for score in scores])
    inner = (
        (starts % contract.step_frames == 0)
        & (starts > 0)
        & (starts * HOP + WINDOW_SAMPLES - N_FFT // 2 <= samples.size)
    )
    assert inner.sum() == len(of_stream) > 10
    np.testing.assert_allclose(of_stream, of_clip[inner], rtol=1e-3)
    assert [score.nearest for score in scores] == compared.nearest[inner].tolist()


def test_a_clips_score_is_the_rarity_of_its_windows_mean_distances_and_names_the_worst(
    tiny_bundle, steady_sound
) -> None:
    samples = steady_sound(6.0, seed=11)
    samples[64000:68000] += steady_sound(0.25, seed=12, tone_hz=3000.0, tone_amplitude=0.4)
    frames = log_mel(samples, tiny_bundle.contract.features)
    calibration = tiny_bundle.clip_calibration
    bundle = tiny_bundle
    windows, _ = clip_windows(frames, tiny_bundle.contract)
    distances = tiny_bundle.normal.compare(windows, tiny_bundle.embedder).distances
    found = score_distances(distances, len(frames), bundle.contract, calibration, Aggregation())
    assert bundle.clip_distances(frames) == pytest.approx(distances)
    assert found.n_windows == len(windows)
    assert found.score == pytest.approx(calibration.score(distances.mean(axis=0)[None])[0])
    assert found.max_score == pytest.approx(calibration.score(distances).max())
    assert found.max_score > found.score
    assert found.peak_time_s == pytest.approx(4.125, abs=0.3)


def test_a_faulty_tone_raises_the_score_over_the_threshold(tiny_bundle, steady_sound) -> None:
    normal = run(tiny_bundle.detector(), blocks_of(steady_sound(8.0, seed=13), []))
    faulty = run(tiny_bundle.detector(), blocks_of(steady_sound(8.0, seed=13, tone_hz=3000.0), []))
    assert len(normal) > 5
    assert not any(score.anomalous for score in normal)  # the first too, though they average fewer windows
    assert all(score.anomalous for score in faulty)


def test_one_bang_is_no_alarm_and_a_lasting_tone_is(tiny_bundle, steady_sound) -> None:
    """A bang is far above the threshold, but not for as long as an alarm has to be confirmed."""
    bang = steady_sound(12.0, seed=20)
    bang[96000:97600] += 0.5 * np.random.default_rng(0).standard_normal(1600).astype(np.float32)
    for samples, alarms in ((bang, 0), (steady_sound(12.0, seed=20, tone_hz=3000.0), 1)):
        tracker = AlarmTracker(AlarmSettings(), rate_hz=RATE_HZ)
        scores = run(tiny_bundle.detector(), blocks_of(samples, []))
        assert max(score.score for score in scores) > 60.0
        assert sum(tracker.update(score) is not None for score in scores) == alarms


def test_other_smoothing_or_percentile_fits_fusion_and_threshold_anew(plain_bundle, steady_sound) -> None:
    step_s, live = plain_bundle.contract.step_s, plain_bundle.live_calibrations
    blocks = blocks_of(steady_sound(3.0, seed=16), [])
    as_enrolled = run(plain_bundle.detector(), blocks)

    def anew(n_windows: int, target: LiveTarget) -> tuple[Calibration, ...]:
        return fit_stream(plain_bundle.enrolment_scores, n_windows, target, step_s)

    assert_same(as_enrolled, run(detector_of(plain_bundle, len(live)), blocks))
    for found, calibrations in (
        (plain_bundle.detector(smoothing_s=2 * step_s), live[:2]),
        (plain_bundle.detector(smoothing_s=0.0, percentile=90.0), anew(1, LiveTarget(percentile=90.0))),
        (
            plain_bundle.detector(false_alarms=Budget(6.0, "hour"), confirm_s=0.0),
            anew(len(live), LiveTarget(Budget(6.0, "hour"))),
        ),
        (plain_bundle.detector(confirm_s=1.0), anew(len(live), LiveTarget(Budget(1.0, "week"), confirm_s=1.0))),
    ):
        expected = made_detector(plain_bundle, calibrations)
        scores = run(found, blocks)
        assert_same(scores, run(expected, blocks))
        assert calibrations[-1].threshold != live[-1].threshold
        assert scores[-1].score != as_enrolled[-1].score


def test_reset_forgets_the_stream(tiny_bundle, steady_sound) -> None:
    detector = detector_of(tiny_bundle)
    run(detector, blocks_of(steady_sound(2.0, seed=14), []))
    detector.reset()
    blocks = blocks_of(steady_sound(3.0, seed=15), [], first_position=999)
    assert_same(run(detector, blocks), run(detector_of(tiny_bundle), blocks))


def test_a_rehearsal_leaves_no_trace(tiny_bundle, steady_sound) -> None:
    samples = steady_sound(3.0, seed=5)
    rehearsed = detector_of(tiny_bundle)
    rehearsed.rehearse()
    assert_same(run(rehearsed, blocks_of(samples, [])), run(detector_of(tiny_bundle), blocks_of(samples, [])))

"""Which machines are transient, from their normal sound alone, and how windows become one."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.bundle.bundle import Bundle
from edge_asd.calibration.aggregation import Aggregation, impulsiveness_db
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.errors import DataError
from edge_asd.frontend import log_mel
from edge_asd.windows import clip_windows

RATE_HZ = 16000


def test_the_mean_and_the_mean_of_the_largest() -> None:
    distances = np.array([[1.0, 40.0], [2.0, 30.0], [3.0, 20.0], [4.0, 10.0]])
    np.testing.assert_allclose(Aggregation().over(distances), [2.5, 25.0])
    np.testing.assert_allclose(Aggregation(0.5).over(distances), [3.5, 35.0])
    np.testing.assert_allclose(Aggregation(0.51).over(distances), [3.0, 30.0])
    np.testing.assert_allclose(Aggregation(0.1).over(distances), [4.0, 40.0])
    np.testing.assert_allclose(Aggregation(0.5).over(distances, axis=1), [40.0, 30.0, 20.0, 10.0])
    np.testing.assert_allclose(Aggregation(0.2).over(distances[:1]), distances[0])
    assert Aggregation(0.2).over(np.arange(10.0)[:, None])[0] == 8.5  # 0.2 * 10 is two, whatever the rounding


def levels(*parts: tuple[int, float], unrest_db: float = 0.5) -> np.ndarray:
    """Frames of parts (how many, level in dB), one after the other."""
    level = np.repeat([db for _, db in parts], [n for n, _ in parts])
    return np.random.default_rng(0).normal(level[:, None], unrest_db, (len(level), 128))


@pytest.mark.parametrize(
    "frames, expected_db",
    [
        (levels((300, -40.0)), 0.0),
        (levels((200, -60.0), (100, -40.0)), 20.0),
        (levels((290, -60.0), (10, -40.0)), 20.0),
        (levels((200, -40.0), (100, -60.0)), 0.0),
        (levels((299, -40.0), (1, -10.0)), 0.0),
    ],
    ids=["steady", "a third loud", "clicks", "short pauses", "one bang"],
)
def test_loud_moments_are_measured_against_the_median(frames: np.ndarray, expected_db: float) -> None:
    assert impulsiveness_db(frames) == pytest.approx(expected_db, abs=0.3)


def test_the_median_piece_decides() -> None:
    assert Aggregation.choose([1.0, 2.0, 30.0]).top_share == 1.0
    assert Aggregation.choose([1.0, 8.0, 9.0]).top_share == 0.3


@pytest.fixture(scope="module")
def clicking(tiny_model, tiny_embedder, steady_sound) -> Bundle:
    """A machine that clicks once a second."""
    enrolment = Enrolment(tiny_model, tiny_embedder)
    enrolment.add_samples(clicks(steady_sound(64.0)), "clicks")
    return enrolment.finish({})


def clicks(samples: np.ndarray) -> np.ndarray:
    samples = 0.02 * samples
    rng = np.random.default_rng(1)
    for start in range(RATE_HZ // 2, samples.size - 2000, RATE_HZ):
        samples[start : start + 2000] += 0.05 * rng.standard_normal(2000).astype(np.float32)
    return samples


def test_a_transient_machines_clips_and_streams_count_the_windows_that_stand_out(
    clicking: Bundle, tiny_bundle: Bundle, steady_sound
) -> None:
    assert (clicking.aggregation.top_share, tiny_bundle.aggregation.top_share) == (0.3, 1.0)
    frames = log_mel(clicks(steady_sound(6.0, seed=2)), clicking.contract.features)
    windows, _ = clip_windows(frames, clicking.contract)
    distances = clicking.normal.compare(windows, clicking.embedder).distances
    largest = np.sort(distances, axis=0)[-int(np.ceil(0.3 * len(windows))) :].mean(axis=0)
    assert clicking.score_clip(frames).score == pytest.approx(clicking.clip_calibration.score(largest[None])[0])
    scores = clicking.enrolment_scores
    first = scores.distances[scores.pieces == 0]
    np.testing.assert_allclose(
        scores.per_clip()[0], np.sort(first, axis=0)[-int(np.ceil(0.3 * len(first))) :].mean(axis=0)
    )
    np.testing.assert_allclose(scores.smoothed(3)[0][0], first[:3].max(axis=0))


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1, float("nan")])
def test_no_share_is_refused(share: float) -> None:
    with pytest.raises(DataError, match="top share"):
        Aggregation(share)

"""The learning curve: flat for sound that repeats, falling while something new is heard."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edge_asd.enrolment.saturation import Saturation, saturation

WINDOWS_A_PIECE = 9


def nearest(features: np.ndarray):
    """Distances as a bank gives them: to the nearest of the part's windows."""

    def distances(part: np.ndarray, held: np.ndarray) -> np.ndarray:
        gaps = np.linalg.norm(features[held][:, None] - features[part][None], axis=2)
        return gaps.min(axis=1)[:, None]

    return distances


def curve_of(features: np.ndarray) -> Saturation | None:
    pieces = np.arange(len(features)) // WINDOWS_A_PIECE
    return saturation(nearest(features), pieces, 10.0 * (pieces[-1] + 1))


def sound(n_pieces: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n_pieces * WINDOWS_A_PIECE, 8))


def test_steady_sound_is_learnt_long_before_the_end() -> None:
    curve = curve_of(sound(60))
    assert curve is not None and not curve.learning
    assert curve.seconds[-1] == 600.0 and curve.distances[-1] == 1.0
    assert curve.distances[0] > curve.distances[-1]
    assert "minutes changed nothing" in curve.text


def test_another_speed_in_the_last_minute_is_still_learning() -> None:
    features = sound(60)
    features[54 * WINDOWS_A_PIECE :] += 8.0
    curve = curve_of(features)
    assert curve is not None and curve.learning
    assert curve.settled_s > 480.0
    assert "still learning: without the last" in curve.text and "enrol more" in curve.text


def test_sound_that_drifts_all_the_time_is_still_learning() -> None:
    features = 0.2 * sound(60) + np.linspace(0.0, 30.0, 60 * WINDOWS_A_PIECE)[:, None]
    curve = curve_of(features)
    assert curve is not None and curve.learning


def test_the_same_sound_over_and_over_changes_nothing() -> None:
    curve = curve_of(np.ones((20 * WINDOWS_A_PIECE, 4)))
    assert curve is not None and not curve.learning
    assert set(curve.distances[1:]) <= {0.0, 1.0}


@pytest.mark.parametrize("n_pieces", [1, 2, 14])
def test_too_few_pieces_show_no_curve(n_pieces: int) -> None:
    assert curve_of(sound(n_pieces)) is None


def test_it_is_plain_json() -> None:
    curve = curve_of(sound(20))
    assert curve is not None
    data = json.loads(json.dumps(curve.to_dict()))
    assert data["learning"] is curve.learning and len(data["seconds"]) == len(data["distances"])

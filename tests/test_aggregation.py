"""Which machines are transient, from their normal sound alone, and how windows become one."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.aggregation import Aggregation, window_activity_db
from edge_asd.errors import DataError


def pieces(*levels_db: float, n_pieces: int = 8, unrest_db: float = 1.0) -> list[np.ndarray]:
    """As many pieces, each a window at each of these levels."""
    rng = np.random.default_rng(0)
    return [np.array(levels_db) + unrest_db * rng.normal(size=len(levels_db)) for _ in range(n_pieces)]


def test_the_mean_and_the_mean_of_the_largest() -> None:
    distances = np.array([[1.0, 40.0], [2.0, 30.0], [3.0, 20.0], [4.0, 10.0]])
    np.testing.assert_allclose(Aggregation().over(distances), [2.5, 25.0])
    np.testing.assert_allclose(Aggregation(0.5).over(distances), [3.5, 35.0])
    np.testing.assert_allclose(Aggregation(0.51).over(distances), [3.0, 30.0])
    np.testing.assert_allclose(Aggregation(0.1).over(distances), [4.0, 40.0])
    np.testing.assert_allclose(Aggregation(0.5).over(distances, axis=1), [40.0, 30.0, 20.0, 10.0])
    np.testing.assert_allclose(Aggregation(0.2).over(distances[:1]), distances[0])
    assert Aggregation(0.2).over(np.arange(10.0)[:, None])[0] == 8.5  # 0.2 * 10 is two, whatever the rounding


def test_a_machine_of_strokes_and_pauses_is_transient_and_its_strokes_count() -> None:
    assert Aggregation.choose(pieces(-60, -60, -60, -60, -60, -60, -30, -30)).top_share == 0.25
    assert Aggregation.choose(pieces(-60, -30)).top_share == 0.5
    assert Aggregation.choose(pieces(*[-60] * 19, -30)).top_share == 0.2


@pytest.mark.parametrize(
    "activity_db",
    [
        pieces(*[-40] * 9),
        pieces(*[-40] * 9, unrest_db=4.0),
        pieces(*np.linspace(-60, -30, 9)),
        pieces(*[-42] * 4, *[-38] * 4),
        [*pieces(*[-60] * 9, n_pieces=4), *pieces(*[-30] * 9, n_pieces=4)],
        [*pieces(*[-60] * 9, n_pieces=7), *pieces(*[-60] * 6, *[-20] * 3, n_pieces=1)],
        pieces(-40.0, n_pieces=50),
        [np.array([-40.0])],
    ],
    ids=["steady", "restless", "rising", "small steps", "another speed", "a door", "short clips", "one window"],
)
def test_any_other_machine_is_stationary(activity_db: list[np.ndarray]) -> None:
    assert Aggregation.choose(activity_db) == Aggregation(1.0)


def test_a_stroke_in_a_tenth_of_the_window_makes_it_loud() -> None:
    windows = np.full((2, 64, 128), -60.0, np.float32)
    windows[1, 10:18] = -30.0
    np.testing.assert_allclose(window_activity_db(windows), [-60.0, -30.0])


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1, float("nan")])
def test_no_share_is_refused(share: float) -> None:
    with pytest.raises(DataError, match="top share"):
        Aggregation(share)

"""Simulated days: the same machine in the same place, a little otherwise; and what is concluded from them."""

from __future__ import annotations

import numpy as np

from benchmarks.sessions import FACTORS, SESSIONS, at_one_speed, on_a_day, tables
from edge_asd.simulator import Machine, Scene


def test_days_differ_as_much_as_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    machine, scene = at_one_speed(Machine.random("pump", rng), rng), Scene.random(rng)
    hz = np.geomspace(100.0, 8000.0, 30)

    def days(unlike: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        drawn = [on_a_day(machine, scene, unlike, np.random.default_rng(seed)) for seed in range(100)]
        return (
            np.array([today.drive.shaft_hz for today, _ in drawn]) / machine.drive.shaft_hz,
            np.array([place.level_dbfs for _, place in drawn]) - scene.level_dbfs,
            np.array([place.microphone.at(hz) for _, place in drawn]) - scene.microphone.at(hz),
        )

    assert all(np.allclose(one, one[0]) for one in days(0.0))
    speed, level_db, colour_db = days(1.0)
    assert 0.004 < speed.std() < 0.006 and 0.8 < level_db.std() < 1.2 and 0.5 < colour_db.std() < 1.2
    assert days(2.0)[1].std() > 1.6
    (today, place) = on_a_day(machine, scene, 1.0, rng)
    assert today.kind == "pump" and all(layer.load_db == 0.0 for layer in today.layers)
    assert place.room_seed == scene.room_seed


def test_the_largest_factor_that_leaves_enough_found_is_chosen() -> None:
    found = dict(zip(FACTORS, (1.0, 0.99, 0.97, 0.95, 0.93, 0.9, 0.8), strict=True))

    def machine(found_more: float) -> list[dict]:
        shares = [[0.5, found[factor] + found_more, 0.4] for factor in FACTORS]
        return [{"sessions": n, "step": 1.0, "auto": 2.0, "shares": [*shares, shares[3]]} for n in SESSIONS]

    assert "found after one session: 2 (" in tables([machine(0.0), machine(0.0)])
    assert "found after one session: 2.5 (" in tables([machine(0.0), machine(0.05)])
    assert "found after one session: 1 (" in tables([machine(-0.2)])

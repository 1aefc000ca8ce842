"""The faults that the benchmark of later days mixes into real clips."""

from __future__ import annotations

import numpy as np

from benchmarks.shift import with_fault


def test_a_fault_is_as_powerful_as_the_clip_and_drawn_anew_for_each(steady_sound) -> None:
    sound = steady_sound(2.0)
    mixed = [with_fault(sound, 16000, np.random.default_rng(i)) for i in (0, 0, 1)]
    for one in mixed:
        assert one.shape == sound.shape and one.dtype == np.float32
        np.testing.assert_allclose(np.mean(np.square(one - sound)), np.mean(np.square(sound)), rtol=1e-3)
    np.testing.assert_array_equal(mixed[0], mixed[1])
    assert not np.array_equal(mixed[0], mixed[2])

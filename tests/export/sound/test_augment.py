import numpy as np
import pytest

from export.recipe import AugmentSettings
from export.sound import augment

RATE_HZ = 16000


def sine(hz, n=16000):
    return (0.1 * np.sin(2 * np.pi * hz * np.arange(n) / RATE_HZ)).astype(np.float32)


def peak_hz(samples):
    return np.abs(np.fft.rfft(samples * np.hanning(samples.size))).argmax() * RATE_HZ / samples.size


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
def test_speed_moves_length_and_pitch_together(factor):
    played = augment.at_speed(sine(1000.0), factor)
    assert played.dtype == np.float32
    assert played.size == pytest.approx(16000 / factor, abs=2)
    assert peak_hz(played[2000:-2000]) == pytest.approx(1000.0 * factor, abs=2.0)


def test_speeds_are_the_three_of_the_recipe():
    rng = np.random.default_rng(0)
    drawn = {augment.speed_factor(AugmentSettings(speed_spread=0.1), rng) for _ in range(50)}
    assert drawn == {0.9, 1.0, 1.1}
    assert augment.speed_factor(AugmentSettings(), rng) == 1.0


def test_a_room_rings_on_and_leaves_the_length():
    click = np.zeros(8000, np.float32)
    click[1000] = 1.0
    heard = augment.in_room(click, RATE_HZ, np.random.default_rng(3))
    assert heard.size == click.size and np.abs(heard[:999]).max() < 1e-6
    assert np.abs(heard[2000:]).max() > 1e-4


def test_taken_down_rounds_to_sixteen_bits_and_clips():
    louder = augment.taken_down(sine(500.0), 12.0)
    assert 20 * np.log10(louder.std() / sine(500.0).std()) == pytest.approx(12.0, abs=0.05)
    assert augment.taken_down(sine(500.0), 40.0).max() == pytest.approx(1.0, abs=1e-4)
    quiet = augment.taken_down(sine(500.0), -60.0) * 32768
    assert np.array_equal(quiet, np.round(quiet)) and len(np.unique(quiet)) < 10


def test_nothing_asked_for_changes_nothing():
    samples, rng = sine(500.0), np.random.default_rng(0)
    assert np.array_equal(augment.changed(samples, RATE_HZ, AugmentSettings(), rng), samples)
    moved = augment.changed(samples, RATE_HZ, AugmentSettings(room_probability=1.0, level_db=(-6.0, -6.0)), rng)
    assert not np.allclose(moved, samples, atol=1e-3)


def test_stripes_take_the_mean_and_keep_to_their_widths():
    windows = np.random.default_rng(0).normal(size=(20, 64, 128)).astype(np.float32)
    before = windows.copy()
    settings = AugmentSettings(time_masks=1, time_mask_frames=8, mel_masks=1, mel_mask_bands=16)
    after = augment.masked(windows, settings, np.random.default_rng(1))
    for window, old in zip(after, before, strict=True):
        rows = (window != old).all(axis=1).sum()
        bands = (window != old).all(axis=0).sum()
        assert rows <= 8 and bands <= 16
        moved = window[window != old]
        assert moved.size == 0 or np.ptp(moved) == 0
    assert (after != before).any()


def test_mixtures_are_as_often_and_as_even_as_asked():
    rng = np.random.default_rng(0)
    partners, shares = augment.mixture(4000, AugmentSettings(mixup_probability=0.25, mixup_alpha=0.5), rng)
    assert sorted(partners) == list(range(4000))
    mixed = shares[shares < 1.0]
    assert len(mixed) / 4000 == pytest.approx(0.25, abs=0.03)
    assert mixed.mean() == pytest.approx(0.5, abs=0.04)
    assert mixed.var() == pytest.approx(1 / 8, abs=0.01)  # of Beta(0.5, 0.5)

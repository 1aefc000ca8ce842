"""The parts of the simulator against what they claim: spectra, powers, causality, rates of blows."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.simulator import draws
from edge_asd.simulator.noise import Curve, fast_length, flutter, shaped_noise, slow_walk
from edge_asd.simulator.resonance import Mode, convolve, crossings, minimum_phase, pulses, ringing
from edge_asd.simulator.tones import TABLE_SIZE, beat, read_table, turn_table

RATE_HZ = 16000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("n", [1, 2, 3, 17, 1000, 1025, 159744, 160001])
def test_fast_length_is_even_smooth_and_tight(n: int) -> None:
    length = fast_length(n)
    assert n <= length <= max(2, 1.15 * n + 2) and length % 2 == 0
    for prime in (2, 3, 5):
        while length % prime == 0:
            length //= prime
    assert length == 1


def test_curve_is_straight_in_octaves_and_flat_outside() -> None:
    curve = Curve((100.0, 400.0), (0.0, -12.0))
    assert curve.at(np.array([10.0, 100.0, 200.0, 400.0, 9000.0])) == pytest.approx([0, 0, -6, -12, -12])
    assert curve.moved(2.0).at(np.array([400.0])) == pytest.approx([-6.0])
    assert curve.plus(Curve((200.0, 800.0), (3.0, 5.0))).at(np.array([200.0, 400.0])) == pytest.approx([-3.0, -8.0])


def test_shaped_noise_has_unit_power_and_its_curve() -> None:
    noise = shaped_noise(30 * RATE_HZ, RATE_HZ, Curve((500.0, 1000.0, 2000.0), (0.0, -20.0, -20.0)), rng())
    assert noise.dtype == np.float32
    assert np.mean(noise**2) == pytest.approx(1.0, rel=0.03)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hz = np.fft.rfftfreq(noise.size, 1 / RATE_HZ)
    low, high = power[(hz > 100) & (hz < 450)].mean(), power[(hz > 3000) & (hz < 7000)].mean()
    assert 10 * np.log10(low / high) == pytest.approx(20.0, abs=0.5)


def test_slow_walk_is_slow_and_of_unit_variance() -> None:
    walk = slow_walk(200 * 1000, 1000.0, 5.0, rng())
    assert np.var(walk) == pytest.approx(1.0, rel=0.15)
    power = np.abs(np.fft.rfft(walk)) ** 2
    assert power[: 200 * 10].sum() > 0.95 * power.sum()


def test_flutter_keeps_the_power() -> None:
    gain = flutter(60 * RATE_HZ, RATE_HZ, 0.4, 20.0, rng())
    assert np.mean(gain**2) == pytest.approx(1.0, rel=0.1)
    assert gain.min() > 0.0


def test_table_reads_the_cosines_it_was_made_of() -> None:
    orders, amplitudes, phases = np.array([1, 7, 120]), np.array([1.0, 0.5, 0.25]), np.array([0.1, 2.0, -1.0])
    turns = np.cumsum(rng().uniform(0.0, 0.01, 5000)) - 3.0
    wave = read_table(turn_table(orders, amplitudes, phases), turns)
    exact = (amplitudes * np.cos(2 * np.pi * turns[:, None] * orders + phases)).sum(axis=1)
    assert np.abs(wave - exact).max() < 1e-3


def test_table_survives_an_angle_that_rounds_up_to_a_whole_turn() -> None:
    table = turn_table(np.array([1]), np.array([1.0]), np.array([0.0]))
    assert table.shape == (TABLE_SIZE,)
    assert read_table(table, np.array([np.nextafter(1.0, 0.0), -1e-18])) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("sharpness", [0.0, 4.0])
def test_beat_has_unit_mean_and_its_period(sharpness: float) -> None:
    gain = beat(np.arange(10000) / 1000.0, 3.0, 0.8, sharpness)
    assert gain.mean() == pytest.approx(1.0, abs=1e-3)
    assert np.argmax(np.abs(np.fft.rfft(gain - gain.mean()))) == 30


@pytest.mark.parametrize("taps", [1, 2, 37, 900, 6000])
@pytest.mark.parametrize("n", [1, 50, 4097, 20000])
def test_convolve_is_convolution(n: int, taps: int) -> None:
    signal, response = rng(1).standard_normal((2, max(n, taps))).astype(np.float32)
    out = convolve(signal[:n], response[:taps])
    assert out.dtype == np.float32
    exact = np.convolve(signal[:n].astype(float), response[:taps].astype(float))[:n]
    np.testing.assert_allclose(out, exact, atol=2e-5 * np.abs(exact).max() + 1e-7)


def test_minimum_phase_has_the_magnitude_and_its_energy_first() -> None:
    curve = Curve((100.0, 500.0, 3000.0, 6000.0), (-20.0, 0.0, 3.0, -20.0))
    response = minimum_phase(curve, RATE_HZ)
    hz = np.fft.rfftfreq(4096, 1 / RATE_HZ)
    magnitude_db = 20 * np.log10(np.abs(np.fft.rfft(response, 4096)))
    wanted_db = curve.at(hz)
    assert np.abs(magnitude_db - wanted_db)[hz > 300].max() < 1.0
    assert np.dot(response[:32], response[:32]) > 0.9 * np.dot(response, response)


def test_ringing_has_unit_energy_its_pitch_and_no_alias() -> None:
    response = ringing((Mode(1000.0, 0.02, 2.0), Mode(9000.0, 0.02, 5.0)), RATE_HZ)
    assert np.dot(response, response) == pytest.approx(1.0, rel=1e-5)
    spectrum = np.abs(np.fft.rfft(response, 16000))
    assert np.argmax(spectrum) == pytest.approx(1000, abs=3)
    assert ringing((Mode(9000.0, 0.02, 5.0),), RATE_HZ).tolist() == [1.0]


def test_crossings_come_at_their_rate_and_slip() -> None:
    turns = np.arange(60 * RATE_HZ) * (20.0 / RATE_HZ)
    exact = np.diff(crossings(turns, 3.7, 0.0, rng()))
    assert exact == pytest.approx(RATE_HZ / 74.0, rel=1e-6)
    slipping = np.diff(crossings(turns, 3.7, 0.02, rng()))
    assert np.std(slipping) / np.mean(slipping) == pytest.approx(0.02, rel=0.1)


def test_pulses_keep_their_height_between_samples_and_drop_what_is_outside() -> None:
    out = pulses(10, np.array([2.25, 9.5, -1.0, 10.0]), np.array([1.0, 2.0, 5.0, 5.0]))
    assert out[2:4] == pytest.approx([0.75, 0.25])
    assert out[9] == pytest.approx(1.0)
    assert out.sum() == pytest.approx(2.0)


def test_balanced_levels_add_up_to_0_db() -> None:
    layers = draws.balanced([draws.flow(rng(), level_db=level) for level in (3.0, -10.0, 12.0)])
    assert sum(10 ** (layer.level_db / 10) for layer in layers) == pytest.approx(1.0)
    assert layers[2].level_db - layers[1].level_db == pytest.approx(22.0)


def test_bearing_orders_are_consistent_geometry() -> None:
    bearing = draws.random_bearing(rng(4))
    # All elements pass either race: outer + inner = number of elements; the cage carries them past the outer one.
    elements = bearing.outer + bearing.inner
    assert elements == pytest.approx(round(elements))
    assert bearing.outer == pytest.approx(elements * bearing.cage)

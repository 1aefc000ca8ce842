"""Findings name the right kind of change with the right figures: tones, rhythms, level, wide and narrow bands."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edge_asd.contract import LogMelSpec
from edge_asd.explain import Explanation, Finding, explain
from edge_asd.explain.rhythm import loudness_shape, loudness_spectra
from edge_asd.explain.tones import prominence
from edge_asd.frontend import log_mel
from edge_asd.spectra import window_spectra

SPEC = LogMelSpec()
RATE_HZ = 16000
WINDOW_FRAMES = 64


def windows_of(samples: np.ndarray) -> np.ndarray:
    """Windows [k, 64, 128] of the sound, half overlapping."""
    frames = log_mel(samples, SPEC)
    starts = range(0, len(frames) - WINDOW_FRAMES + 1, WINDOW_FRAMES // 2)
    return np.stack([frames[start : start + WINDOW_FRAMES] for start in starts])


def hiss(seconds: float, seed: int) -> np.ndarray:
    return (0.05 * np.random.default_rng(seed).standard_normal(round(RATE_HZ * seconds))).astype(np.float32)


def tone(seconds: float, hz: float, amplitude: float = 0.1) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(RATE_HZ * seconds)) / RATE_HZ)).astype(np.float32)


def pulses(seconds: float, rate_hz: float, *, length_s: float = 0.004, seed: int = 9) -> np.ndarray:
    """Short bursts of noise, `rate_hz` a second, as sound to add."""
    n = round(RATE_HZ * seconds)
    phase = (np.arange(n) / RATE_HZ * rate_hz) % 1.0 / rate_hz
    return (np.exp(-phase / length_s) * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def explained(heard: np.ndarray, normal: np.ndarray, *, rhythms: bool = True) -> Explanation:
    known = windows_of(normal)
    windows = windows_of(heard)
    spectra = window_spectra(known)
    nearest = np.arange(len(windows)) % len(known)
    own = loudness_spectra(known) if rhythms else None
    return explain(windows, nearest, spectra, SPEC, stretches_db=windows, normal_rhythms=own)


def found(explanation: Explanation, kind: str) -> Finding:
    """The one finding of a kind."""
    (finding,) = [finding for finding in explanation.findings if finding.kind == kind]
    return finding


@pytest.mark.parametrize("hz", [440.0, 3100.0, 6500.0])
def test_a_new_tone_is_named_at_its_frequency_and_a_gone_one_as_missing(hz: float) -> None:
    normal = hiss(20.0, 1)
    came = explained(hiss(10.0, 2) + tone(10.0, hz), normal)
    finding = came.findings[0]
    assert finding.kind == "tone"
    assert finding.frequency_hz == pytest.approx(hz, rel=0.01)
    change = windows_of(hiss(10.0, 2) + tone(10.0, hz)).mean((0, 1)) - windows_of(normal).mean((0, 1))
    assert finding.change_db == pytest.approx(change.max(), abs=1.0)
    assert finding.from_hz < hz < finding.to_hz
    assert came.text.startswith(finding.text)
    gone = explained(hiss(10.0, 2), normal + tone(20.0, hz)).findings[0]
    assert gone.kind == "tone_gone"
    assert gone.change_db == pytest.approx(-finding.change_db, abs=1.0)
    assert "missing tone" in gone.text


def test_the_words_are_the_issues_own() -> None:
    assert explained(hiss(10.0, 2) + tone(10.0, 3100.0, 0.115), hiss(20.0, 1)).text == "new tone near 3.1 kHz, +24 dB"


def test_a_tone_that_moved_is_one_finding() -> None:
    explanation = explained(hiss(10.0, 2) + tone(10.0, 1700.0), hiss(20.0, 1) + tone(20.0, 2000.0))
    (finding,) = explanation.findings
    assert finding.kind == "tone_moved"
    assert finding.text == "tone moved from 2.0 kHz to 1.7 kHz (-15 %)"


def test_a_harmonic_series_is_one_finding_and_chance_peaks_are_none() -> None:
    normal = hiss(20.0, 1)
    series = sum(tone(10.0, 250.0 * order) for order in (1, 2, 3, 5, 6, 7))
    finding = found(explained(hiss(10.0, 2) + series, normal), "tones")
    assert finding.frequency_hz == pytest.approx(250.0, rel=0.01)
    apart = sum(tone(10.0, hz) for hz in (310.0, 871.0, 1990.0, 4503.0, 6011.0))
    kinds = [finding.kind for finding in explained(hiss(10.0, 2) + apart, normal).findings]
    assert kinds == ["tone"] * 5


@pytest.mark.parametrize("rate_hz", [3.0, 7.0, 12.0])
@pytest.mark.parametrize("rhythms", [True, False])
def test_impacts_are_counted(rate_hz: float, rhythms: bool) -> None:
    finding = found(explained(hiss(10.0, 2) + pulses(10.0, rate_hz), hiss(20.0, 1), rhythms=rhythms), "impacts")
    assert finding.rate_hz == pytest.approx(rate_hz, rel=0.03)
    assert finding.fold_hz is None


def test_a_rhythm_the_machine_always_had_is_not_new_however_loud_it_grew() -> None:
    normal = hiss(20.0, 1) + pulses(20.0, 7.0)
    louder = explained(hiss(10.0, 2) + 3.0 * pulses(10.0, 7.0), normal)
    assert not {"impacts", "pulsation"} & {finding.kind for finding in louder.findings}
    assert found(explained(hiss(10.0, 2) + pulses(10.0, 11.0), normal), "impacts").rate_hz == pytest.approx(
        11.0, rel=0.03
    )


def test_a_soft_or_fast_rhythm_names_the_rate_it_cannot_be_told_from() -> None:
    swell = hiss(10.0, 2) * (1.0 + 0.8 * np.sin(2 * np.pi * 5.0 * np.arange(160_000) / RATE_HZ)).astype(np.float32)
    finding = found(explained(swell, hiss(20.0, 1)), "pulsation")
    assert finding.rate_hz == pytest.approx(5.0, rel=0.03)
    assert finding.rate_hz + finding.fold_hz == pytest.approx(31.25)
    fast = found(explained(hiss(10.0, 2) + 0.3 * pulses(10.0, 20.0), hiss(20.0, 1)), "pulsation")
    assert fast.fold_hz == pytest.approx(20.0, rel=0.03)
    assert "(or 20)" in fast.text


@pytest.mark.parametrize("gain_db", [-18.0, 9.0])
def test_level_is_not_called_a_spectrum(gain_db: float) -> None:
    (finding,) = explained(hiss(10.0, 2) * np.float32(10 ** (gain_db / 20)), hiss(20.0, 1)).findings
    assert finding.kind == "level"
    assert finding.change_db == pytest.approx(gain_db, abs=0.3)
    assert f"level {gain_db:+.0f} dB" in finding.text


def test_a_tone_is_found_under_a_changed_level() -> None:
    heard = (hiss(10.0, 2) + tone(10.0, 3100.0)) * np.float32(0.25)
    explanation = explained(heard, hiss(20.0, 1))
    assert found(explanation, "level").change_db == pytest.approx(-12.0, abs=0.5)
    assert found(explanation, "tone").change_db > 15.0


def test_a_broad_rise_says_from_where() -> None:
    spectrum = np.fft.rfft(hiss(10.0, 2))
    hz = np.fft.rfftfreq(160_000, 1.0 / RATE_HZ)
    above = explained(np.fft.irfft(spectrum * np.where(hz > 5000.0, 4.0, 1.0)).astype(np.float32), hiss(20.0, 1))
    (finding,) = above.findings
    assert finding.kind == "broadband"
    assert finding.text == "broadband rise above 4.9 kHz, +12 dB"
    below = explained(np.fft.irfft(spectrum * np.where(hz < 1000.0, 0.25, 1.0)).astype(np.float32), hiss(20.0, 1))
    assert below.findings[0].text.startswith("broadband fall below 1.0 kHz, -1")


def test_irregular_bursts_are_told_as_such_and_not_as_a_rhythm() -> None:
    rng = np.random.default_rng(3)
    bursts = np.zeros(160_000, np.float32)
    for start in rng.integers(0, 158_000, 25):
        bursts[start : start + 1600] += 0.5 * rng.standard_normal(1600).astype(np.float32)
    kinds = {finding.kind for finding in explained(hiss(10.0, 2) + bursts, hiss(20.0, 1)).findings}
    assert "unsteady" in kinds
    assert not {"impacts", "pulsation"} & kinds


@pytest.mark.parametrize("seed", range(4))
def test_normal_sound_has_nothing_specific(seed: int) -> None:
    (finding,) = explained(hiss(10.0, 20 + seed), hiss(40.0, 1)).findings
    assert finding.kind == "timbre"
    assert "no band left its normal range" in finding.text


def test_one_short_window_is_enough() -> None:
    known = windows_of(hiss(20.0, 1))
    window = windows_of(hiss(3.0, 2) + tone(3.0, 3100.0))[:1, :8]
    explanation = explain(window, np.zeros(1, int), window_spectra(known), SPEC, stretches_db=known[:0])
    assert explanation.findings[0].kind == "tone"


def test_findings_are_plain_json_and_leave_out_what_they_do_not_know() -> None:
    explanation = explained(hiss(10.0, 2) + pulses(10.0, 12.0), hiss(20.0, 1))
    data = json.loads(json.dumps([finding.to_dict() for finding in explanation.findings]))
    weights = [finding["weight"] for finding in data]
    assert weights == sorted(weights, reverse=True)
    impacts = next(finding for finding in data if finding["kind"] == "impacts")
    assert impacts["rate_hz"] == pytest.approx(12.0, abs=0.3)
    assert "frequency_hz" not in impacts


def test_a_slope_has_no_prominence_and_a_peak_its_height_over_the_higher_valley() -> None:
    slope = np.arange(64, dtype=float)
    assert prominence(slope)[3:-3].max() <= 0.0 + 1e-9
    peak = np.zeros(64)
    peak[30], peak[31:] = 12.0, 4.0
    assert prominence(peak)[30] == pytest.approx(8.0)


def test_loudness_spectra_show_depth_and_rate_in_decibels() -> None:
    swing = 6.0 * np.cos(2 * np.pi * 8 * np.arange(64) / 64)
    spectra = loudness_spectra(np.broadcast_to(swing[None, :, None] - 30.0, (2, 64, 128)).astype(np.float32))
    assert spectra.shape == loudness_shape(64)
    assert spectra.argmax(axis=1).tolist() == [8 * 4] * 9
    np.testing.assert_allclose(np.sqrt(spectra.max(axis=1)), 6.0, rtol=0.02)

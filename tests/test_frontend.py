"""The front end gives librosa's numbers, and the same bits however the sound is cut."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.contract import LogMelSpec
from edge_asd.frontend import LogMel, hann_periodic, log_mel, mel_edges_hz, mel_weights

DEFAULT = LogMelSpec()
EMPTY_BELOW_PEAK_DB = 60.0
"""A band this far under its frame's loudest holds rounding errors of the float32 transform, not sound."""
SPECS = {
    "default": DEFAULT,
    "htk": LogMelSpec(mel_scale="htk", n_mels=64),
    "magnitude": LogMelSpec(power=1.0, n_mels=40),
    "44.1 kHz": LogMelSpec(rate_hz=44100, n_fft=2048, hop_samples=441, n_mels=96, fmin_hz=50.0, fmax_hz=20000.0),
    "no overlap": LogMelSpec(n_fft=512, hop_samples=512, n_mels=32, fmin_hz=125.0, fmax_hz=7500.0),
}


def noise(n: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def sweep(n: int, rate_hz: int) -> np.ndarray:
    """A rising tone over faint noise: frames with a wide range between bands."""
    time_s = np.arange(n) / rate_hz
    tone = 0.5 * np.sin(2 * np.pi * (100.0 + 0.2 * rate_hz * time_s / time_s[-1]) * time_s)
    return (tone + 5e-3 * np.random.default_rng(3).standard_normal(n)).astype(np.float32)


def librosa_log_mel(samples: np.ndarray, spec: LogMelSpec) -> np.ndarray:
    """The same features by librosa in float64, [frames, n_mels]."""
    librosa = pytest.importorskip("librosa", reason="librosa, the oracle, is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # librosa warns of bands narrower than a bin
        mel = librosa.feature.melspectrogram(
            y=samples.astype(np.float64),
            sr=spec.rate_hz,
            n_fft=spec.n_fft,
            hop_length=spec.hop_samples,
            n_mels=spec.n_mels,
            fmin=spec.fmin_hz,
            fmax=spec.fmax_hz,
            htk=spec.mel_scale == "htk",
            norm="slaney" if spec.mel_scale == "slaney" else None,
            power=spec.power,
            center=True,
            pad_mode="constant",
            dtype=np.float64,
        )
    factor = 20.0 / spec.power
    return np.maximum(factor * np.log10(np.maximum(mel, 1e-30)), spec.floor_db).T


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
@pytest.mark.parametrize("sound", ["noise", "sweep", "quiet"])
def test_librosa_gives_the_same_numbers(spec: LogMelSpec, sound: str) -> None:
    n = 3 * spec.rate_hz + 123
    samples = {"noise": noise(n), "sweep": sweep(n, spec.rate_hz), "quiet": np.float32(1e-3) * noise(n)}[sound]
    expected = librosa_log_mel(samples, spec)
    found = log_mel(samples, spec)
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    held = expected > np.maximum(expected.max(axis=1, keepdims=True) - EMPTY_BELOW_PEAK_DB, spec.floor_db)
    assert held.mean() > 0.5
    assert np.abs(found - expected)[held].max() <= 2e-4


def test_filter_banks_are_librosas() -> None:
    filters = pytest.importorskip("librosa.filters", reason="librosa, the oracle, is not installed")
    for htk, scale in ((False, "slaney"), (True, "htk")):
        expected = filters.mel(sr=16000, n_fft=1024, n_mels=64, htk=htk, norm=None if htk else "slaney")
        np.testing.assert_allclose(mel_weights(LogMelSpec(n_mels=64, mel_scale=scale)), expected.T, atol=1e-7)


def test_the_window_is_periodic() -> None:
    window = hann_periodic(8)
    assert window[0] == 0.0
    assert window[4] == 1.0
    assert window[1] == window[7] > 0.0


def test_slaney_edges_are_linear_then_logarithmic() -> None:
    edges = mel_edges_hz(DEFAULT)
    assert edges[0] == 0.0
    assert edges[-1] == pytest.approx(8000.0)
    low, high = edges[edges < 1000.0], edges[edges > 1000.0]
    np.testing.assert_allclose(np.diff(low), np.diff(low)[0])
    np.testing.assert_allclose(high[1:] / high[:-1], high[1] / high[0])


@pytest.mark.parametrize("seconds, n_frames", [(10.0, 313), (2.0, 63), (1.0, 32)])
def test_a_padded_clip_has_one_frame_more_than_whole_hops(seconds: float, n_frames: int) -> None:
    assert log_mel(noise(round(16000 * seconds)), DEFAULT).shape == (n_frames, 128)


@pytest.mark.parametrize("n_samples", [0, 1, 511, 512, 1023])
def test_even_a_clip_shorter_than_one_transform_gives_finite_frames(n_samples: int) -> None:
    frames = log_mel(noise(n_samples), DEFAULT)
    assert frames.shape == (1 + n_samples // 512, 128)
    assert np.isfinite(frames).all()


def test_digital_silence_lies_exactly_on_the_floor() -> None:
    for floor_db in (-100.0, -80.0, -120.0):
        for power in (1.0, 2.0):
            spec = LogMelSpec(floor_db=floor_db, power=power)
            assert (log_mel(np.zeros(4000, np.float32), spec) <= floor_db).all()
            np.testing.assert_allclose(log_mel(np.zeros(4000, np.float32), spec), floor_db, atol=1e-4)


cuts = st.lists(
    st.one_of(st.sampled_from([0, 1, 511, 512, 513, 1023, 1024, 1025, 16384, 40000]), st.integers(0, 6000)),
    max_size=40,
)


@pytest.mark.parametrize("padded", [True, False], ids=["padded", "live"])
@given(cuts=cuts)
def test_the_frames_are_bit_identical_however_the_sound_is_cut(padded: bool, cuts: list[int]) -> None:
    samples = SOUND
    whole = LogMel(DEFAULT, padded=padded)
    expected = np.concatenate((whole.push(samples), whole.flush()))
    front_end = LogMel(DEFAULT, padded=padded)
    pieces = np.split(samples, np.minimum(np.cumsum(cuts, dtype=int), samples.size)) if cuts else [samples]
    found = np.concatenate([front_end.push(piece) for piece in pieces] + [front_end.flush()])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


SOUND = sweep(3 * 16000 + 77, 16000)


def test_live_frames_are_the_inner_frames_of_the_padded_ones() -> None:
    padded = log_mel(SOUND, DEFAULT)
    live = LogMel(DEFAULT, padded=False).push(SOUND)
    assert len(live) == (SOUND.size - 1024) // 512 + 1
    np.testing.assert_array_equal(live, padded[1 : 1 + len(live)])


def test_each_frame_comes_as_soon_as_its_last_sample_is_there() -> None:
    front_end = LogMel(DEFAULT, padded=False)
    assert len(front_end.push(SOUND[:1023])) == 0
    assert len(front_end.push(SOUND[1023:1024])) == 1
    assert len(front_end.push(SOUND[1024:1535])) == 0
    assert len(front_end.push(SOUND[1535:1536])) == 1


@pytest.mark.parametrize("padded", [True, False])
def test_after_a_reset_or_flush_nothing_of_the_old_sound_is_left(padded: bool) -> None:
    fresh = LogMel(DEFAULT, padded=padded).push(SOUND)
    used = LogMel(DEFAULT, padded=padded)
    used.push(noise(5000))
    used.reset()
    np.testing.assert_array_equal(used.push(SOUND), fresh)
    used.flush()
    np.testing.assert_array_equal(used.push(SOUND), fresh)


def test_the_samples_given_are_neither_changed_nor_kept() -> None:
    samples = SOUND.copy()
    front_end = LogMel(DEFAULT, padded=False)
    front_end.push(samples[:1000])
    np.testing.assert_array_equal(samples, SOUND)
    samples[:] = 0.0
    np.testing.assert_array_equal(front_end.push(SOUND[1000:]), LogMel(DEFAULT, padded=False).push(SOUND))
